"""Where results go: checked before the work begins, so that no long run ends in "no such folder"."""

from collections.abc import Collection
from pathlib import Path


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
