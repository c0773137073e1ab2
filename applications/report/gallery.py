"""The sections of images: noise and held-out images decoded by every run's weights, and a map of the latents.

All weights are decoded by one backend, so that what differs is what the runs learned.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vae_rosetta.applications import generation
from vae_rosetta.applications.generation import points
from vae_rosetta.applications.report import charts, strips
from vae_rosetta.applications.report.blocks import Block, Chart, Charts, Heading, Key, Note, Section, Strip, Strips
from vae_rosetta.applications.report.charts import Points
from vae_rosetta.applications.report.sources import Shown
from vae_rosetta.shared import passes
from vae_rosetta.shared.contract import Array, Model
from vae_rosetta.shared.datasets import Dataset
from vae_rosetta.shared.passes import Real

_ACROSS: Final = 10  # images in a strip: with more, they are too small on a telephone
_TRAVERSED: Final = 10  # latents whose traversal is shown
_MAPPED: Final = 2000  # held-out images in the map, and behind the KL of each latent
_CLASSES: Final = 10  # colours that the style sheet has for classes


class Seen(NamedTuple):
    """The held-out images as a family of runs was tested on them."""

    data: Dataset
    x: Array  # (M, D)
    labels: npt.NDArray[np.int64] | None  # (M,)


class Decoder:
    """Weights of runs in models of one backend, each loaded once."""

    def __init__(self, backend: str, device: str) -> None:
        self._backend, self._device = backend, device
        self._models: dict[str, Model] = {}
        self.by = ""

    def model(self, run: Shown) -> Model:
        """The model of a run.

        Raises:
            ModuleNotFoundError, ValueError: see `Weights.load`.
        """
        if run.label not in self._models:
            loaded = run.weights.load(self._backend, device=self._device)
            self._models[run.label], self.by = loaded.model, loaded.by
        return self._models[run.label]


def sections(families: Sequence[Sequence[Shown]], decoder: Decoder, data_dir: Path | None) -> list[Section]:
    """Generated images, reconstructions, traversals and maps."""
    found = [
        Section("noise", "The same noise, decoded"),
        Section("reconstructions", "Held-out images, reconstructed"),
        Section("traversals", "What a latent does"),
        Section("map", "Where images lie in the latents"),
    ]
    for family in families:
        parts = _family(family, decoder, data_dir)
        for section, blocks in zip(found, parts, strict=True):
            if len(families) > 1:
                section.blocks.append(Heading(_names(family)))
            section.blocks.extend(blocks)
    return found


def held_out(family: Sequence[Shown], data_dir: Path | None) -> Seen:
    """The images that the runs held out.

    Raises:
        ImportError, OSError, ValueError: they cannot be loaded, or are others than the runs had.
    """
    run = family[0]
    data = run.data(data_dir if run.settings.data == "mnist" else None)
    return Seen(data, run.held_out(data), data.test_labels)


def principal_plane(means: Real) -> tuple[Real, Real, float]:
    """The mean (L,), the first two principal axes (2, L) and their share of the variance of `means` (N, L)."""
    centre = means.mean(axis=0)
    _, singular, axes = np.linalg.svd(means - centre, full_matrices=False)
    axes = (
        axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    )  # a sign that is no accident
    total = float(np.sum(singular**2))
    return centre, axes, float(np.sum(singular[:2] ** 2)) / total if total else 0.0


def pick(seen: Seen, count: int) -> npt.NDArray[np.int64]:
    """Rows of held-out images to show: the first of each class if there are so few classes, else evenly from all."""
    if seen.labels is not None:
        classes, first = np.unique(seen.labels, return_index=True)
        if 2 <= len(classes) <= count:
            return first.astype(np.int64)
    return np.unique(np.linspace(0, len(seen.x) - 1, min(count, len(seen.x))).round().astype(np.int64))


def _family(family: Sequence[Shown], decoder: Decoder, data_dir: Path | None) -> list[list[Block]]:
    """The blocks of one family for each section."""
    run = family[0]
    try:
        shape: tuple[int, int] | None = run.weights.image_shape()
    except ValueError:
        shape = None
    try:
        seen: Seen | None = held_out(family, data_dir)
        missing: list[Block] = []
    except (ImportError, OSError, ValueError) as error:
        seen = None
        missing = [Note(f"Missing: the data of {_names(family)} cannot be loaded ({_first_line(error)}).")]
    if shape is None:
        none: list[Block] = [Note(f"No images: nothing tells the shape of rows of {run.sizes.input_dim} pixels.")]
        return [none, none, none, missing if seen is None else _map(family, decoder, seen)]
    plane = _manifold(run, decoder, shape) if run.sizes.latent_dim == 2 else []
    return [
        _noise(family, decoder, shape),
        missing if seen is None else _reconstructions(family, decoder, seen, shape),
        [*missing, *_traversals(run, decoder, seen, shape)],
        [*(missing if seen is None else _map(family, decoder, seen)), *plane],
    ]


def _noise(family: Sequence[Shown], decoder: Decoder, shape: tuple[int, int]) -> list[Block]:
    z = generation.latents(family[0].settings.seed, _ACROSS, family[0].sizes.latent_dim)
    decoded = [generation.probabilities(decoder.model(run), z) for run in family]
    rows = [
        strips.strip(run.label, f"{_ACROSS} images that the weights of {run.label} make of the noise", images, shape)
        for run, images in zip(family, decoded, strict=True)
    ]
    caption = f"{_ACROSS} draws of the prior, decoded by {decoder.by} with the weights of {_names(family)}."
    if len({run.config.epochs_done for run in family}) > 1:
        caption += " No difference is shown: the runs have not had the same number of epochs."
    elif len(family) > 1:
        difference, scale, greatest = strips.magnified(decoded)
        label = f"difference x {scale:,.0f}"
        rows.append(strips.strip(label, f"Their greatest difference, magnified {scale:,.0f} times", difference, shape))
        caption += (
            f" Last row: the greatest difference of any two runs in each pixel, magnified {scale:,.0f} times; the "
            f"greatest of all is {greatest:.1e} (black is 0, white is 1)."
        )
    return [Strips(caption, rows)]


def _reconstructions(family: Sequence[Shown], decoder: Decoder, seen: Seen, shape: tuple[int, int]) -> list[Block]:
    originals = seen.x[pick(seen, _ACROSS)]  # (n, D)
    rows = [strips.strip("held out", "Images that no run was trained on", originals, shape)]
    for run in family:
        model = decoder.model(run)
        decoded = generation.probabilities(model, model.encode(originals)[0])
        alt = f"The same images as the weights of {run.label} reconstruct them"
        rows.append(strips.strip(run.label, alt, decoded, shape))
    caption = f"Held-out images of {Path(seen.data.name).name}, and each decoded from the mean of its posterior."
    return [Strips(caption, rows)]


def _traversals(run: Shown, decoder: Decoder, seen: Seen | None, shape: tuple[int, int]) -> list[Block]:
    """Strips of one run; its family's look the same, or the difference above would tell."""
    model, latent_dim = decoder.model(run), run.sizes.latent_dim
    centre, kl, around = np.zeros(latent_dim), None, "all others at 0, the mean of the prior"
    if seen is not None:
        kl = passes.posterior(model, seen.x[:_MAPPED]).kl_of_latents()
        row = int(pick(seen, _ACROSS)[0])
        centre = points.posterior_means(model, seen.x[row : row + 1])[0]
        around = "all others as in the first of the held-out images above"
    order = (list(range(latent_dim)) if kl is None else points.most_informative_first(kl))[:_TRAVERSED]
    rows: list[Strip] = []
    for latent, z in zip(order, points.traversal(centre, order, _ACROSS + 1), strict=True):
        label = f"latent {latent}" + ("" if kl is None else f" · {kl[latent]:.2f} nats")
        alt = f"Images as latent {latent} goes from -3 to 3"
        rows.append(strips.strip(label, alt, generation.probabilities(model, z), shape))
    which = "every latent" if len(rows) == latent_dim else f"{len(rows)} of {latent_dim} latents"
    informed = "" if kl is None else ", the most informative first by their KL over held-out images"
    caption = f"{run.label}: {which}{informed}, each moved from -3 to 3 standard deviations of the prior, {around}."
    return [Strips(caption, rows)]


def _map(family: Sequence[Shown], decoder: Decoder, seen: Seen) -> list[Block]:
    latent_dim, count = family[0].sizes.latent_dim, min(_MAPPED, len(seen.x))
    if latent_dim < 2 or count < 2:
        return [Note("No map: it takes two latents and two held-out images.")]
    means = [passes.posterior(decoder.model(run), seen.x[:count]).mu for run in family]
    x_label, y_label, caption = "latent 0", "latent 1", "The latent plane"
    if latent_dim > 2:
        centre, axes, share = principal_plane(means[0])
        means = [(each - centre) @ axes.T for each in means]
        x_label, y_label = "first component", "second component"
        caption = (
            f"The {latent_dim} latents seen along the first two principal components of the posterior means of "
            f"{family[0].label}, which hold {share:.0%} of their variance"
        )
    caption += f": the posterior means of {count:,} held-out images"
    classes = _classes(seen, count)
    drawn = []
    for run, each in zip(family, means, strict=True):
        points = [Points(name, style, each[rows]) for style, (name, rows) in enumerate(classes)]
        about = f"Posterior means of {count} held-out images under {run.label}, coloured by class"
        svg = charts.scatter(points, x_label, y_label, about, named=len(classes) > 1)
        drawn.append(Chart(run.label, svg))
    legend = [Key(name, style, "class") for style, (name, _) in enumerate(classes)] if len(classes) > 1 else []
    coloured = ", coloured by class, with each label at its class's median." if legend else "."
    return [Charts(drawn, legend, caption + coloured)]


def _manifold(run: Shown, decoder: Decoder, shape: tuple[int, int]) -> list[Block]:
    """The plane of two latents decoded, each image an equal share of the prior (Kingma & Welling 2014, figure 4)."""
    z = points.manifold(_ACROSS).reshape(-1, 2)  # (n n, 2)
    alt = f"Images as latent 0 rises to the right and latent 1 upwards, decoded with the weights of {run.label}"
    picture = strips.table(run.label, alt, generation.probabilities(decoder.model(run), z), shape, _ACROSS)
    caption = (
        "The latent plane, decoded: latent 0 rises to the right and latent 1 upwards, by equal shares of the prior."
    )
    return [Strips(caption, [picture])]


def _classes(seen: Seen, count: int) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """The name of each class and which of the first images are of it; one class if there are no labels, or too many."""
    if seen.labels is not None:
        labels = seen.labels[:count]
        names = np.unique(labels)
        if len(names) <= _CLASSES:
            return [(str(name), labels == name) for name in names]
    return [("held-out image", np.ones(count, dtype=np.bool_))]


def _names(family: Sequence[Shown]) -> str:
    return ", ".join(run.label for run in family)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
