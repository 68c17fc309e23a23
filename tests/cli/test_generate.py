"""`generate`: from a scenario to files, all or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.traffic.scenario import builtin_names

SCENARIO = """\
version: 1
description: One ping
seed: 1
start: 2026-01-05T09:00:00Z
device: {id: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07, name: lab, platform: Windows11, addresses: [10.0.0.5]}
activities:
  - {kind: ping, remote: 192.0.2.1}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "ping.yaml"
    path.write_text(SCENARIO, "utf-8")
    return str(path)


def test_the_list_has_every_built_in_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["generate", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["scenarios"]
    assert [(row["name"], row["description"]) for row in listed] == builtin_names()
    assert main.run(["generate", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(row["name"] in out and row["description"] in out for row in listed)


def test_all_three_files_are_written(scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {name: tmp_path / name for name in ("out.pcapng", "out.jsonl", "out.yaml")}
    arguments = ["-o", str(paths["out.pcapng"]), "--sockets", str(paths["out.jsonl"])]
    assert main.run(["generate", scenario, *arguments, "--device", str(paths["out.yaml"]), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["packets"] > 0
    assert answer["first"] == "2026-01-05T09:00:00.000000Z"
    assert all(path.exists() for path in paths.values())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.jsonl", "out.pcapng", "out.yaml", "ping.yaml"]


def test_a_seed_can_be_chosen(scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same bytes; the answer says which it was."""
    captures = []
    for number, seed in enumerate(("7", "7", "8")):
        path = tmp_path / f"{number}.pcapng"
        assert main.run(["generate", scenario, "-o", str(path), "--seed", seed, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["seed"] == int(seed)
        captures.append(path.read_bytes())
    assert captures[0] == captures[1]
    assert captures[0] != captures[2]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        pytest.param([], 2, "--list shows the built-in ones", id="nothing"),
        pytest.param(["beacon"], 2, "give -o OUT.pcapng", id="no-output"),
        pytest.param(["no-such", "-o", "x.pcapng"], 2, "no such file", id="unknown"),
        pytest.param(["PING", "-o", "-"], 2, "-o -: give a file name", id="stdout"),
        pytest.param(["PING", "-o", "absent/x.pcapng"], 3, "absent/x.pcapng: cannot write", id="no-folder"),
        pytest.param(["PING", "-o", "x", "--device", "x"], 2, "x: named for two outputs", id="twice"),
    ],
)
def test_what_cannot_be_generated_is_one_line_and_no_file(
    arguments: list[str],
    code: int,
    line: str,
    scenario: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["generate", *(scenario if one == "PING" else one for one in arguments)]) == code
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["ping.yaml"]
