"""How every command here reads its arguments, reports an error and ends: `Command` and its kin, on click.

A callback returns nothing, or its exit code where the answer is no. Whatever it raises becomes one `Error: ...` line on
stderr and a code of `EXIT_CODES`. This module imports no NumPy, so that `--help` answers at once.
"""

import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NoReturn

import click

DONE, NO, BAD_INPUT, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES: Final = MappingProxyType(
    {
        DONE: "The work is done, and what was graded conforms.",
        NO: "The work is done and the answer is no: a port does not conform, a loss deviates, a benchmark refuses a "
        "port. Or something failed: no space is left, a loss is no longer finite.",
        BAD_INPUT: "The input is bad: a wrong argument, a missing file, module or package, a port that cannot be "
        "graded, options that leave no test.",
        BROKEN: "The program itself broke. The traceback shows where; please report it.",
        INTERRUPTED: "Ctrl-C ended the work.",
    }
)

# What a caller did wrong, and what may fail without anybody's fault. Anything else is a bug.
_BAD_INPUT: Final = (ValueError, TypeError, FileNotFoundError, FileExistsError, ImportError)
_FAILURES: Final = (OSError, ArithmeticError, MemoryError, RuntimeError)


class _Whole(click.IntRange):
    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"


WHOLE: Final = _Whole(min=1)
SEED: Final = _Whole(min=0)

_TRACEBACK: Final = "vae_rosetta.traceback"  # in the context: whether it was asked for
_LEAST_WIDTH, _MOST_WIDTH = 30, 80  # columns of a help text


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with the line that tells the user what is left and how to go on."""


class _Failure(click.ClickException):
    """An error that has been put into words, and the exit code that it ends with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Stop(_Failure):
    """The end by Ctrl-C, which is no error."""


class _Formatter(click.HelpFormatter):
    """Help that fits the terminal, a narrow one too: click's own takes at least 50 columns."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        columns = shutil.get_terminal_size().columns
        fitting = max(min(columns, max_width or _MOST_WIDTH) - 1, _LEAST_WIDTH)
        super().__init__(indent_increment, fitting if width is None else width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(list(rows), min(col_max, self.width // 3), col_spacing)


class _Context(click.Context):
    formatter_class = _Formatter


class Command(click.Command):
    """A command with `--traceback`, `-h` and examples, which ends as `EXIT_CODES` says."""

    context_class = _Context

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        """`examples` are command lines; the help shows them as they stand."""
        more["context_settings"] = {"help_option_names": ["-h", "--help"], **(more.get("context_settings") or {})}
        super().__init__(*args, **more)
        self.params.append(_traceback_option())
        self.examples = tuple(examples)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command and ends the process, unless `standalone_mode` is off."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            click.echo(_words(error), err=True)
            code = error.code if isinstance(error, _Failure) else error.exit_code
        except (click.Abort, KeyboardInterrupt):  # outside `invoke`, which has words of its own for it
            click.echo("Interrupted.", err=True)
            code = INTERRUPTED
        sys.exit(code or DONE)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # in words already; a reader that has had enough is click's to deal with
        except KeyboardInterrupt as interrupt:
            raise _Stop(str(interrupt) or "Interrupted.", INTERRUPTED) from interrupt
        except Exception as error:
            _fail(ctx, error)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"{' ' * formatter.current_indent}{line}\n" for line in self.examples))
        super().format_epilog(ctx, formatter)


class Group(Command, click.Group):
    """Commands that are imported when they are needed."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **more: Any) -> None:
        """`lazy` says where each command is: "package.module:attribute"."""
        super().__init__(*args, **more)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self.find(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Whole sentences on a narrow terminal too, where click's own are cut."""
        with formatter.section("Commands"):
            found = ((name, self.find(name)) for name in self._lazy)
            formatter.write_dl([(name, command.get_short_help_str(_MOST_WIDTH)) for name, command in found if command])

    def find(self, name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if name not in self._lazy:
            return None
        module, _, attribute = self._lazy[name].partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found


class CommandWithOthers(Command):
    """A command of its own whose first word may name another: `vae bench torch`, and `vae bench show`."""

    def __init__(self, *args: Any, others: Mapping[str, str], **more: Any) -> None:
        """`others` as those of `Group`."""
        super().__init__(*args, **more)
        self.others = Group(lazy=others)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        other = self.others.find(args[0]) if args else None
        if other is None:
            return super().make_context(info_name, args, parent, **extra)
        return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.others.format_commands(ctx, formatter)


def import_from_current_folder() -> None:
    """Lets a user's own modules be imported from the current folder, as `python -m` does and an installed script does
    not; Python's option -P forbids it to both.

    Raises:
        FileNotFoundError: the current folder has been deleted.
    """
    here = os.getcwd()  # noqa: PTH109 -- a string, as Python's path has
    if not sys.flags.safe_path and here not in sys.path[:1]:
        sys.path.insert(0, here)


def exit_codes(formatter: click.HelpFormatter) -> None:
    """Writes the table of exit codes as a section of a help text."""
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def _fail(ctx: click.Context, error: Exception) -> NoReturn:
    """Ends with the error in one line; with a traceback above it if that was asked for, or if it is a bug."""
    if isinstance(error, _BAD_INPUT):
        failure = _Failure(_line(error), BAD_INPUT)
    elif isinstance(error, _FAILURES):
        failure = _Failure(_line(error), NO)
    else:
        failure = _Failure(f"{type(error).__name__}: {_line(error)}; this is a bug of vae-rosetta", BROKEN)
    if failure.code == BROKEN or ctx.meta.get(_TRACEBACK):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    raise failure from error


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, ModuleNotFoundError) and first.startswith("No module named"):  # not one of our own messages
        return f"{first}; try: pip install 'vae-rosetta[app]'"
    return f"{first} [...]" if more else first


def _words(error: click.ClickException) -> str:
    """What is printed: one line, but for the help of a command that was given no arguments."""
    if isinstance(error, _Stop) or (isinstance(error, click.UsageError) and _is_help(error)):
        return error.format_message()
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"Error: {message.rstrip('.')}. See: {error.ctx.command_path} --help"
    return f"Error: {message}"


def _is_help(error: click.UsageError) -> bool:
    return isinstance(error, click.exceptions.NoArgsIsHelpError)


def _traceback_option() -> click.Option:
    def ask(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            ctx.meta[_TRACEBACK] = True

    return click.Option(
        ["--traceback"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=ask,
        help="On an error, show where it arose.",
    )
