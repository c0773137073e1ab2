"""The head of the page: what was trained, on what, and how to do it again."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vae_rosetta.applications.report import curves
from vae_rosetta.applications.report.blocks import Block, Card, Cards, Fact, Figures, Section, counted, number
from vae_rosetta.applications.report.sources import Shown


def title(found: Sequence[Shown]) -> str:
    """A title by data and runs."""
    data = ", ".join(dict.fromkeys(_data_name(run) for run in found))
    labels = [run.label for run in found]
    return f"{data}: {', '.join(labels)}"


def lead(found: Sequence[Shown]) -> str:
    """What the runs have in common, in a sentence or two."""
    sizes = _common(found, lambda run: "-".join(map(str, run.sizes)))
    words = f"A variational autoencoder of {sizes} units" if sizes else "Variational autoencoders of several sizes"
    count = counted(len(found), "run")
    data = _common(found, _data_words)
    seed = _common(found, lambda run: str(run.settings.seed))
    epochs = _common(found, lambda run: counted(run.config.epochs_done, "epoch"))
    parts = [f"on {data}" if data else "on several data sets"]
    parts += [f"seed {seed}" if seed else "several seeds", epochs or "of several lengths"]
    return f"{words}: {count} {', '.join(parts)}."


def section(found: Sequence[Shown], families: Sequence[Sequence[Shown]]) -> Section:
    """Key figures and a card a run."""
    blocks: list[Block] = []
    figures = [Fact(run.label, number(float(run.curve.test[-1]))) for run in found]
    blocks.append(Figures("Negative ELBO on held-out images after the last epoch, nats per image", figures))
    if (said := curves.agreement(families)) is not None:
        blocks.append(said)
    blocks.append(Cards([_card(run) for run in found]))
    return Section("runs", "The runs", blocks)


def _card(run: Shown) -> Card:
    config, settings, dataset, describe = run.config, run.settings, run.config.dataset, run.config.describe
    framework = f"{describe.get('framework', settings.backend)} {describe.get('version', '')}".strip()
    where = ", ".join(
        str(part)
        for part in (describe.get("device"), settings.dtype, describe.get("precision"), _threads(describe))
        if part
    )
    versions = config.versions.items()
    installed = ", ".join(f"{name} {version}" for name, version in versions if version != "not installed")
    facts = [
        Fact("framework", framework),
        Fact("computed", where),
        Fact("data", _data_words(run)),
        Fact("images", f"{dataset.train:,} to train on, {dataset.test:,} held out"),
        Fact("model", f"{'-'.join(map(str, run.sizes))}, batch {settings.batch_size}"),
        Fact("trained", f"{counted(config.epochs_done, 'epoch')}, seed {settings.seed}{_resumed(run)}"),
        Fact("specification", config.spec),
        Fact("versions", installed),
        Fact("data SHA-256", f"{dataset.sha256:.16}…"),
    ]
    return Card(run.label, run.style, [fact for fact in facts if fact.value], _parts(settings.command()))


def _parts(command: str) -> list[str]:
    """A command line, parted where a line may end."""
    return re.split(r" (?=--)", command) if command else []


def _threads(describe: Mapping[str, str]) -> str:
    return f"threads: {describe['threads']}" if describe.get("threads") else ""


def _resumed(run: Shown) -> str:
    earlier = run.config.earlier
    return f", resumed {counted(len(earlier), 'time')}" if earlier else ""


def _data_name(run: Shown) -> str:
    return Path(run.settings.data).name


def _data_words(run: Shown) -> str:
    """The data set and what was done to its pixels."""
    pixels = run.config.protocol
    if pixels is None:
        words = run.config.dataset.protocol
    else:
        words = pixels.train if pixels.train == pixels.test else f"trained {pixels.train}, tested {pixels.test}"
    return f"{_data_name(run)} ({words})"


def _common(found: Sequence[Shown], what: Callable[[Shown], str]) -> str:
    """What all runs say, or nothing."""
    said = {what(run) for run in found}
    return said.pop() if len(said) == 1 else ""
