"""The usual command line of replay means without typer what it means to typer."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import main, replay
from agent.cli.quick import FLAGS, LISTS, TEXTS, replay_line
from agent.model.vocabulary import Mode

COMMAND: Any = typer.main.get_command(main.build_app(["replay"])).commands["replay"]  # type: ignore[attr-defined]
PARAMETERS = {name: one for one in COMMAND.params for name in (*one.opts, *one.secondary_opts)}


def by_typer(line: list[str]) -> dict[str, Any]:
    """The arguments that typer calls the command with. Raises its usage errors."""
    called = {name: one.default for name, one in signature(replay.command).parameters.items()}
    for name, value in COMMAND.make_context("replay", list(line)).params.items():
        called[name] = Mode(value) if name == "mode" else list(value) if isinstance(value, tuple) else value
    return {name: None if value == [] else value for name, value in called.items()}


def quickly(line: list[str]) -> dict[str, Any] | None:
    found = replay_line(line)
    defaults = {name: one.default for name, one in signature(replay.command).parameters.items()}
    return None if found is None else defaults | found


@pytest.mark.parametrize("option", [*TEXTS, *LISTS, *FLAGS])
def test_an_option_is_spelled_and_kept_as_typer_has_it(option: str) -> None:
    known = PARAMETERS[option]
    parameter = TEXTS.get(option) or LISTS.get(option) or FLAGS[option][0]
    assert known.name == parameter
    assert known.multiple == (option in LISTS)
    assert known.is_flag == (option in FLAGS)
    if option in FLAGS:
        assert FLAGS[option][1] == (option not in known.secondary_opts)
    else:
        assert known.type.name in ("text", "str")  # as the version of typer has it


WORDS = [*TEXTS, *LISTS, *FLAGS, "--mode", "--limit", "--lenient", "--", "-", "-h", "--help", "--mode=full", "--mer"]
VALUES = ["a.pcap", "full", "selective", "none", "half", "on", "90", "x=1", "", " ", "2x", "-1"]


@given(st.lists(st.sampled_from(WORDS) | st.sampled_from(VALUES), max_size=10))
def test_a_line_that_is_read_means_the_same_to_typer(line: list[str]) -> None:
    found = quickly(line)
    if found is not None:
        assert found == by_typer(line)


USUAL = [
    ["day.pcap"],
    ["a.pcap", "-", "folder", "--merge"],
    ["day.pcap", "--rules", "r.yaml", "--mode", "selective", "--summary-json", "-", "--no-progress"],
    ["day.pcap", "--attribution", "a", "--attribution", "b", "--set", "loopback=off", "--set", "reauthorise=off"],
    ["--mode", "none", "day.pcap", "--decisions", "d.jsonl", "--events", "all", "--progress", "--fail-on-deny"],
]


@pytest.mark.parametrize("line", USUAL, ids=" ".join)
def test_usual_lines_are_read(line: list[str]) -> None:
    found = quickly(line)
    assert found is not None
    assert found == by_typer(line)


DOUBTFUL = [
    [],
    ["--merge"],
    ["day.pcap", "--help"],
    ["day.pcap", "--mode"],
    ["day.pcap", "--mode", "half"],
    ["day.pcap", "--ruls", "x"],
    ["day.pcap", "--rules=x"],
    ["day.pcap", "--rules", "a", "--rules", "b"],
    ["day.pcap", "--rules", "--merge"],
    ["day.pcap", "--progress", "--no-progress"],
    ["day.pcap", "--limit", "many"],
    ["--", "-odd-name.pcap"],
    ["", "day.pcap"],
]


@pytest.mark.parametrize("line", DOUBTFUL, ids=" ".join)
def test_whatever_is_in_doubt_is_left_to_typer(line: list[str]) -> None:
    assert replay_line(line) is None
