"""What several commands share: their policy options, and how those become a policy.

Knows which documents a policy is built from. Must not know what commands do with it. Documents are loaded when asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.when import parse_switch
from agent.model.device import Device
from agent.model.errors import UsageError
from agent.model.settings import Settings
from agent.model.vocabulary import Mode

if TYPE_CHECKING:
    from agent.policy.effective import EffectivePolicy

Exclusions = Annotated[
    str | None, typer.Option(metavar="on|off", help="The feature switch; overrides the rules document.")
]
NoExclusions = Annotated[
    bool, typer.Option("--no-exclusions", help="Selective isolation without the box 'use exclusions'.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")]


def require_own_names(outputs: Iterable[tuple[str, str]], inputs: Iterable[str]) -> None:
    """Raises UsageError for an output (option, path) that an input or another output is."""
    taken = {os.path.realpath(path): path for path in inputs}
    for option, path in outputs:
        real = os.path.realpath(path)
        other = taken.get(real) or (os.path.exists(real) and _folder_among(taken, real))
        if other:
            raise UsageError(f"{option} {path}: {other} is used already; an output needs a name of its own")
        if os.path.isdir(path):
            raise UsageError(f"{option} {path}: is a directory; give a file name")
        taken[real] = path


def _folder_among(taken: Mapping[str, str], path: str) -> str | None:
    """The folder of captures that `path` lies in: it would be replaced by what is made of it."""
    while (folder := os.path.dirname(path)) != path:
        if folder in taken:
            return taken[folder]
        path = folder
    return None


def device_of(path: str | None) -> Device:
    """The described device, or the assumed one."""
    if path is None:
        return Device(assumed=True)
    from agent.policy.document import load_device

    return load_device(path)


def policy_of(
    *,
    mode: Mode,
    device: Device,
    rules: str | None,
    exclusions: str | None,
    use_exclusions: bool,
    settings: Sequence[str] | None,
) -> EffectivePolicy:
    """The policy that these options ask for. Raises PolicyError and UsageError."""
    from agent.policy.document import load_rules
    from agent.policy.snapshot import build_policy

    return build_policy(
        mode,
        device=device,
        rules=load_rules(rules) if rules else None,
        exclusions=parse_switch("--exclusions", exclusions),
        use_exclusions=use_exclusions,
        settings=Settings.from_pairs(settings or ()),
        cloud=None,
        generation=1,
    )
