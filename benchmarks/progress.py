"""What the user sees while a run goes on: a bar on a terminal, and a line for each backend that is refused."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column


class Progress:
    """A `benchmarks.run.Watcher` on stderr. `results` prints to stdout."""

    def __init__(self) -> None:
        self.results = Console(highlight=False)
        self._console = Console(stderr=True, highlight=False)
        one_line = Column(no_wrap=True)
        self._bar = Bar(
            TextColumn("{task.completed}/{task.total}", table_column=one_line),
            BarColumn(bar_width=16),
            TimeElapsedColumn(table_column=one_line),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self._console,
            transient=True,
            auto_refresh=False,  # drawn between turns only, not beside what is being measured
            redirect_stdout=False,  # stdout may be a file while stderr is the terminal
            disable=not self._console.is_terminal or self._console.is_dumb_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def turn(self, number: int, total: int, text: str) -> None:
        self._bar.update(self._task, completed=number - 1, total=total, description=text, visible=True, refresh=True)

    def refused(self, module: str, reason: str) -> None:
        self._console.print(f"refused: {module} {reason}", soft_wrap=True, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
