"""`explain`: one flow on the command line; the table and the JSON say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.cli.explain import parse_remote
from agent.model.address import parse_address
from agent.model.errors import UsageError
from tests.cli.samples import RULES

SUPPORT = r"C:\Program Files\Support\support.exe"
DEVICE = """\
version: 1
id: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
name: lab
platform: Windows11
os_version: 24H2
addresses: [10.0.0.5]
resolvers: [10.0.0.1]
environment: {ProgramFiles: 'C:\\Program Files'}
drives: {'\\Device\\HarddiskVolume3': 'C:'}
known_names: {203.0.113.200: [winatp-gw-weu.microsoft.com]}
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, "utf-8")
    return str(path)


@pytest.fixture
def device(tmp_path: Path) -> str:
    path = tmp_path / "device.yaml"
    path.write_text(DEVICE, "utf-8")
    return str(path)


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Any:
    """`explain(...)`: the JSON answer of `explain ... --json`."""

    def call(*arguments: str) -> dict[str, Any]:
        assert main.run(["explain", *arguments, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return call


def states(answer: dict[str, Any], rule: str) -> dict[str, str]:
    row = next(row for row in answer["conditions"] if row["rule"] == rule)
    return {one["condition"]: one["state"] for one in row["conditions"]}


def test_a_rule_whose_conditions_are_all_met_allows(explain: Any, rules: str) -> None:
    answer = explain("--rules", rules, "--direction", "Outbound", "--remote", "203.0.113.9:443", "--process", SUPPORT)
    assert (answer["verdict"], answer["reason"], answer["rules"]) == ("allow", "exclusion", ["Remote support"])
    assert states(answer, "Remote support") == {
        "direction": "met",
        "remote_ips": "met",
        "process_path": "met",
        "service_name": "undefined",
        "package_family_name": "undefined",
    }


def test_an_unknown_process_is_unknown_and_not_unmet(explain: Any, rules: str) -> None:
    """Without --process nobody knows the process: the rule does not match, and the near miss says why."""
    answer = explain("--rules", rules, "--direction", "outbound", "--remote", "203.0.113.9")
    assert answer["verdict"] == "deny"
    assert states(answer, "Remote support")["process_path"] == "unknown"
    assert answer["near_misses"][0] == {"rule": "Remote support", "condition": "process_path", "state": "unknown"}


def test_selective_is_the_default_with_rules_and_full_without(explain: Any, rules: str) -> None:
    flow = ("--direction", "outbound", "--remote", "198.51.100.7:443")
    assert explain("--rules", rules, *flow)["verdict"] == "allow"
    assert explain(*flow)["reason"] == "full_isolation"
    assert explain("--rules", rules, *flow, "--mode", "full")["reason"] == "full_isolation"
    assert explain(*flow, "--mode", "none")["reason"] == "not_isolated"


def test_a_process_may_be_spelled_in_every_way_the_device_knows(explain: Any, rules: str, device: str) -> None:
    flow = ("--rules", rules, "--device", device, "--direction", "outbound", "--remote", "203.0.113.9")
    for spelled in (
        r"%programfiles%\Support\support.exe",
        "c:/program files/support/SUPPORT.EXE",
        r"\Device\HarddiskVolume3\Program Files\Support\support.exe",
    ):
        assert explain(*flow, "--process", spelled)["verdict"] == "allow", spelled


def test_an_ignored_rule_says_why(explain: Any, rules: str, device: str) -> None:
    path = Path(device)
    path.write_text(DEVICE + "executables: []\n", "utf-8")
    answer = explain(
        *("--rules", rules, "--device", device, "--direction", "outbound", "--remote", "203.0.113.9"),
        *("--process", SUPPORT),
    )
    row = answer["conditions"][0]
    assert answer["verdict"] == "deny"
    assert row["status"] == "ignored"
    assert "does not exist" in row["ignored_because"]


def test_exclusions_can_be_left_out(explain: Any, rules: str) -> None:
    """The dialog's box unticked: Selective without any exclusion."""
    flow = ("--rules", rules, "--direction", "outbound", "--remote", "198.51.100.7")
    assert explain(*flow, "--no-exclusions")["verdict"] == "deny"
    assert explain(*flow, "--exclusions", "off")["policy"]["embedded_list"] is True


def test_a_known_name_of_the_device_opens_the_cloud_channel(explain: Any, device: str) -> None:
    """The destination alone is not enough where evidence is required."""
    flow = ("--device", device, "--direction", "outbound", "--remote", "203.0.113.200:443")
    answer = explain(*flow)
    assert (answer["reason"], answer["evidence"]) == ("cloud_channel", "destination_only")
    assert explain(*flow, "--set", "cloud_channel.process_evidence=required")["reason"] == "full_isolation"
    other = ("--device", device, "--direction", "outbound", "--remote", "203.0.113.201:443")
    assert explain(*other)["verdict"] == "deny"
    assert explain(*other, "--name", "winatp-gw-weu.microsoft.com.")["reason"] == "cloud_channel"


def test_every_use_of_exclusions_carries_the_warning(explain: Any, rules: str) -> None:
    codes = [
        warning["code"]
        for warning in explain("--rules", rules, "--direction", "inbound", "--remote", "10.1.1.1")["warnings"]
    ]
    assert "exclusions_weaken_isolation" in codes


def test_the_table_says_what_the_json_says(rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    flow = ["--rules", rules, "--direction", "inbound", "--remote", "203.0.113.9:443", "--process", SUPPORT]
    assert main.run(["explain", *flow]) == 0
    out = capsys.readouterr().out
    assert out.startswith("deny: no_matching_exclusion\n")
    assert "not met: wants outbound" in out
    assert "near miss: Remote support: only direction is not met" in out
    assert "any exclusion weakens isolation" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.9", ("203.0.113.9", 0)),
        ("203.0.113.9:443", ("203.0.113.9", 443)),
        ("2001:db8::7", ("2001:db8::7", 0)),
        ("[2001:db8::7]", ("2001:db8::7", 0)),
        ("[2001:db8::7]:443", ("2001:db8::7", 443)),
        ("::ffff:203.0.113.9", ("203.0.113.9", 0)),
    ],
)
def test_remotes(text: str, expected: tuple[str, int]) -> None:
    assert parse_remote(text) == (parse_address(expected[0]), expected[1])


@pytest.mark.parametrize("text", ["", "host.test", "203.0.113.9:", "203.0.113.9:70000", "[::1", "0.0.0.0:53", "1.2.3"])
def test_what_is_no_remote_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--remote: .* is not IP"):
        parse_remote(text)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(["--direction", "up", "--remote", "1.2.3.4"], "--direction: 'up'", id="direction"),
        pytest.param(
            ["--direction", "inbound", "--remote", "1.2.3.4", "--protocol", "xyz"], "--protocol: 'xyz'", id="protocol"
        ),
        pytest.param(
            ["--direction", "inbound", "--remote", "1.2.3.4:5", "--protocol", "icmp"], "icmp has no ports", id="ports"
        ),
        pytest.param(
            ["--direction", "inbound", "--remote", "1.2.3.4", "--process", "x.exe"], "--process: 'x.exe'", id="process"
        ),
        pytest.param(["--direction", "inbound", "--remote", "1.2.3.4", "--name", "a b"], "--name: 'a b'", id="name"),
        pytest.param(
            ["--direction", "inbound", "--remote", "1.2.3.4", "--rules", "absent.yaml"], "absent.yaml", id="no-file"
        ),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
