"""Errors as a user wants them: one line that says what is wrong, and no traceback unless it was asked for."""

import click

_BAD_INPUT = (ValueError, TypeError, FileNotFoundError, ImportError)
_OTHER = (OSError, ArithmeticError, MemoryError)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with the line that tells the user what is left and how to go on."""


class _BadInput(click.ClickException):
    exit_code = 2


class OneLineErrors(click.Command):
    """A command whose errors are one `Error: ...` line. Exit code 2: bad input; 1: another failure; 130: Ctrl-C."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            click.echo(str(interrupt) or "Interrupted.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click ends quietly: the reader had enough
        except (*_BAD_INPUT, *_OTHER) as error:
            if ctx.params.get("traceback"):  # an option of `vae` itself
                raise
            failure = _BadInput if isinstance(error, _BAD_INPUT) else click.ClickException
            raise failure(_line(error)) from error


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, ModuleNotFoundError) and first.startswith("No module named"):  # not one of our own messages
        return f"{first}; try: pip install 'vae-rosetta[app]'"
    return f"{first} [...]" if more else first
