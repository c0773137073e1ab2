"""Where results go: checked before the work begins, so that no long run ends in "no such folder"."""

from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """Results that one command writes and `vae report` shows."""

    file: str  # its name in a run's folder, unless --out gives another
    format: str  # what stands in the file; a change that breaks a reader raises its number


LIKELIHOOD: Final = Kind("likelihood.json", "vae-rosetta/likelihood/1")
SAMPLES: Final = Kind("samples.json", "vae-rosetta/samples/1")
COMPRESSION: Final = Kind("compression.json", "vae-rosetta/compression/1")
ANOMALY: Final = Kind("anomaly.json", "vae-rosetta/anomaly/1")


def beside(weights: Path, name: str, out: Path | None, *, force: bool) -> Path | None:
    """Where a result about `weights` goes: `out` if given, else the file `name` in the run's folder, if it is one.

    Raises:
        ValueError: see `check`; the file ends in .json.
    """
    if out is None and weights.is_dir():
        out = weights / name
    if out is not None:
        check(out, endings=(".json",), force=force)
    return out


def check(out: Path, *, endings: Collection[str] = (), force: bool) -> str:
    """Checks that a file may be written to `out`, and returns its ending in lower case.

    Args:
        endings: those that say how to write it, such as ".png"; none: any will do.
        force: an existing file may be replaced.

    Raises:
        ValueError: another ending, no such folder, a folder itself, or a file that exists and `force` is not set.
    """
    ending = out.suffix.lower()
    if endings and ending not in endings:
        raise ValueError(f"out: got {out}; expected a name that ends in {' or '.join(endings)}")
    if not out.parent.is_dir():
        raise ValueError(f"out: got {out}; expected a folder that exists, and there is no {out.parent}")
    if out.is_dir():
        raise ValueError(f"out: got {out}, which is a folder; expected a file")
    if out.exists() and not force:
        raise ValueError(f"out: got {out}, which exists; --force replaces it")
    return ending
