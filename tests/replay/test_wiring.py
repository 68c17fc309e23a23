"""What options become before the first packet: device, addresses, names, owners, time-outs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.errors import PolicyError, UsageError
from agent.replay.wiring import World, build_engine, load_world, other_rules
from tests.support.captures import replay_options, rules_file, sockets_file


def world(**options: Any) -> World:
    return load_world(replay_options(**options))


def device_file(path: Path, text: str) -> Path:
    path.write_text(f"version: 1\nplatform: Windows11\nos_version: 24H2\n{text}")
    return path


def test_without_a_device_document_a_workstation_is_assumed_with_a_warning() -> None:
    found = world()
    assert (found.device.platform, found.device.kind, found.device.assumed) == ("Windows11", "workstation", True)
    assert [code for code, _ in found.warnings] == ["device_assumed"]


def test_names_of_the_device_and_of_the_option_are_joined(tmp_path: Path) -> None:
    device = device_file(tmp_path / "d.yaml", "known_names: {192.0.2.1: [a.test, b.test]}\n")
    names = tmp_path / "names.yaml"
    names.write_text("version: 1\nnames: {192.0.2.1: [b.test, c.test], 192.0.2.2: [d.test]}\n")
    found = world(device=device, names=names)
    assert found.known_names == {
        parse_address("192.0.2.1"): ("a.test", "b.test", "c.test"),
        parse_address("192.0.2.2"): ("d.test",),
    }
    assert found.warnings == []


def test_addresses_written_with_a_length_are_prefixes(tmp_path: Path) -> None:
    device = device_file(tmp_path / "d.yaml", "addresses: [10.0.0.7]\n")
    found = world(device=device, local=("10.1.0.0/16", "10.0.0.5", "10.0.0.5/32", "2001:db8::/64", "2001:db8::5/128"))
    assert [str(address) for address in found.local_exact] == ["10.0.0.7", "10.0.0.5", "2001:db8::5"]
    assert [network.text for network in found.local_networks] == ["10.1.0.0/16", "2001:db8::/64"]


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.0/33", "host.test", "10.0.0.5:443"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="--local"):
        world(local=(text,))


def test_the_first_wrong_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"missing\.json"):
        world(rules=tmp_path / "missing.json")


def test_time_outs_are_those_of_the_devices_family(tmp_path: Path) -> None:
    mac = tmp_path / "mac.yaml"
    mac.write_text("version: 1\nplatform: macOS\nos_version: '14.5'\n")
    windows_engine, mac_engine = (
        build_engine(load_world(options), options, None) for options in (replay_options(), replay_options(device=mac))
    )
    assert (windows_engine.multicast_reply, mac_engine.multicast_reply) == (4 * 10**9, 0)


def test_settings_reach_the_engine() -> None:
    settings = {"flow_table.size": 1000, "flow_table.reserved": 10, "reauthorise": False, "fragment_table.size": 3}
    options = replay_options(settings=settings, events="all")
    engine = build_engine(load_world(options), options, None)
    assert (engine.flows.size, engine.flows.limit, engine.reauthorises) == (1000, 990, False)
    assert engine.datapath.fragments.size == 3
    assert engine.all_events is False  # nobody listens


def test_the_other_policy_shares_what_is_known_and_writes_nothing(tmp_path: Path) -> None:
    rules = rules_file(tmp_path / "r.json", {"name": "web", "remote_ips": ["203.0.113.9"]})
    sockets = sockets_file(tmp_path / "s.jsonl", {"local": "10.0.0.5:1"})
    options = replay_options(compare=rules, attribution=(sockets,), decisions="x.jsonl", allowed="a", denied="d")
    first = load_world(options)
    other, changed = other_rules(first, options)
    assert other.attribution is first.attribution
    assert (changed.rules, changed.decisions, changed.allowed, changed.denied) == (str(rules), None, None, None)
    assert other.rules is not None
    assert [rule.name for rule in other.rules.windows_rules] == ["web"]
    forced = replay_options(compare=rules, attribution=(sockets,), simulate={"attribution_failed": 1})
    first = load_world(forced)
    assert other_rules(first, forced)[0].attribution is not first.attribution
