"""What the tests of the generators share: small scenarios, and every built-in played once."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from agent.policy.fields import Tree
from agent.traffic.generate import Generated, generate
from agent.traffic.scenario import Scenario, builtin_names, load_scenario, parse_scenario

DEVICE: dict[str, Any] = {
    "platform": "Windows11",
    "addresses": ["10.20.0.15", "fe80::15", "2001:db8:20::15"],
    "resolvers": ["10.20.0.1"],
}
HOSTS: dict[str, Any] = {
    "www.example.com": ["203.0.113.10", "2001:db8:1::10"],
    "alias.example.com": {
        "addresses": ["203.0.113.11"],
        "aliases": ["edge.example.net", "node.example.net"],
        "ttl": "60",
    },
}
PROCESSES: dict[str, Any] = {"tool": {"image": "C:\\Lab\\tool.exe", "pid": "4242", "parent": "640", "user": "LAB\\ann"}}

BUILTINS = [name for name, _ in builtin_names()]
SMALL_BUILTINS = [name for name in BUILTINS if name != "benign-office-day"]
EVERY_BUILTIN = [*SMALL_BUILTINS, pytest.param("benign-office-day", marks=pytest.mark.slow)]
"""For parametrize: the whole day is of some size."""


def scenario_tree(*activities: dict[str, Any], **changes: Any) -> dict[str, Tree]:
    """A scenario document as the strict loader gives it: every scalar is text."""
    tree: dict[str, Any] = {
        "version": "1",
        "description": "of a test",
        "seed": "1",
        "start": "2026-01-05T09:00:00Z",
        "device": DEVICE,
        "hosts": HOSTS,
        "processes": PROCESSES,
        "activities": list(activities),
    }
    return {key: value for key, value in {**tree, **changes}.items() if value is not None}


def make_scenario(*activities: dict[str, Any], **changes: Any) -> Scenario:
    return parse_scenario(scenario_tree(*activities, **changes), "test.yaml")


def play(*activities: dict[str, Any], **changes: Any) -> Generated:
    return generate(make_scenario(*activities, **changes))


@cache
def played(name: str) -> Generated:
    """A built-in scenario, played once for all tests of this process."""
    return generate(load_scenario(name))
