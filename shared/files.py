"""Writing files so that nothing is lost: a file is either the old one or the whole new one, never half of either."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final


def _umask() -> int:
    """What the user's own files are private from; it cannot be read without being set."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


_UMASK: Final = _umask()  # at import: while it is read, another thread's new files would be open to all


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    The temporary keeps the ending of `path`, for writers that choose a format by it.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; `path` is then as it was.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:  # names the temporary file, which the user has never heard of
        raise type(error)(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:  # Windows flushes only what may be written to
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # mkstemp makes private files
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:  # NumPy's, of a full disk: "1568000 requested and 262112 written"
            raise OSError(f"{path}: not written ({error}); the disk may be full") from error
        if error.filename in (None, name):  # of a full disk, the name of no file or of the temporary one
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`path` with `text` in UTF-8, atomically.

    Raises:
        OSError: see `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
