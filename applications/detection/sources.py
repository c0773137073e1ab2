"""Where rows of pixels come from: the reader that a path calls for."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from vae_rosetta.applications.detection.rows import Source

ENDINGS: Final = (".npy", ".npz", ".parquet", ".csv", ".csv.gz")


def is_table(path: Path) -> bool:
    """Whether the name is that of a Parquet or CSV file, which has columns with names."""
    return path.name.lower().endswith((".parquet", ".csv", ".csv.gz")) and not path.is_dir()


def open_source(path: Path, input_dim: int, *, columns: str | None = None, name: str | None = None) -> Source:
    """The rows in `path`: .npy or .npz, idx images (gzipped or not), a folder of PNGs, Parquet or CSV.

    Whole numbers are 0 .. 255 and are divided by 255; floats are in [0, 1].

    Args:
        input_dim: pixels of an image, as the model has.
        columns: how the names of a table's pixel columns begin; None: all columns of numbers.
        name: the column of a table that names the rows.

    Raises:
        FileNotFoundError: there is no such file.
        OSError, ValueError: it cannot be read, is of another kind, or does not fit; the message names it.
    """
    table = is_table(path)
    if not path.exists():
        raise FileNotFoundError(f"in: got {path}; there is no such file or folder")
    if not table and (columns is not None or name is not None):
        option = "columns" if columns is not None else "id"
        raise ValueError(f"{option}: got {columns or name!r} for {path}; expected it for a table (.parquet, .csv) only")
    if table:
        from vae_rosetta.applications.detection.tables import (  # pandas and pyarrow take a second to import
            Columns,
            csv,
            parquet,
        )

        read = parquet if path.suffix.lower() == ".parquet" else csv
        return read(path, input_dim, Columns(columns, name))
    if path.is_dir():
        from vae_rosetta.applications.detection.png_folder import png_folder

        return png_folder(path, input_dim)
    from vae_rosetta.applications.detection import arrays

    kinds: dict[str, Callable[[Path, int], Source]] = {".npy": arrays.npy, ".npz": arrays.npz}
    if path.suffix.lower() in kinds:
        return kinds[path.suffix.lower()](path, input_dim)
    if arrays.is_idx(path):
        return arrays.idx_images(path, input_dim)
    raise ValueError(f"in: got {path}; expected {', '.join(ENDINGS)}, idx images, or a folder of .png files")
