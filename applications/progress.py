"""What the user sees while a model trains: a bar on a terminal, and one line per epoch everywhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from vae_rosetta.shared.recipe import Epoch

_NARROW = 76  # columns that a line with every figure needs


@contextmanager
def counting(what: str, total: int | None, *, unit: str | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal, while something is counted; yields a function that takes what is done.

    Args:
        what: a few words, shown beside the bar.
        total: the count at the end; None: not known.
        unit: what is counted, to show how many a second.
    """
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        *([_Rate(unit)] if unit is not None else []),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        expand=True,
        redirect_stdout=False,
        disable=not console.is_terminal or console.is_dumb_terminal,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, advance=done)


class _Rate(ProgressColumn):
    """How many a second, of late."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._unit}/s")


class Report:
    """A progress bar on stderr if that is a terminal, and a line on stdout for each finished epoch.

    Used as a context manager around the training; `batch` fits `progress` of `shared.recipe.fit`.
    """

    def __init__(self, *, epochs: int, first_epoch: int, images: int) -> None:
        self._epochs, self._epoch, self._images = epochs, first_epoch, images
        self._console = Console(stderr=True, highlight=False)
        self._narrow = self._console.is_terminal and self._console.width < _NARROW
        self._started = time.perf_counter()
        one_line = Column(no_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", table_column=one_line),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", table_column=one_line),
            TimeRemainingColumn(compact=True, table_column=one_line),
            console=self._console,
            transient=True,
            expand=True,
            redirect_stdout=False,  # stdout may be a file while stderr is the terminal
            disable=not self._console.is_terminal or self._console.is_dumb_terminal,
        )
        total, completed = epochs * images, first_epoch * images
        self._task = self._bar.add_task(self._at(), total=total, completed=completed, figures="")

    def __enter__(self) -> Self:
        self._bar.start()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def batch(self, images: int, objective: float) -> None:
        """`images` of the epoch under way are done, at `objective` nats each."""
        rate = images / (time.perf_counter() - self._started)
        figures = f"{rate:,.0f}/s {objective:.2f}" if self._narrow else f"{rate:,.0f} images/s  {objective:.2f} nats"
        completed = self._epoch * self._images + images
        self._bar.update(self._task, completed=completed, description=self._at(), figures=figures)

    def epoch(self, epoch: Epoch) -> None:
        """An epoch and its files are done."""
        self._epoch = epoch.number
        of = f"{epoch.number:>{len(str(self._epochs))}}/{self._epochs}"
        test = epoch.test.objective if epoch.test is not None else float("nan")
        if self._narrow:
            line = f"{of} train {epoch.objective:.2f} test {test:.2f}"
        else:
            losses = f"train {epoch.objective:8.3f}  test {test:8.3f} nats per image"
            line = f"epoch {of}  {losses}  {epoch.images_per_second:,.0f} images/s"
        if self._bar.disable or not sys.stdout.isatty():
            click.echo(line)
        else:
            self._console.print(line)  # above the bar
        self._started = time.perf_counter()

    def _at(self) -> str:
        """The epoch under way, of how many."""
        at = f"{min(self._epoch + 1, self._epochs)}/{self._epochs}"
        return at if self._narrow else f"epoch {at}"
