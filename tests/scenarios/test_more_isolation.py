"""What holds for every scenario, whatever its flows: laws between replays of the same capture.

Expected outcomes are written down elsewhere; these need none, so they hold for scenarios that are yet to come.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from agent.traffic.scenario import builtin_names
from tests.captures.replayed import marks
from tests.scenarios.playing import Played, replay, scenario

NAMES = [name for name, _ in builtin_names()]
LONG = {"benign-office-day"}
PARAMETERS = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in NAMES]

NARROW = """\
version: 1
isolation_exclusions: true
windows_rules:
  - {name: Servers, direction: Outbound, remote_ips: [198.51.100.0/24, '2001:db8::/32']}
linux_rules:
  - {name: Servers, direction: Outbound, remote_ips: [198.51.100.0/24, '2001:db8::/32']}
"""
WIDE = NARROW.replace("direction: Outbound, ", "").replace("198.51.100.0/24", "198.51.0.0/16, 10.20.0.0/16")


def passed(folder: Path, name: str, mode: str, rules: str | None = None) -> tuple[Counter[str], Played]:
    """Frames that were allowed, by their hash."""
    words = ["--mode", mode, "--allowed", str(folder / "allowed.pcapng"), "--denied", str(folder / "denied.pcapng")]
    if rules is not None:
        (folder / "rules.yaml").write_text(rules, "utf-8")
        words += ["--rules", str(folder / "rules.yaml")]
    played = replay(folder, scenario(name), *words, "--set", "platform.limits=lab")
    assert played.code == 0
    frames = Counter(frame for frame, mark in marks(folder / "allowed.pcapng") if mark.verdict == "allow")
    denied = sum(1 for _ in marks(folder / "denied.pcapng"))
    assert (sum(frames.values()), denied) == tuple(played.summary["packets"][side] for side in ("allowed", "denied"))
    return frames, played


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_more_isolation_never_lets_more_through(tmp_path: Path, name: str) -> None:
    """None, Selective with wide rules, with narrow ones, Full: each lets through a part of what the one before does."""
    steps = [
        passed(tmp_path, name, "none")[0],
        passed(tmp_path, name, "selective", WIDE)[0],
        passed(tmp_path, name, "selective", NARROW)[0],
        passed(tmp_path, name, "full")[0],
    ]
    for looser, stricter in pairwise(steps):
        assert not stricter - looser


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in LONG | {"protocol-zoo"}])
def test_a_flow_has_the_same_id_and_packets_under_every_policy(tmp_path: Path, name: str) -> None:
    """A verdict decides what passes, never what is a flow.

    The zoo is no part of it: martians and orphaned fragments have a flow only while nothing is isolated.
    """
    found = []
    for mode in ("none", "full"):
        _, played = passed(tmp_path, name, mode)
        found.append([(one["flow_id"], one["protocol"], one["local"], one["packets"]) for one in played.flows])
    assert sorted(found[0], key=str) == sorted(found[1], key=str)
