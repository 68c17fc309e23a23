"""The door: exit codes, one line per failure, never a traceback unasked."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from agent.cli import main
from agent.model.errors import CaptureError, EnvironmentFailure, PolicyError, UsageError
from tests.cli.samples import ROOT, command


def run(*arguments: str) -> int:
    return main.run(arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(["nope"], f"no such command nope; known: {', '.join(main.COMMANDS)}", id="command"),
        pytest.param(["repaly"], "no such command repaly; did you mean replay?", id="command-near"),
        pytest.param(["replay", "--ruls", "x"], "no such option --ruls; did you mean --rules?", id="option-near"),
        pytest.param(["replay", "x.pcap", "--mode", "half"], "'half' is not one of", id="choice"),
        pytest.param(["replay"], "Missing argument 'CAPTURE...'", id="argument"),
        pytest.param(["replay", "x.pcap", "--limit", "-1"], "--limit", id="range"),
        pytest.param(["replay", "x.pcap", "--limit"], "--limit", id="no-value"),
        pytest.param(["explain", "--remote", "1.2.3.4"], "--direction", id="missing-option"),
        pytest.param(["replay", "x.pcap", "--set", "loopbak=off"], "did you mean loopback?", id="setting"),
        pytest.param(["replay", "x.pcap", "--format", "ecs"], "--format ecs", id="format-of-later"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("isolation-agent: error: ")
    assert line in captured.err
    assert captured.err.count("\n") == 1


FAILURES = [
    pytest.param(UsageError("--x: wrong"), 2, "--x: wrong", id="usage"),
    pytest.param(
        PolicyError("r.yaml", "bad", rule="windows_rules[0]"), 2, "r.yaml: windows_rules[0]: bad", id="policy"
    ),
    pytest.param(CaptureError("a.pcap", 24, "ends"), 2, "a.pcap: at byte 24: ends", id="capture"),
    pytest.param(EnvironmentFailure("out: cannot write"), 3, "out: cannot write", id="environment"),
    pytest.param(PermissionError(13, "Permission denied", "f.bin"), 3, "f.bin: Permission denied", id="os"),
    pytest.param(MemoryError(), 3, "out of memory", id="memory"),
    pytest.param(KeyError("x"), 3, "internal error: KeyError: 'x' (ISOLATION_AGENT_DEBUG=1 shows where)", id="bug"),
]


@pytest.mark.parametrize(("error", "code", "line"), FAILURES)
def test_every_failure_is_one_line_with_its_exit_code(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise error

    monkeypatch.delenv("ISOLATION_AGENT_DEBUG", raising=False)
    monkeypatch.setitem(main.COMMANDS, "doctor", lambda: fail)
    assert run("doctor") == code
    assert capsys.readouterr().err == f"isolation-agent: error: {line}\n"


def test_a_traceback_is_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise KeyError("x")

    monkeypatch.setitem(main.COMMANDS, "doctor", lambda: fail)
    monkeypatch.setenv("ISOLATION_AGENT_DEBUG", "1")
    assert run("doctor") == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(main.COMMANDS, "doctor", lambda: interrupt)
    assert run("doctor") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 130])
def test_a_commands_own_code_is_the_programs(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.COMMANDS, "doctor", lambda: lambda: code)
    assert run("doctor") == code


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"isolation-agent {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_all_are_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}  " in out for name in main.COMMANDS)


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert "Usage: isolation-agent" in capsys.readouterr().out


def test_commands_of_later_versions_are_absent_and_not_empty_promises(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run", "isolate", "portal", "record", "sockets"):
        assert run(name) == 2
    assert "no such command" in capsys.readouterr().err


def test_the_program_runs_as_a_module(tmp_path: Path) -> None:
    done = command("doctor", "--wrong", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr == b"isolation-agent: error: no such option --wrong; known: --json\n"


@pytest.mark.parametrize(("arguments", "code"), [("nope 2>&-", 2), ("doctor >&-", 0), ("doctor --json >&- 2>&-", 0)])
def test_closed_outputs_do_not_spoil_the_exit_code(arguments: str, code: int, tmp_path: Path) -> None:
    """The text is lost; what a script reads is not."""
    script = f"{shlex.quote(sys.executable)} -m agent.cli {arguments}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", script], check=False, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == code
