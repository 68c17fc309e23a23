"""Scenario files: what they may say, what they are told, and what follows from what they leave out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from agent.model.device import Family
from agent.model.errors import PolicyError
from agent.model.moment import SECOND, parse_time
from agent.policy.device import parse_device
from agent.traffic.activities import KINDS, describe_kinds
from agent.traffic.plans import TcpPlan
from agent.traffic.scenario import builtin_names, load_scenario, parse_scenario
from tests.traffic.builders import BUILTINS, DEVICE, make_scenario, scenario_tree

Change = Callable[[dict[str, Any]], object]
PING = {"kind": "ping", "remote": "203.0.113.9"}
TCP = {"kind": "tcp", "process": "tool", "remote": "203.0.113.9", "port": "443"}


def with_activity(**keys: Any) -> Change:
    return lambda tree: tree["activities"].append(keys)


def with_key(section: str, key: str, value: Any) -> Change:
    return lambda tree: tree.setdefault(section, {}).update({key: value})


WRONG: dict[str, tuple[Change, str]] = {
    "version": (lambda tree: tree.update(version="2"), "version: '2' is not allowed"),
    "no-start": (lambda tree: tree.pop("start"), "start: missing"),
    "bad-start": (lambda tree: tree.update(start="yesterday"), "start: 'yesterday' is not an RFC 3339 time"),
    "section": (lambda tree: tree.update(proceses={}), "unknown key 'proceses'; did you mean processes?"),
    "no-device": (lambda tree: tree.pop("device"), "device: platform is missing"),
    "no-addresses": (lambda tree: tree.update(device={"platform": "Windows11"}), "device.addresses: missing"),
    "device-key": (
        lambda tree: tree.update(device={**DEVICE, "adresses": []}),
        "device: unknown key 'adresses'; did you mean addresses?",
    ),
    "network-key": (with_key("network", "gatway", "10.20.0.1"), "network: unknown key 'gatway'; did you mean gateway?"),
    "network-mac": (with_key("network", "mac", "ff:ff:ff:ff:ff:ff"), "network.mac: 'ff:ff:ff:ff:ff:ff'"),
    "host-name": (with_key("hosts", "a b", "10.0.0.1"), "hosts: 'a b' is not a host name"),
    "host-address": (with_key("hosts", "a.test", "10.0.0.x"), "hosts.a.test.addresses: '10.0.0.x'"),
    "host-key": (
        with_key("hosts", "a.test", {"adresses": "10.0.0.1"}),
        "hosts.a.test: unknown key 'adresses'; did you mean addresses?",
    ),
    "process-image": (with_key("processes", "x", {}), "processes.x.image: missing"),
    "process-relative": (with_key("processes", "x", {"image": "x.exe"}), "processes.x.image: 'x.exe'"),
    "process-parent": (
        with_key("processes", "x", {"image": "C:\\x.exe", "parent": "tol"}),
        "processes.x.parent: 'tol' is neither a name of processes nor a pid; did you mean tool?",
    ),
    "process-text": (with_key("processes", "x", "C:\\x.exe"), "processes.x: is text, not a mapping"),
    "activities": (lambda tree: tree.update(activities={}), "activities: is a mapping, not a list"),
    "activity-text": (lambda tree: tree["activities"].append("ping"), "activities[0]: is text"),
    "no-kind": (with_activity(remote="203.0.113.9"), "activities[0]: kind: missing; allowed: tcp, tls"),
    "kind": (with_activity(kind="becon"), "activities[0]: kind: 'becon' is no kind of activity; did you mean beacon?"),
    "activity-key": (
        with_activity(**PING, ecoes="3"),
        "activities[0] 'ping': unknown key 'ecoes'; did you mean echoes?",
    ),
    "timing-key": (with_activity(**PING, cuont="3"), "activities[0] 'ping': unknown key 'cuont'; did you mean count?"),
    "timing-value": (with_activity(**PING, at="soon"), "activities[0] 'ping': at: 'soon' is not a number"),
    "no-process": (
        with_activity(kind="tcp", remote="203.0.113.9", port="443"),
        "activities[0] 'tcp': process: missing: whose socket it is",
    ),
    "process": (with_activity(**{**TCP, "process": "tools"}), "process: 'tools' is not a name of processes"),
    "remote": (with_activity(**{**TCP, "remote": "ww.example.com"}), "did you mean www.example.com?"),
    "port": (with_activity(**{**TCP, "port": "https"}), "port: 'https' is not a whole number from 1 to 65535"),
    "outcome": (with_activity(**TCP, outcome="reset"), "outcome: 'reset' is not allowed; did you mean refused?"),
    "contradiction": (
        with_activity(**TCP, outcome="refused", handshake="off"),
        "activities[0] 'tcp': handshake: off cannot be with outcome: refused",
    ),
    "place-of-a-later-one": (
        lambda tree: tree["activities"].extend([PING, {**PING, "echoes": "no"}]),
        "activities[1] 'ping': echoes: 'no'",
    ),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_scenario_is_refused_in_one_line(change: Change, words: str) -> None:
    tree: dict[str, Any] = scenario_tree()
    tree = {key: dict(value) if isinstance(value, dict) else value for key, value in tree.items()}
    change(tree)
    with pytest.raises(PolicyError) as caught:
        parse_scenario(tree, "wrong.yaml")
    message = str(caught.value)
    assert message.startswith("wrong.yaml: ")
    assert words in message
    assert "\n" not in message


def test_unknown_name_says_what_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError, match="beacn: no such file, and no built-in scenario; did you mean beacon"):
        load_scenario("beacn")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such file"):
        load_scenario(str(tmp_path / "none.yaml"))


def test_file_that_is_no_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"version: 1\nversion: 1\n")
    with pytest.raises(PolicyError) as caught:
        load_scenario(str(path))
    assert str(caught.value).startswith(str(path))


def test_file_is_read_as_a_built_in_is(root: Path) -> None:
    from_file = load_scenario(str(root / "policies" / "scenarios" / "beacon.yaml"))
    built_in = load_scenario("beacon")
    assert (from_file.seed, from_file.activities, from_file.hosts) == (
        built_in.seed,
        built_in.activities,
        built_in.hosts,
    )


def test_every_file_of_the_folder_is_built_in(root: Path) -> None:
    files = sorted(path.stem for path in (root / "policies" / "scenarios").glob("*.yaml"))
    assert files == BUILTINS
    assert len(files) >= 11


def test_every_built_in_says_in_one_line_what_it_is() -> None:
    for name, description in builtin_names():
        assert 20 < len(description) < 110, name


def test_times_are_absolute_and_parameters_typed() -> None:
    scenario = make_scenario({**TCP, "at": "2m", "remote": "www.example.com", "note": "for people"})
    assert scenario.start == parse_time("2026-01-05T09:00:00Z")
    (activity,) = scenario.activities
    assert activity.timing.at == 120 * SECOND
    assert isinstance(activity.plan, TcpPlan)
    assert (activity.plan.remote.name, activity.plan.port) == ("www.example.com", 443)


def test_preset_of_a_kind_yields_to_the_file() -> None:
    preset, chosen = make_scenario(
        {**TCP, "kind": "beacon"}, {**TCP, "kind": "beacon", "count": "2", "payload": "opaque"}
    ).activities
    assert (preset.timing.count, chosen.timing.count) == (20, 2)
    assert isinstance(preset.plan, TcpPlan)
    assert isinstance(chosen.plan, TcpPlan)
    assert (preset.plan.payload, chosen.plan.payload) == ("tls", "opaque")


def test_what_ran_existed_on_the_device() -> None:
    """Or else a rule for it would be ignored: "the executable must exist when isolation is applied"."""
    processes = {
        "teams": {"image": "C:\\Teams\\ms-teams.exe", "package_family_name": "MSTeams_8wekyb3d8bbwe"},
        "agent": {"image": "C:\\Lab\\agent.exe", "services": ["LabAgent"]},
    }
    scenario = make_scenario(processes=processes)
    device = parse_device(dict(scenario.document), "device.yaml")
    assert device.executables is not None
    assert "C:\\TEAMS\\MS-TEAMS.EXE" in device.executables
    assert device.services is not None
    assert "labagent" in device.services
    assert device.packages == ("msteams_8wekyb3d8bbwe",)


def test_device_that_lists_its_executables_keeps_its_list() -> None:
    scenario = make_scenario(device={**DEVICE, "executables": ["C:\\Lab\\tool.exe"]})
    assert scenario.document["executables"] == ["C:\\Lab\\tool.exe"]


def test_every_platform_has_processes_of_its_own() -> None:
    for platform, family in (("Windows11", Family.WINDOWS), ("macOS", Family.MAC), ("Linux", Family.LINUX)):
        scenario = make_scenario(device={**DEVICE, "platform": platform}, processes={})
        assert scenario.device.family is family
        assert {"system", "dnscache", "dhcp", "time", "ssdp"} <= set(scenario.processes)


def test_parents_and_pids_are_resolved() -> None:
    processes = {
        "parent": {"image": "C:\\p.exe", "pid": "4000"},
        "child": {"image": "C:\\c.exe", "parent": "parent"},
        "orphan": {"image": "C:\\o.exe", "parent": "640"},
    }
    scenario = make_scenario(processes=processes)
    assert scenario.processes["child"].parent_pid == 4000
    assert scenario.processes["orphan"].parent_pid == 640
    pids = [process.pid for process in scenario.processes.values()]
    assert len(set(pids)) == len(pids)


def test_every_parameter_says_what_it_means() -> None:
    for kind, meaning, keys in describe_kinds():
        assert meaning, kind
        assert all(len(key.meaning) > 5 for key in keys), kind


def test_presets_name_keys_that_exist() -> None:
    for name, kind in KINDS.items():
        described = {key.name for entry in describe_kinds() if entry[0] == name for key in entry[2]}
        assert set(kind.presets) <= described, name


def test_defaults_are_shown_as_a_file_would_say_them() -> None:
    shown = {key.name: key.default for entry in describe_kinds() if entry[0] == "tcp" for key in entry[2]}
    assert (shown["gap"], shown["period"], shown["at"]) == ("200ms", "1m", "0s")
    assert (shown["jitter"], shown["handshake"], shown["server_name"]) == ("0%", "on", "none")


def test_required_keys_have_no_default() -> None:
    described = {key.name: key for entry in describe_kinds() if entry[0] == "tcp" for key in entry[2]}
    required = {key.name for key in fields(TcpPlan) if key.default is MISSING}
    assert {name for name, key in described.items() if key.default is None} == required == {"process", "remote", "port"}


def test_reading_a_scenario_imports_no_scapy() -> None:
    """`generate --list` is quick."""
    code = (
        "import sys; from agent.traffic.scenario import builtin_names; builtin_names(); print('scapy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr
