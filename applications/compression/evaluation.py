"""`vae evaluate compression`: rates on held-out images beside the model's own likelihood and other compressors."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from vae_rosetta.applications import outputs, weights
from vae_rosetta.applications.compression import codec, container, generic, images, published, tables, work
from vae_rosetta.applications.compression.exact import Bits, ExactModel
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, quantise
from vae_rosetta.applications.compression.work import Prepared
from vae_rosetta.applications.progress import counting
from vae_rosetta.applications.weights import Weights
from vae_rosetta.shared import files, oracle, parameters, passes, spec, stream
from vae_rosetta.shared.binarisation import Protocol
from vae_rosetta.shared.contract import Model
from vae_rosetta.shared.passes import Real
from vae_rosetta.shared.version import project_version


class Rates(NamedTuple):
    """What a codec makes of some images, in bits per pixel, and how fast."""

    net: float  # without the seed words, which come back, and without header and table
    gross: float  # the whole file
    compress: float  # images a second
    decompress: float
    file: bytes


def measure(x: Bits, prepared: Prepared, *, block_size: int = codec.BLOCK_SIZE) -> Rates:
    """Compresses and restores x (N, D), and counts.

    Speeds are of the codec: images in memory to the bytes of a file and back, compiling included.

    Raises:
        ArithmeticError: what came back is not x.
    """
    started = time.perf_counter()
    with counting("compressing", len(x)) as progress:
        data = work.compress(x, prepared, block_size=block_size, progress=progress)
    compressed = time.perf_counter()
    with counting("decompressing", len(x)) as progress:
        stored = container.unpack(data)
        restored = work.decompress(stored, prepared, progress=progress)
    done = time.perf_counter()
    if not np.array_equal(restored.images, x):
        raise ArithmeticError("codec: the images that came back are others")
    words = sum(len(block.words) for block in stored.blocks if block.words is not None)
    seeds = len(stored.blocks) * stored.header.seed_words
    speeds = len(x) / (compressed - started), len(x) / (done - compressed)
    return Rates(32 * (words - seeds) / x.size, 8 * len(data) / x.size, *speeds, data)


def negative_elbo(model: Model, x: Bits, seed: int) -> Real:
    """Of each image in nats, (N,): z drawn once, with noise from stream (seed, EVALUATION, 0)."""
    noise = passes.noise(seed, 0, len(x), parameters.sizes_of_model(model).latent_dim)
    return passes.losses(model, x.astype(np.float32), noise).objective


def integer_negative_elbo(network: IntegerNetwork, x: Bits, seed: int) -> Real:
    """The same for the integer network, with the same noise: its rounded z, table and all; computed by the oracle."""
    exact = ExactModel(network, oracle.load(network.params(), dtype="float64"))
    noise = passes.noise(seed, 0, len(x), network.sizes.latent_dim).astype(np.float64)
    step, parts = 2.0**-tables.GRID_BITS, []
    for rows in passes.batches(len(x)):
        centre, offset, deviation = exact.posterior(x[rows], passes.ROWS)
        mean = centre + offset
        z = np.clip(np.rint(mean + deviation * noise[rows]), -tables.GRID_LIMIT, tables.GRID_LIMIT)
        logits = exact.logits(z.astype(np.int32), passes.ROWS).astype(np.float64) * 2.0**-tables.LOGIT_BITS
        reconstruction = oracle.cross_entropy(logits, x[rows].astype(np.float64)).sum(axis=1)
        kl = oracle.kl_terms(mean * step, 2.0 * np.log(deviation * step)).sum(axis=1)
        parts.append(reconstruction + kl)
    return np.concatenate(parts)


def evaluate(
    *,
    weights_path: Path,
    data: str | None,
    data_dir: Path | None,
    binarise: str,
    draw_seed: int,
    images_count: int | None,
    seed: int,
    block_size: int,
    lanes: int,
    backend: str,
    device: str,
    out: Path | None,
    force: bool,
) -> None:
    """Compresses held-out images, prints a table and writes `out`.

    Args:
        data, data_dir: see `datasets.load`; by default the run's own.
        binarise: "drawn" or "rounded".
        draw_seed: of the draw.
        images_count: how many of the held-out images, from the first; None: all.
        seed: of the noise that the negative ELBO is estimated with.
        out: by default compression.json in the run's folder, and nothing where the weights are a file.

    Raises:
        ArithmeticError, FileNotFoundError, ImportError, OSError, TypeError, ValueError: the message names the cause.
    """
    for number in (seed, draw_seed):
        stream.check_seed(number)
    out = outputs.beside(weights_path, outputs.COMPRESSION.file, out, force=force)
    stored = weights.read(weights_path)
    held = Protocol(binarise, draw_seed).held_out(stored.data(data, data_dir), images_count)
    x = images.bits(held.x, stored.sizes.input_dim)
    network = quantise(stored.params)
    prepared = work.prepare(network, backend, device=device, lanes=lanes)
    model = stored.load(backend, device=device).model
    rates = measure(x, prepared, block_size=block_size)
    nats = negative_elbo(model, x, seed), integer_negative_elbo(network, x, seed)
    shape = held.data.image_shape or (1, stored.sizes.input_dim)
    with counting("other compressors", len(x)) as progress:
        others = generic.sizes(x, shape, progress)
    document = _document(stored, network, rates, nats, others, x)
    document |= {
        "protocol": held.words,
        "data": {"name": held.data.name, "sha256": held.data.sha256},
        "draw_seed": draw_seed if binarise == "drawn" else None,
        "seed": seed,
        "backend": prepared.by,
        "block_size": block_size,
        "lanes": lanes,
        "published": [asdict(figure) for figure in published.comparable(held.data.name, held.words, len(x))],
    }
    _show(document)
    if out is not None:
        files.write_text(out, json.dumps(document, indent=2, allow_nan=False) + "\n")
        click.echo(f"{out}: the same for programs, {held.words}")


def _document(
    stored: Weights, network: IntegerNetwork, rates: Rates, nats: tuple[Real, Real], others: dict[str, int], x: Bits
) -> dict[str, Any]:
    """compression.json, but for what is told of data and settings; rates in bits per pixel."""
    plain, whole = (float(value.mean()) / (x.shape[1] * np.log(2.0)) for value in nats)
    weights_bytes = stored.file.stat().st_size
    return {
        "format": outputs.COMPRESSION.format,
        "images": len(x),
        "pixels": x.shape[1],
        "weights": str(stored.file),
        "sizes": stored.sizes._asdict(),
        "project": project_version(),
        "spec": spec.VERSION,
        "coder": codec.coder(),
        "integer_network": {"sha256": network.sha256.hex(), "weight_bits": network.weight_bits},
        "bytes": {"file": len(rates.file), "weights": weights_bytes},
        "bits_per_pixel": {
            "net": rates.net,
            "gross": rates.gross,
            "with_weights": 8 * (len(rates.file) + weights_bytes) / x.size,
        },
        "negative_elbo_bits_per_pixel": {"float": plain, "integer": whole},
        "net_over_negative_elbo": rates.net / plain,
        "integer_over_float": whole / plain,
        "images_per_second": {"compress": rates.compress, "decompress": rates.decompress},
        "others_bits_per_pixel": {name: 8 * size / x.size for name, size in others.items()},
    }


def _show(document: dict[str, Any]) -> None:
    """Prints the figures; each line says of which data it is."""
    console = Console(highlight=False)
    told = f"{document['data']['name']}: {document['images']:,} held-out images, {document['protocol']}"
    console.print(f"{document['weights']} in {document['backend']}; {told}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for heading in ("bit per pixel", "ours", "published"):
        table.add_column(heading, justify="left" if heading == "bit per pixel" else "right", overflow="fold")
    known = {figure["name"]: f"{figure['bits_per_pixel']:.2f}" for figure in document["published"]}
    rates, elbo = document["bits_per_pixel"], document["negative_elbo_bits_per_pixel"]
    rows = {
        "-ELBO, float network": elbo["float"],
        "-ELBO, integer network": elbo["integer"],
        "net: without seed words and header": rates["net"],
        "gross: the whole file": rates["gross"],
        "with weights": rates["with_weights"],
        **document["others_bits_per_pixel"],
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:.4f}", known.get("bits-back" if name.startswith("net") else name, ""))
    console.print(table)
    ratios = (
        f"net / -ELBO {document['net_over_negative_elbo']:.4f}, integer / float {document['integer_over_float']:.4f}"
    )
    speed = document["images_per_second"]
    speeds = f"{speed['compress']:,.0f} images/s compressed, {speed['decompress']:,.0f} restored"
    console.print(f"{ratios}; {speeds}", markup=False, soft_wrap=True)
    for source in dict.fromkeys(figure["source"] for figure in document["published"]):
        console.print(f"Published: {source}", markup=False, soft_wrap=True)
