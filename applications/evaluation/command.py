"""The work of `vae evaluate`: reads weights and data, computes, prints a table, writes likelihood.json."""

import json
import time
from pathlib import Path

import click
import numpy as np

from vae_rosetta.applications import outputs, weights
from vae_rosetta.applications.evaluation import published, results
from vae_rosetta.applications.evaluation.measures import latents
from vae_rosetta.applications.evaluation.results import Results
from vae_rosetta.applications.progress import counting
from vae_rosetta.shared import files, passes, stream
from vae_rosetta.shared.binarisation import Protocol, is_binary
from vae_rosetta.shared.contract import Array, Model


def evaluate(
    *,
    weights_path: Path,
    data: str | None,
    data_dir: Path | None,
    binarise: str | None,
    draw_seed: int,
    samples: int,
    importance: int | None,
    images: int | None,
    seed: int,
    backend: str,
    device: str = "auto",
    out: Path | None = None,
    force: bool = False,
) -> None:
    """Evaluates the weights in `weights_path` on held-out images, prints a table and writes `out`.

    Args:
        data, data_dir: see `datasets.load`; by default the run's own.
        binarise: one of `binarisation.CHOICES`; by default what the run was tested on while it was trained.
        draw_seed: of the draw, where there is one.
        samples: of z per image for the negative ELBO.
        importance: the largest number of samples for the importance-weighted likelihood; None: it is left out.
        images: how many of the held-out images, from the first; None: all.
        seed: of the noise.
        out: by default likelihood.json in the run's folder, and nothing where the weights are a file.

    Raises:
        FileNotFoundError: there are no such weights or data.
        FloatingPointError: the losses are not finite.
        ModuleNotFoundError: the backend's framework is not installed.
        OSError: `out` cannot be written.
        TypeError, ValueError: a bad argument or file; the message names it.
    """
    for number in (seed, draw_seed):
        stream.check_seed(number)
    stored = weights.read(weights_path)
    out = outputs.beside(weights_path, outputs.LIKELIHOOD.file, out, force=force)
    tested_on = Protocol(stored.tested_on.binarise if binarise is None else binarise, draw_seed)
    chosen = tested_on.held_out(stored.data(data, data_dir), images)
    if importance is not None and not is_binary(chosen.x):
        raise ValueError(
            f"importance: got {importance} for grey pixels; expected black and white ones (--binarise drawn): the log "
            "of a mean is not linear in a pixel, so that the result would be no likelihood"
        )
    loaded = stored.load(backend, device=device)
    found = compute(loaded.model, chosen.x, samples=samples, importance=importance, seed=seed)
    anchors = published.comparable(stored, chosen.data, len(chosen.x), chosen.words)
    results.show(loaded, chosen, found, anchors)
    if out is not None:
        document = results.document(loaded, chosen, found, anchors)
        files.write_text(out, json.dumps(document, indent=2, allow_nan=False) + "\n")
        click.echo(f"{out}: the same for programs, {chosen.words}")


def compute(model: Model, x: Array, *, samples: int, importance: int | None, seed: int) -> Results:
    """All figures for the images x (N, D), with bars on stderr meanwhile.

    Raises:
        FloatingPointError, TypeError, ValueError: see `shared.passes`.
    """
    started = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # told as an error, of what it comes to
        with counting("negative ELBO: samples", samples * len(x)) as done:
            elbo = passes.negative_elbo(model, x, samples=samples, seed=seed, progress=done)
        use = latents(model, x)
        weighted = {}
        if importance is not None:
            ks = ladder(importance)
            with counting("importance weighting: samples", importance * len(x)) as done:
                log_likelihoods = passes.importance_weighted(model, x, ks=ks, seed=seed, progress=done)
            weighted = dict(zip(ks, log_likelihoods, strict=True))
    return Results(seed, samples, elbo, use, weighted, time.perf_counter() - started)


def ladder(k: int) -> list[int]:
    """The numbers of samples that are reported on the way to k: the powers of ten below it, and k."""
    return [*(10**power for power in range(len(str(k))) if 10**power < k), k]
