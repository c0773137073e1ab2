"""What `vae evaluate` found: as a table for people, and as likelihood.json for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from vae_rosetta.applications.evaluation.measures import ACTIVE, Latents, bits_per_pixel, estimate
from vae_rosetta.applications.evaluation.published import Published
from vae_rosetta.applications.outputs import LIKELIHOOD
from vae_rosetta.applications.settings import Json
from vae_rosetta.applications.weights import Loaded
from vae_rosetta.shared import binarisation, spec
from vae_rosetta.shared.binarisation import DRAWN, HeldOut
from vae_rosetta.shared.passes import Elbo, Real
from vae_rosetta.shared.version import project_version

_TRAINED: Final = ("backend", "data", "batch_size", "seed", "binarise")  # the settings of the run that are shown


class Results(NamedTuple):
    """Figures for each image; averages over images are made when they are shown."""

    seed: int  # of the noise
    samples: int  # of z per image, for the ELBO
    elbo: Elbo
    latents: Latents
    log_likelihoods: Mapping[int, Real]  # (N,), for each number of importance-weighted samples
    seconds: float


def document(loaded: Loaded, images: HeldOut, found: Results, anchors: Sequence[Published]) -> Json:
    """likelihood.json: averages per image with their standard errors between images, and what they are of."""
    run, (count, pixels) = loaded.weights.run, images.x.shape
    use = found.latents
    trained = run and {**{n: getattr(run.settings, n) for n in _TRAINED}, "epochs_done": run.config.epochs_done}
    drawn = images.protocol.binarise == DRAWN
    return {
        "format": LIKELIHOOD.format,
        "protocol": images.words,
        "binarise": images.protocol.binarise,
        "draw_seed": images.protocol.seed if drawn else None,
        "seed": found.seed,
        "images": count,
        "pixels": pixels,
        "data": {"name": images.data.name, "sha256": images.data.sha256},
        "weights": str(loaded.weights.file),
        "sizes": loaded.weights.sizes._asdict(),
        "trained": trained,
        "backend": loaded.by,
        "project": project_version(),
        "spec": spec.VERSION,
        "negative_elbo": {"samples": found.samples, **_figure(found.elbo.objective, pixels)},
        "reconstruction": _figure(found.elbo.reconstruction, pixels),
        "kl": _figure(found.elbo.kl, pixels),
        "latents": {
            "active": int(use.active.sum()),
            "active_above": ACTIVE,
            "variance_of_mean": use.variance_of_mean.tolist(),
            "kl": use.kl.tolist(),
        },
        "importance_weighted": [{"k": k, **_figure(-value, pixels)} for k, value in found.log_likelihoods.items()],
        "published": [asdict(anchor) for anchor in anchors],
        "seconds": found.seconds,
    }


def _figure(values: Real, pixels: int) -> Json:
    mean, error = estimate(values)
    return {
        "nats": mean,
        "standard_error": error if math.isfinite(error) else None,
        "bits_per_pixel": bits_per_pixel(mean, pixels),
    }


def show(loaded: Loaded, images: HeldOut, found: Results, anchors: Sequence[Published]) -> None:
    """Prints the figures; each line says of which data it is."""
    console = Console(highlight=False)
    for line in _heading(loaded, images, found):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_table(images, found, anchors))
    kl = " ".join(f"{nats:.2f}" for nats in sorted(found.latents.kl, reverse=True))
    console.print(f"KL of each latent, in falling order, {images.words}: {kl}", markup=False, soft_wrap=True)
    for anchor in anchors:
        console.print(f"Published: {anchor.source}; {anchor.protocol}", markup=False, soft_wrap=True)


def _heading(loaded: Loaded, images: HeldOut, found: Results) -> list[str]:
    stored, run = loaded.weights, loaded.weights.run
    trained = ""
    if run is not None:
        pixels = binarisation.trained_on(run.settings.binarise)
        trained = f", {run.config.epochs_done} epochs of {run.settings.data}, {pixels}, by {run.settings.backend}"
    count, of = len(images.x), len(images.data.test)
    which = f"{count:,} held-out images" if count == of else f"the first {count:,} of {of:,} held-out images"
    return [
        f"{stored.file}: {'-'.join(map(str, stored.sizes))}{trained}",
        f"{images.data.name}: {which}, {images.words}; {loaded.by}, noise of seed {found.seed}, {found.seconds:.0f} s",
    ]


def _table(images: HeldOut, found: Results, anchors: Sequence[Published]) -> Table:
    published = {anchor.measure: f"{anchor.low} to {anchor.high}" for anchor in anchors}
    table = Table(box=None, pad_edge=False)
    table.add_column("per image", overflow="fold")
    for heading in ("nats", "s.e.", "bit/px"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("data", overflow="fold")
    if published:
        table.add_column("published")

    def row(name: str, values: Real, anchor: str = "") -> None:
        mean, error = estimate(values)
        cells = [f"{mean:.2f}", f"{error:.2f}" if math.isfinite(error) else "-"]
        cells.append(f"{bits_per_pixel(mean, images.x.shape[1]):.4f}")
        table.add_row(name, *cells, images.words, *([anchor] if published else []))

    row(f"-ELBO, L = {found.samples}", found.elbo.objective, published.get("negative_elbo", ""))
    row("  reconstruction", found.elbo.reconstruction)
    row("  KL", found.elbo.kl)
    for k, log_likelihood in found.log_likelihoods.items():
        row(f"NLL, k = {k:,}", -log_likelihood)
    active = found.latents.active
    of = f"{active.sum()} of {len(active)}"
    table.add_row("active latents", of, "", "", images.words, *([""] if published else []))
    return table
