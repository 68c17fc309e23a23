"""Documents, devices and policies for the tests of the policy room, with everything irrelevant filled in."""

from __future__ import annotations

import json
from typing import Any

from agent.model.device import Device
from agent.model.rule import RuleDocument
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.policy.device import parse_device
from agent.policy.document import load_mapping
from agent.policy.effective import EffectivePolicy
from agent.policy.rules import parse_rules
from agent.policy.snapshot import build_policy

NOTEPAD = r"C:\Windows\notepad.exe"


def rules(*windows: dict[str, Any], feature: bool | None = True, **lists: Any) -> RuleDocument:
    """A document with `windows` as windows_rules; each rule gets a name if it has none."""
    tree: dict[str, Any] = {"version": 1, **lists}
    if feature is not None:
        tree["isolation_exclusions"] = feature
    if windows:
        tree["windows_rules"] = list(windows)
    for rows in tree.values():
        if isinstance(rows, list):
            for index, row in enumerate(rows):
                row.setdefault("name", f"Rule {index + 1}")
    return parse_rules(load_mapping(json.dumps(tree).encode(), name="rules.json"), "rules.json")


def device(**fields: Any) -> Device:
    """A described device; a Windows 11 workstation unless `fields` say otherwise."""
    tree = {"version": 1, "platform": "Windows11", "os_version": "24H2", **fields}
    return parse_device(load_mapping(json.dumps(tree).encode(), name="device.json"), "device.json")


def settings(**chosen: Any) -> Settings:
    """Settings by name, `__` for the dot."""
    return Settings({name.replace("__", "."): value for name, value in chosen.items()})


def policy(mode: Mode = Mode.SELECTIVE, document: RuleDocument | None = None, **options: Any) -> EffectivePolicy:
    """The effective policy of an assumed Windows 11 workstation unless `options` say otherwise."""
    arguments: dict[str, Any] = {
        "device": Device(assumed=True),
        "exclusions": None,
        "use_exclusions": True,
        "settings": Settings({}),
        "cloud": None,
        "generation": 1,
        **options,
    }
    return build_policy(mode, rules=document, **arguments)


def codes(built: EffectivePolicy) -> list[str]:
    """The codes of a policy's warnings."""
    return [code for code, _ in built.warnings]
