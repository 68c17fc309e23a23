"""Equal policies have equal digests, whatever order or spelling they came in; any difference that counts shows."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.model.device import Device
from agent.model.vocabulary import Mode
from agent.policy.digest import canonical_json, policy_digest
from agent.policy.reserved import load_cloud_channel
from tests.policy.builders import NOTEPAD, policy, rules, settings

BASE: dict[str, Any] = {
    "name": "R",
    "process_path": NOTEPAD,
    "direction": "Outbound",
    "remote_ips": "1.1.1.1/24, 2.2.2.2",
}


def digest(mode: Mode = Mode.SELECTIVE, **options: Any) -> str:
    return policy(mode, options.pop("document", rules(dict(BASE))), **options).digest


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"process_path": "c:/WINDOWS/./Notepad.exe"}, id="path"),
        pytest.param({"remote_ips": ["1.1.1.0/24", "2.2.2.2"]}, id="host bits, list"),
        pytest.param({"remote_ips": "2.2.2.2/32,::ffff:1.1.1.9/120,2.2.2.2"}, id="order, duplicates, mapped"),
        pytest.param({"description": "other"}, id="description"),
    ],
)
def test_spelling_does_not_count(change: dict[str, Any]) -> None:
    assert digest(document=rules({**BASE, **change})) == digest()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "S"}, id="name"),
        pytest.param({"process_path": r"C:\Windows\notepad2.exe"}, id="path"),
        pytest.param({"direction": "Inbound"}, id="direction"),
        pytest.param({"direction": None}, id="no direction"),
        pytest.param({"remote_ips": "1.1.1.1/25, 2.2.2.2"}, id="prefix length"),
        pytest.param({"remote_ips": None}, id="no remotes"),
        pytest.param({"service_name": "a"}, id="service"),
    ],
)
def test_every_condition_counts(change: dict[str, Any]) -> None:
    assert digest(document=rules({**BASE, **change})) != digest()


def test_generation_and_warnings_do_not_count() -> None:
    built = policy()
    assert policy(generation=99).digest == built.digest
    assert policy_digest(replace(built, warnings=(("a", "b"),), digest="x")) == built.digest


def test_mode_settings_channel_and_order_of_rules_count() -> None:
    two = [{"name": "a", "remote_ips": "1.1.1.1"}, {"name": "b", "remote_ips": "2.2.2.2"}]
    cloud = replace(load_cloud_channel(Device()), suffixes=(".lab.test",))
    found = [
        digest(),
        digest(Mode.FULL),
        digest(Mode.NONE),
        digest(use_exclusions=False),
        digest(exclusions=False),
        digest(cloud=cloud),
        digest(settings=settings(essential__ntp=True)),
        digest(settings=settings(essential__dns="off")),
        digest(settings=settings(flow_table__size=17)),
        digest(document=rules(*map(dict, two))),
        digest(document=rules(*map(dict, reversed(two)))),
    ]
    assert len(set(found)) == len(found)


def test_the_digest_is_hexadecimal_sha256() -> None:
    assert len(digest()) == len("sha256:") + 64
    assert set(digest().removeprefix("sha256:")) <= set("0123456789abcdef")


def test_canonical_json_is_ordered_and_compact() -> None:
    value = {"b": frozenset({"z", "a"}), "a": (True, None, "é"), "n": 1 << 100}
    assert canonical_json(value) == f'{{"a":[true,null,"é"],"b":["a","z"],"n":{1 << 100}}}'.encode()


def test_the_order_of_sets_in_memory_does_not_matter(root: Path) -> None:
    """Text hashes differ from process to process; the digest must not."""
    script = (
        "from tests.policy.builders import policy, rules\n"
        "print(policy(document=rules({'name': 'R', 'remote_ips': '1.1.1.1, 2.2.2.2'})).digest)"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1
