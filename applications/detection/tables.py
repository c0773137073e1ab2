"""Rows out of Parquet and CSV files: a column a pixel, in the order of the file.

The columns are those whose names begin as the caller says, or else all that hold numbers, the one that names the rows
left out.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vae_rosetta.applications.detection.rows import Raw, RawPart, Source, rows_in_a_part

_BUFFER: Final = 1 << 16  # bytes read ahead in each column: else a row group is read whole


class _BadRow(ValueError):
    """A row that cannot be used, in a file that can be read; the message is complete."""


class Columns(NamedTuple):
    """Which columns of a table are meant."""

    prefix: str | None = None  # of the pixels' names; None: all that hold numbers
    name: str | None = None  # of the column that names the rows; None: their number does


def parquet(path: Path, input_dim: int, columns: Columns) -> Source:
    """A Parquet file, integers or floats.

    Raises:
        OSError, ValueError: it cannot be read, or lacks the columns; the message names it.
    """
    with _told(path, "a whole Parquet file"), pq.ParquetFile(path) as file:
        schema, count = file.schema_arrow, file.metadata.num_rows
    numbers = {field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)}
    pixels = _choose(path, schema.names, numbers, input_dim, columns)
    kinds = {pa.types.is_floating(schema.field(name).type): name for name in reversed(pixels)}
    if len(kinds) == 2:
        raise ValueError(f"{path}: got integers in {kinds[False]} and floats in {kinds[True]}; expected one of the two")
    wanted = pixels if columns.name is None or columns.name in pixels else [*pixels, columns.name]

    def read() -> Iterator[RawPart]:
        start = 0
        with (
            _told(path, "a whole Parquet file"),
            pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file,
        ):
            for batch in file.iter_batches(rows_in_a_part(input_dim), columns=wanted, use_threads=False):
                chosen = batch.select(pixels)
                _check_complete(path, chosen, start)
                names = None if columns.name is None else list(map(str, batch.column(columns.name).to_pylist()))
                yield RawPart(chosen.to_tensor(row_major=True).to_numpy(), names)
                start += len(batch)

    return Source(path, count, None, columns.name, read)


def csv(path: Path, input_dim: int, columns: Columns) -> Source:
    """A CSV file with a header line, packed (.csv.gz) or not.

    Raises:
        OSError, ValueError: see `parquet`; also for a file without a header.
    """
    as_text: dict[str, type] = {} if columns.name is None else {columns.name: str}
    with _told(path, "a CSV file"):
        first = pd.read_csv(path, nrows=rows_in_a_part(input_dim), dtype=as_text, low_memory=False)
    header = [str(name) for name in first.columns]
    if header and all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", name, re.IGNORECASE) for name in header):
        raise ValueError(f"{path}: got numbers in the first line; expected a header, the names of the columns")
    pixels = _choose(path, header, set(first.select_dtypes("number").columns), input_dim, columns)

    def read() -> Iterator[RawPart]:
        step = rows_in_a_part(input_dim)
        with (
            _told(path, "a CSV file"),
            pd.read_csv(path, chunksize=step, dtype=as_text, low_memory=False) as chunks,
        ):
            for chunk in chunks:
                names = None if columns.name is None else chunk[columns.name].astype(str).tolist()
                yield RawPart(_numbers(path, chunk, pixels), names)

    return Source(path, None, None, columns.name, read)


def _numbers(path: Path, chunk: pd.DataFrame, pixels: list[str]) -> Raw:
    """The pixels of some rows (n, D)."""
    if words := [name for name in pixels if chunk[name].dtype.kind not in "iuf"]:
        column = chunk[words[0]]
        row = pd.to_numeric(column, errors="coerce").isna().idxmax()
        raise _BadRow(f"{path}: row {row}, column {words[0]}: got {column[row]!r}; expected a number")
    values: Raw = chunk[pixels].to_numpy()
    if (missing := np.isnan(values)).any():
        row, pixel = np.argwhere(missing)[0]
        raise _BadRow(_no_value(path, int(chunk.index[row]), pixels[pixel]))
    return values


def _choose(path: Path, header: Sequence[str], numbers: set[str], input_dim: int, columns: Columns) -> list[str]:
    """The columns of pixels."""
    if columns.name is not None and columns.name not in header:
        raise ValueError(f"{path}: got no column {columns.name}; expected it, to name the rows: {_some(header)}")
    if columns.prefix is None:
        chosen = [name for name in header if name in numbers and name != columns.name]
        found = f"{len(chosen)} columns of numbers"
    else:
        chosen = [name for name in header if name.startswith(columns.prefix)]
        found = f"{len(chosen)} columns that begin with {columns.prefix!r}"
        if words := [name for name in chosen if name not in numbers]:
            raise ValueError(f"{path}: column {words[0]}: got what is no number; expected pixels")
    if len(chosen) != input_dim:
        lacking = _lacking(chosen)
        hint = f", and {lacking} is not there" if lacking else f" ({_some(chosen or header)}); --columns chooses"
        raise ValueError(f"{path}: got {found}; expected {input_dim}, one for each pixel of the model{hint}")
    return chosen


def _lacking(names: Sequence[str]) -> str | None:
    """The first name that a numbered row of columns leaves out, as pixel7 in pixel6, pixel8."""
    parts = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    numbered = [(part[1], int(part[2])) for part in parts if part]
    for (stem, number), (other, following) in itertools.pairwise(numbered):
        if stem == other and following == number + 2:
            return f"{stem}{number + 1}"
    return None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]}, ... {names[-1]}"


def _no_value(path: Path, row: int, column: str) -> str:
    return f"{path}: row {row}, column {column}: got no value; expected a number for every pixel"


def _check_complete(path: Path, batch: pa.RecordBatch, start: int) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            row = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise _BadRow(_no_value(path, row, name))


@contextmanager
def _told(path: Path, expected: str) -> Iterator[None]:
    """Turns the errors of reading a damaged file into one that names it."""
    try:
        yield
    except (FileNotFoundError, _BadRow):
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path}: got a file that cannot be used ({_first_line(error)}); expected {expected}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
