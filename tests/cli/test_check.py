"""`check`: exit codes, several documents at once, the table and the JSON from one value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from tests.cli.samples import RULES

BAD = "version: 1\nwindows_rules:\n  - name: Both\n    direction: Both\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    contents = {"good": RULES, "bad": BAD, "version": "version: 2\n", "empty": "", "garbage": "\0\1\2"}
    for name, content in contents.items():
        (tmp_path / f"{name}.yaml").write_text(content, "utf-8")
    return {name: str(tmp_path / f"{name}.yaml") for name in contents}


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main.run(["check", *arguments, "--json"])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, answer


def test_a_good_document_is_answered_with_0(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = checked(capsys, files["good"])
    assert code == 0
    assert answer["ok"] is True
    assert answer["documents"][0]["rules"] == {"windows_rules": 2, "mac_rules": 0, "linux_rules": 0}


@pytest.mark.parametrize("name", ["bad", "version", "empty", "garbage"])
def test_a_document_that_is_not_valid_is_answered_with_1(
    name: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that the check found is its answer, not its failure."""
    code, answer = checked(capsys, files[name])
    assert code == 1
    assert answer["ok"] is False
    assert answer["documents"][0]["valid"] is False
    assert [finding["code"] for finding in answer["documents"][0]["findings"]] == ["invalid_document"]


def test_an_error_names_rule_and_field(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    finding = checked(capsys, files["bad"])[1]["documents"][0]["findings"][0]
    assert finding["rule"].startswith("windows_rules[0] 'Both'")
    assert finding["text"].startswith("direction: ")


def test_one_bad_document_among_good_ones_is_found(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = checked(capsys, files["good"], files["bad"], files["good"])
    assert code == 1
    assert [document["valid"] for document in answer["documents"]] == [True, False, True]


def test_a_warning_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unbounded rule is loudly warned of; refused only by setting, which makes it an error."""
    path = tmp_path / "wide.yaml"
    path.write_text("version: 1\nisolation_exclusions: true\nwindows_rules: [{name: All}]\n", "utf-8")
    code, answer = checked(capsys, str(path))
    assert code == 0
    assert "unbounded_rule" in [finding["code"] for finding in answer["documents"][0]["findings"]]
    assert checked(capsys, str(path), "--set", "policy.reject_unbounded_rules=on")[0] == 1


def test_a_device_makes_a_missing_executable_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules, device = tmp_path / "rules.yaml", tmp_path / "device.yaml"
    rules.write_text(RULES, "utf-8")
    device.write_text(
        "version: 1\nid: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07\nname: lab\nplatform: Windows11\nexecutables: []\n",
        "utf-8",
    )
    assert checked(capsys, str(rules))[0] == 0
    assert checked(capsys, str(rules), "--device", str(device))[0] == 1


def test_the_warning_of_the_source_is_always_there(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", files["good"]]) == 0
    assert "any exclusion weakens isolation" in capsys.readouterr().out


def test_the_table_has_what_the_json_has(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    finding = checked(capsys, files["bad"])[1]["documents"][0]["findings"][0]
    assert main.run(["check", files["bad"]]) == 1
    out = capsys.readouterr().out
    assert all(finding[key] in out for key in ("severity", "code", "rule", "text"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(["absent.yaml"], "absent.yaml: cannot be read: No such file or directory", id="absent"),
        pytest.param(["."], "cannot be read: Is a directory", id="directory"),
        pytest.param([], "RULES", id="nothing"),
    ],
)
def test_what_cannot_be_read_is_answered_with_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1


def test_a_bad_device_is_bad_input(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", files["good"], "--device", files["version"]]) == 2
    assert "version" in capsys.readouterr().err
