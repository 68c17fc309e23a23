"""One rule on one device: the filter it becomes, or why it is ignored there.

Knows what a device must have for a rule to be active (X9, X10, X13). Must not know: modes, the feature switch, packets.

    >>> rule = ExclusionRule(name="Help desk", process_path="%TOOLS%\\\\help.exe")
    >>> document = RuleDocument(path="", isolation_exclusions=True, windows_rules=(rule,))
    >>> compile_rules(document, Device(), Settings({}))[0].because
    'the device has no environment variable %TOOLS%'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.model.device import Device, Family
from agent.model.rule import ExclusionRule, RuleDocument
from agent.model.settings import Settings
from agent.model.vocabulary import Direction
from agent.policy.canonical import filter_package, filter_service, rule_image
from agent.policy.effective import Filter
from agent.policy.platforms import support
from agent.policy.rules import rule_place, rules_of
from agent.policy.values import covers_a_version

Note = tuple[str, str]
"""A code that programs know and a text for people."""

ExecutableExists = Callable[[str], bool]
"""Asks a live device for a canonical image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """What became of one rule on one device."""

    rule: ExclusionRule
    family: Family
    index: int
    """The rule's list and its position there."""
    filter: Filter | None = None
    """None: the rule is ignored."""
    code: str | None = None
    """Why it is ignored, for programs: rules_unsupported, path_unusable, executable_missing, packages_unsupported."""
    because: str | None = None
    """... and for people."""
    notes: tuple[Note, ...] = ()
    """What had to be assumed, or looks wrong, although the rule is active."""

    @property
    def place(self) -> str:
        """List, position and name, for errors."""
        return rule_place(self.family, self.index, self.rule.name)


class _IgnoredError(Exception):
    """Carries code and reason out of the checks of one rule."""


def compile_rules(
    document: RuleDocument, device: Device, settings: Settings, executable_exists: ExecutableExists | None = None
) -> list[CompiledRule]:
    """Each rule of the device's list, in order; the filters are numbered from 0."""
    compiled: list[CompiledRule] = []
    active = 0
    usable = support(device, "rules", settings)
    executables = None if device.executables is None else frozenset(device.executables)
    for index, rule in enumerate(rules_of(document, device.family)):
        try:
            if not usable.supported:
                raise _IgnoredError("rules_unsupported", usable.because)
            image, found = _image(rule.process_path, device, executables, executable_exists)
            filter, notes = _compile(rule, device, settings, image, found, active)
        except _IgnoredError as ignored:
            code, because = ignored.args
            compiled.append(CompiledRule(rule=rule, family=device.family, index=index, code=code, because=because))
        else:
            active += 1
            compiled.append(CompiledRule(rule=rule, family=device.family, index=index, filter=filter, notes=notes))
    return compiled


def is_unbounded(rule: ExclusionRule) -> bool:
    """True if a rule lets any process through, or any address of a version, however the addresses are cut up."""
    return rule.unbounded or (rule.remotes is not None and covers_a_version(rule.remotes))


def opens_dns(filter: Filter) -> bool:
    """True if a filter allows outbound flows to undefined remotes: programs that may go anywhere need names for it."""
    return filter.remotes is None and filter.direction is not Direction.INBOUND


def _compile(
    rule: ExclusionRule, device: Device, settings: Settings, image: str | None, notes: list[Note], index: int
) -> tuple[Filter, tuple[Note, ...]]:
    if rule.package_family_name is not None:
        packaged = support(device, "packages", settings)
        if not packaged.supported:
            raise _IgnoredError("packages_unsupported", packaged.because)
        if packaged.assumption:
            notes.append(("update_assumed", packaged.assumption))
    filter = Filter(
        index=index,
        name=rule.name,
        direction=rule.direction,
        remotes=rule.remotes,
        image=image,
        service=None if rule.service_name is None else filter_service(rule.service_name, device.family),
        package=None if rule.package_family_name is None else filter_package(rule.package_family_name),
    )
    return filter, (*notes, *_absent(filter, device))


def _image(
    written: str | None, device: Device, executables: frozenset[str] | None, exists: ExecutableExists | None
) -> tuple[str | None, list[Note]]:
    """The canonical image of an executable that is there, or has to be taken to be there."""
    if written is None:
        return None, []
    try:
        image = rule_image(written, device)
    except ValueError as error:
        raise _IgnoredError("path_unusable", str(error)) from None
    notes: list[Note] = []
    if device.family is Family.WINDOWS and "%" in written and not device.environment and not device.assumed:
        notes.append(("environment_assumed", "the device's environment is not described: Windows' defaults are taken"))
    if executables is None and exists is None:
        notes.append(("executables_assumed", "the device's executables are not described: taken to exist"))
        return image, notes
    found = image in executables if executables is not None else exists is not None and exists(image)
    if not found:
        raise _IgnoredError("executable_missing", f"{written} does not exist on the device")
    return image, notes


def _absent(filter: Filter, device: Device) -> list[Note]:
    """A service or package the device does not list. The rule stays active: X10 asks for executables only."""
    if filter.service is None and filter.package is None:
        return []
    facts: Sequence[tuple[str, str | None, tuple[str, ...] | None]] = (
        ("service", filter.service, device.services),
        ("package", filter.package, device.packages),
    )
    return [
        (f"{kind}_missing", f"rule {filter.name!r}: the device has no {kind} {name}")
        for kind, name, known in facts
        if name is not None and known is not None and name not in known
    ]
