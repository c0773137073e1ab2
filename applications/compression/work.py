"""`vae compress` and `vae decompress`, and the same for arrays: `prepare`, `compress`, `decompress`."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from vae_rosetta.applications import outputs, startup, weights
from vae_rosetta.applications.compression import codec, container, images
from vae_rosetta.applications.compression.codec import Codec
from vae_rosetta.applications.compression.container import Header, Stored
from vae_rosetta.applications.compression.quantisation import IntegerNetwork, quantise
from vae_rosetta.applications.progress import counting
from vae_rosetta.shared import checks, files

_Progress = Callable[[int], None]


class Prepared(NamedTuple):
    """An integer network in a backend, ready to code."""

    network: IntegerNetwork
    codec: Codec
    by: str  # framework and version, for a report


class Restored(NamedTuple):
    """Images out of a file."""

    images: npt.NDArray[Any]  # (N, D) or (N, h, w), in the dtype they came in; without those of lost blocks
    lost: list[int]  # numbers of the blocks that could not be restored
    trouble: str | None  # what is wrong with the file as a whole


def prepare(
    network: IntegerNetwork, backend: str = "oracle", *, device: str = "auto", lanes: int = codec.LANES
) -> Prepared:
    """The codec of an integer network, computing in any backend; neither that nor `lanes` changes a byte.

    Raises:
        ArithmeticError: the backend, or the installed coder, does not compute as the file format wants it.
        ModuleNotFoundError: the backend's framework is not installed.
        TypeError, ValueError: unknown backend or device; `lanes` is not a whole number above 0.
    """
    model, by = startup.load(backend, network.params(), device=device, dtype="float64")
    return Prepared(network, Codec(network, model, lanes=lanes), by)


def compress(
    array: npt.NDArray[Any],
    prepared: Prepared,
    *,
    block_size: int = codec.BLOCK_SIZE,
    weights_sha256: bytes = bytes(32),
    progress: _Progress | None = None,
) -> bytes:
    """Images (N, D) or (N, h, w) of 0 and 1, in any real dtype -> the bytes of a .vaez file.

    Args:
        block_size: images in a block: smaller ones lose less when damaged, and cost more.
        weights_sha256: of the weights' file, to be told to whoever comes with others.
        progress: told how many images have been coded since it was last told.

    Raises:
        TypeError, ValueError: a bad argument; the message names it.
    """
    x = images.bits(array, prepared.network.sizes.input_dim)
    if checks.count("block_size", block_size) > container.MOST_BLOCK:
        raise ValueError(f"block_size: got {block_size}; expected at most {container.MOST_BLOCK}")
    blocks = list(prepared.codec.compress(x, block_size, progress))
    seeds = codec.seed_words(prepared.network.sizes.latent_dim)
    hashes = prepared.network.sha256, weights_sha256
    return container.pack(Header(array.shape, array.dtype, block_size, seeds, codec.coder(), *hashes), blocks)


def check(stored: Stored, network: IntegerNetwork, *, salvage: bool = False) -> None:
    """Checks that a file can be decoded with this network.

    Args:
        salvage: do without blocks that are lost.

    Raises:
        ValueError: other weights, another coder, or a block that is lost; in one line.
    """
    header = stored.header
    if header.network_sha256 != network.sha256:
        names = [digest.hex()[:16] for digest in (header.network_sha256, network.sha256, header.weights_sha256)]
        made_with = f" (a weights file of SHA-256 {names[2]}...)" if any(header.weights_sha256) else ""
        raise ValueError(
            f"made with other weights{made_with}: got weights of integer network {names[1]}...; expected {names[0]}..."
        )
    if header.coder != codec.coder():
        name, series = header.coder.partition(" ")[::2]
        raise ValueError(f"made with {header.coder}; got {codec.coder()}; try: pip install '{name}=={series}.*'")
    pixels, seeds = int(np.prod(header.shape[1:])), codec.seed_words(network.sizes.latent_dim)
    if (pixels, header.seed_words) != (network.sizes.input_dim, seeds):
        raise ValueError("damaged: its header does not fit its weights")
    if not salvage:
        _refuse(stored, [number for number, block in enumerate(stored.blocks) if block.words is None])


def decompress(
    stored: Stored, prepared: Prepared, *, salvage: bool = False, progress: _Progress | None = None
) -> Restored:
    """The images in a file that `container.unpack` has read.

    Args:
        salvage: leave out blocks that are lost, instead of refusing the file.
        progress: told how many images have been decoded since it was last told.

    Raises:
        ValueError: see `check`.
    """
    check(stored, prepared.network, salvage=salvage)
    header = stored.header
    decoded = prepared.codec.decompress([block.words for block in stored.blocks], header.counts, progress)
    kept, lost = [], []
    for number, (x, block) in enumerate(zip(decoded, stored.blocks, strict=True)):
        if x is not None and codec.pixels_crc(x) == block.pixels_crc:
            kept.append(x)
        else:
            lost.append(number)
    if not salvage:
        _refuse(stored, lost)
    rows = np.concatenate(kept) if kept else np.zeros((0, *header.shape[1:]), dtype=np.uint8)
    return Restored(rows.astype(header.dtype).reshape(-1, *header.shape[1:]), lost, stored.trouble)


def _refuse(stored: Stored, lost: Sequence[int]) -> None:
    """Refuses a file of which not all can be restored, or that has more in it.

    Raises:
        ValueError: a block is lost, or the file is too short or too long.
    """
    if stored.trouble is not None:
        raise ValueError(f"{stored.trouble} (--salvage writes the blocks that are whole)")
    if lost:
        blocks = len(stored.blocks)
        raise ValueError(
            f"damaged: {lost_images(stored.header, lost)}; the other {blocks - len(lost)} of {blocks} blocks are whole"
            " (--salvage writes them)"
        )


def lost_images(header: Header, lost: Sequence[int]) -> str:
    """Which blocks are lost, and which images, both counted from 0."""
    starts = [number * header.block_size for number in lost]
    ranges = [f"block {n} (images {a} to {a + header.counts[n] - 1})" for n, a in zip(lost, starts, strict=True)]
    return ", ".join(ranges[:3]) + (f" and {len(ranges) - 3} more blocks" if len(ranges) > 3 else "")


def compress_file(
    *,
    source: Path,
    out: Path,
    weights_path: Path,
    backend: str,
    device: str,
    block_size: int,
    lanes: int,
    binarise: str | None,
    seed: int,
    force: bool,
) -> None:
    """Compresses the images of a .npy or .npz file.

    Raises:
        ArithmeticError, OSError, TypeError, ValueError: see `prepare`, `compress` and `images.read`.
    """
    outputs.check(out, endings=(".vaez",), force=force)
    stored = weights.read(weights_path)
    with _naming(source):
        array = images.read(source)
        array = array if binarise is None else images.binarised(array, binarise, seed)
        x = images.bits(array, stored.sizes.input_dim)  # before a framework starts, which takes seconds
    prepared = prepare(quantise(stored.params), backend, device=device, lanes=lanes)
    digest = hashlib.sha256(stored.file.read_bytes()).digest()
    with counting("compressing", len(x)) as progress:
        data = compress(array, prepared, block_size=block_size, weights_sha256=digest, progress=progress)
    with files.replacing(out) as temporary:
        temporary.write_bytes(data)
    made = f", {binarise} from grey" if binarise else ""
    click.echo(
        f"{out}: {len(x)} images of {x.shape[1]} pixels{made}, {len(data):,} bytes, {8 * len(data) / x.size:.4f} bit "
        f"per pixel; {stored.file} in {prepared.by}"
    )


def decompress_file(
    *, source: Path, out: Path, weights_path: Path, backend: str, device: str, lanes: int, salvage: bool, force: bool
) -> None:
    """Writes the images of a .vaez file to a .npy file.

    Raises:
        ArithmeticError, OSError, ValueError: see `prepare`, `container.unpack` and `check`.
    """
    outputs.check(out, endings=(".npy",), force=force)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: there is no such file")
    known = weights.read(weights_path)
    network = quantise(known.params)
    with _naming(source):
        stored = container.unpack(source.read_bytes())
        check(stored, network, salvage=salvage)  # before a framework starts, which takes seconds
    prepared = prepare(network, backend, device=device, lanes=lanes)
    with _naming(source), counting("decompressing", stored.header.shape[0]) as progress:
        restored = decompress(stored, prepared, salvage=salvage, progress=progress)
    if not len(restored.images):
        raise ValueError(f"{source}: no block is whole; nothing was written")
    with files.replacing(out) as temporary, temporary.open("wb") as opened:
        np.save(opened, restored.images)
    if restored.trouble is not None:
        click.echo(f"{source}: {restored.trouble}", err=True)
    if restored.lost:
        click.echo(f"{source}: lost {lost_images(stored.header, restored.lost)}; left out of {out}", err=True)
    click.echo(
        f"{out}: {len(restored.images)} images of {network.sizes.input_dim} pixels; {known.file} in {prepared.by}"
    )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts the file's name before errors in the block that lack it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(error).startswith(str(path)):
            raise
        raise type(error)(f"{path}: {str(error).removeprefix('images: ')}") from None
