"""Scores into a file, a part at a time; it appears when all of it is there.

A row has its number in the input from 0 (`row`), its name if it has one (`id`), its score in nats, and, where there is
a threshold, whether it is above (`flagged`) and whether another backend may decide otherwise (`near`). What was done is
told as JSON under the key `vae-rosetta` of a Parquet file's metadata, and beside a file of another kind, in
NAME.summary.json.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

import numpy as np
import numpy.typing as npt

from vae_rosetta.shared import files

if TYPE_CHECKING:
    import pyarrow.parquet as pq

ENDINGS: Final = (".parquet", ".csv", ".jsonl")
METADATA_KEY: Final = "vae-rosetta"

Column = npt.NDArray[Any] | list[str]
Columns = Mapping[str, Column]  # of one length; the same names and types in every part


class Writer(Protocol):
    """A file of scores that is being written."""

    def write(self, columns: Columns) -> None:
        """Adds rows."""
        ...

    def finish(self, summary: Mapping[str, Any]) -> None:
        """All rows are there; `summary` is what was done."""
        ...


def summary_path(out: Path) -> Path | None:
    """Where the summary of `out` goes; None: into the file itself."""
    return None if out.suffix.lower() == ".parquet" else out.with_name(f"{out.stem}.summary.json")


@contextmanager
def writing(out: Path) -> Iterator[Writer]:
    """A writer by the ending of `out`; the file, and its summary, take their places if the block ends without an error.

    Raises:
        OSError: a file cannot be written; `out` is then as it was.
    """
    beside = summary_path(out)
    with ExitStack() as stack:
        if beside is None:
            parquet = _Parquet(stack.enter_context(files.replacing(out)))
            stack.callback(parquet.close)
            yield parquet
        else:
            summary = stack.enter_context(files.replacing(beside))
            rows = stack.enter_context(files.replacing(out))
            stream = stack.enter_context(rows.open("w", encoding="utf-8", newline=""))
            yield (_Csv if out.suffix.lower() == ".csv" else _JsonLines)(stream, summary)


class _Text:
    """What CSV and JSON lines share: a stream for the rows, and a file beside it for the summary."""

    def __init__(self, stream: TextIO, summary: Path) -> None:
        self._stream, self._summary = stream, summary

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


class _Csv(_Text):
    _header: list[str] | None = None

    def write(self, columns: Columns) -> None:
        rows = csv.writer(self._stream, lineterminator="\n")
        if self._header is None:
            self._header = list(columns)
            rows.writerow(self._header)
        words = [["false", "true"] if np.asarray(column).dtype == bool else None for column in columns.values()]
        plain = [
            values if word is None else [word[value] for value in values]
            for values, word in zip(map(_plain, columns.values()), words, strict=True)
        ]
        rows.writerows(zip(*plain, strict=True))


class _JsonLines(_Text):
    def write(self, columns: Columns) -> None:
        names = list(columns)
        for values in zip(*map(_plain, columns.values()), strict=True):
            self._stream.write(json.dumps(dict(zip(names, values, strict=True))) + "\n")


class _Parquet:
    _writer: "pq.ParquetWriter | None" = None

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, columns: Columns) -> None:
        import pyarrow as pa  # takes a second to import
        import pyarrow.parquet as pq

        table = pa.table({name: pa.array(column) for name, column in columns.items()})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def finish(self, summary: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.add_key_value_metadata({METADATA_KEY: json.dumps(summary)})

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _plain(column: Column) -> list[Any]:
    """As Python's own numbers."""
    return column if isinstance(column, list) else column.tolist()
