"""The door: finds the command, turns every failure into one line and an exit code.

Knows the exit codes of the contract. Must not know what a command does. ISOLATION_AGENT_DEBUG=1 shows tracebacks.

    exit codes: 0 done, 1 the answer is no, 2 usage or bad input, 3 the environment, 130 interrupted
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from agent.cli.output import PROGRAM, emit, error_line
from agent.model.errors import AgentError, EnvironmentFailure, UsageError

INTERRUPTED = 130
COLLECT_AFTER = 200_000
"""New containers until the next search for cycles. Python's 700 would search dozens of times while modules are loaded
and hundreds of times while documents are read, for cycles that hardly exist."""

Command = Callable[..., int]


def _replay() -> Command:
    from agent.cli import replay

    return replay.command


def _explain() -> Command:
    from agent.cli import explain

    return explain.command


def _check() -> Command:
    from agent.cli import check

    return check.command


def _generate() -> Command:
    from agent.cli import generate

    return generate.command


def _record() -> Command:
    from agent.cli import record

    return record.command


def _sockets() -> Command:
    from agent.cli import sockets

    return sockets.command


def _attribution() -> Command:
    from agent.cli import attribution

    return attribution.command


def _doctor() -> Command:
    from agent.cli import doctor

    return doctor.command


COMMANDS: dict[str, Callable[[], Command]] = {
    "replay": _replay,
    "explain": _explain,
    "check": _check,
    "generate": _generate,
    "record": _record,
    "sockets": _sockets,
    "attribution": _attribution,
    "doctor": _doctor,
}
"""Name to its module's loader: a command pays for its own imports only."""


def build_app(names: Sequence[str]) -> typer.Typer:
    """The program with the commands of `names`."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Judges network traffic as a device in network isolation would: what is cut, what survives, and why.",
    )

    @app.callback(invoke_without_command=True)
    def top(
        context: typer.Context,
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ) -> None:
        if context.invoked_subcommand is None:
            emit(context.get_help() + "\n")

    for name in names:
        app.command(name)(COMMANDS[name]())
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from agent import __version__

        emit(f"{PROGRAM} {__version__}\n")
        raise typer.Exit


def _commands_for(arguments: Sequence[str]) -> list[str]:
    """The one command that is called, or all where help is wanted. Raises UsageError for an unknown one."""
    if not arguments or arguments[0].startswith("-"):
        return list(COMMANDS)
    if arguments[0] in COMMANDS:
        return [arguments[0]]
    raise UsageError(f"no such command {arguments[0]}; {_nearest(arguments[0], list(COMMANDS))}")


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib  # only after a mistake

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code. Raises nothing."""
    try:
        code = build_app(_commands_for(arguments))(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except AgentError as error:
        _debug()
        error_line(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        _debug()
        place = f"{error.filename}: " if error.filename else ""
        error_line(f"{place}{error.strerror or error}")
        return EnvironmentFailure.exit_code
    except MemoryError:
        _debug()
        error_line("out of memory")
        return EnvironmentFailure.exit_code
    except Exception as error:  # noqa: BLE001 - the last guard: nobody must see a traceback unasked
        _debug()
        if message := _usage_message(error):
            error_line(message)
            return AgentError.exit_code
        error_line(f"internal error: {type(error).__name__}: {error} (ISOLATION_AGENT_DEBUG=1 shows where)")
        return EnvironmentFailure.exit_code


def _usage_message(error: Exception) -> str | None:
    """The text of a usage error of typer, or None. By duck type: their classes moved between its versions."""
    describe = getattr(error, "format_message", None)
    if describe is None:
        return None
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option and context is not None and hasattr(error, "possibilities"):
        known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        return f"no such option {option}; {_nearest(option, known)}"
    return str(describe()).rstrip(".").replace(": Value error, ", ": ")


def _debug() -> None:
    if os.environ.get("ISOLATION_AGENT_DEBUG") == "1":
        import traceback

        traceback.print_exc()


def main() -> NoReturn:
    """The console script."""
    gc.set_threshold(COLLECT_AFTER)
    code = run(sys.argv[1:])
    gc.freeze()  # nothing that is left needs to be searched before it goes
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            os._exit(code)  # closed or full: the interpreter's own flush would complain, and spoil the code
    sys.exit(code)
