"""`doctor`: looks at everything, fails at nothing."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from pathlib import Path

import pytest

from agent.cli import doctor, main


def test_the_table_and_the_json_have_the_same_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert main.run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert {row["area"] for row in answer["findings"]} == {
        "engine", "system", "library", "privilege", "tool", "kernel", "recording", "attribution"
    }  # fmt: skip
    assert all(row["name"] in out for row in answer["findings"])
    assert f"{answer['engine']} engine" in out


def test_the_compiled_modules_are_those_of_setup_py(root: Path) -> None:
    """The list is written in two files, since a build script cannot be imported."""
    tree = ast.parse((root / "setup.py").read_text("utf-8"))
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.List)
    }
    assert sorted(lists["COMPILED"]) == list(doctor.COMPILED)


def test_each_module_is_reported_as_it_runs() -> None:
    for finding in doctor.examine():
        if finding.area == "engine":
            assert finding.ok is not str(import_module(finding.name).__file__).endswith(".py"), finding.name


@pytest.mark.parametrize(
    ("compiled", "word"), [([True, True], "compiled"), ([True, False], "partly compiled"), ([False], "interpreted")]
)
def test_the_engines_word(compiled: list[bool], word: str) -> None:
    findings = [doctor.Finding(area="engine", name="m", ok=ok, value="") for ok in compiled]
    assert doctor.engine(findings) == word


def test_a_broken_machine_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a look raises becomes a line of the table."""

    def broken(module: str) -> tuple[bool, str]:
        raise RuntimeError(f"no {module}")

    monkeypatch.setattr(doctor, "_compiled", broken)
    finding = doctor.examine()[0]
    assert finding.ok is False
    assert finding.value == f"RuntimeError: no {doctor.COMPILED[0]}"


@pytest.mark.needs_root
def test_whether_recording_is_possible_is_told() -> None:
    found = {finding.name: finding for finding in doctor.examine() if finding.area == "recording"}
    assert (found["capture"].ok, found["capture"].value) == (True, "possible")
    assert found["filter"].ok is not found["filter"].value.startswith("no ")
