"""Files that are written whole or not at all."""

import errno
from pathlib import Path

import pytest

from vae_rosetta.shared import files


def _fail_halfway(path: Path) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError("halfway")


def test_a_write_that_fails_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("former")
    with pytest.raises(ValueError, match="halfway"):
        _fail_halfway(path)
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_names_no_file_is_told_with_it(tmp_path: Path) -> None:
    """NumPy's error of a full disk counts elements and says no more."""
    path = tmp_path / "x.npy"
    with pytest.raises(OSError, match="not written") as caught, files.replacing(path):
        raise OSError("1568000 requested and 262112 written")
    assert str(caught.value) == f"{path}: not written (1568000 requested and 262112 written); the disk may be full"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names_temporary", [False, True])
def test_a_full_disk_is_told_with_the_file(names_temporary: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(OSError, match="No space left") as caught, files.replacing(path) as temporary:
        raise OSError(errno.ENOSPC, "No space left on device", *([str(temporary)] if names_temporary else []))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_system_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, files.replacing(tmp_path / "x.txt"):
        (tmp_path / "gone").read_text()
    assert caught.value.filename == str(tmp_path / "gone")
