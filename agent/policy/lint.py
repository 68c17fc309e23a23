"""Advice on a rules document: what is wrong, too wide, useless or surprising on a device, before anybody is isolated.

Knows what administrators of isolation exclusions get wrong (policies/lint.yaml holds the names). Must not know:
packets, captures; no verdict rests on anything said here.

    >>> document = RuleDocument(path="r.yaml", isolation_exclusions=True, windows_rules=(ExclusionRule(name="All"),))
    >>> [finding.code for finding in lint(document, None, Settings({}))]
    ['unbounded_rule', 'dns_open']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from agent.model.device import Device, Family
from agent.model.image import image_name
from agent.model.rule import ExclusionRule, Network, RuleDocument
from agent.model.settings import Settings
from agent.policy.compiled import CompiledRule, compile_rules, is_unbounded, opens_dns
from agent.policy.cover import Shelves
from agent.policy.data import read_data
from agent.policy.document import load_mapping, merged
from agent.policy.fields import Place, mapping, switch, text, texts, version
from agent.policy.platforms import support
from agent.policy.rules import LISTS, list_name, rules_of
from agent.policy.values import prefix_text


class Severity(StrEnum):
    """How bad a finding is. ERROR: the rule would be refused or ignored on the device; the others are advice."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know about a document. `rule` is its place, such as `windows_rules[2] 'Remote support'`."""

    severity: Severity
    code: str
    rule: str | None
    """None: it is about the document."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of which others do the talking, or that runs whatever it is told."""

    children: tuple[str, ...]
    may_run_anything: bool
    note: str


_ASSUMED: Mapping[Family, Device] = {
    Family.WINDOWS: Device(assumed=True),
    Family.MAC: Device(assumed=True, platform="macOS", family=Family.MAC, os_version=None),
    Family.LINUX: Device(assumed=True, platform="Linux", family=Family.LINUX, os_version=None, kind="server"),
}
_NOTED = {
    "update_assumed": Severity.INFO,
    "environment_assumed": Severity.INFO,
    "service_missing": Severity.WARNING,
    "package_missing": Severity.WARNING,
}
"""Notes of compilation worth a finding. That executables are taken to exist is said by the policy itself."""
_WIDE = {4: 8, 6: 32}
"""Prefixes shorter than this hold more than any one organisation's addresses."""
_PRIVATE6 = (0xFC << 120, (0xFE << 120) - 1)  # fc00::/7


def lint(document: RuleDocument, device: Device | None, settings: Settings) -> list[Finding]:
    """What there is to say of `document` on `device`, in rule order; None: on a device of each list's family."""
    families = [device.family] if device else [family for family in Family if rules_of(document, family)]
    findings = list(_document(document, device, settings))
    for family in families:
        # Without a device, linux_rules are judged as the lab runs them: elsewhere none of them applies.
        limits = settings if device or family is not Family.LINUX else _lab(settings)
        compiled = compile_rules(document, device or _ASSUMED[family], limits)
        places = {item.filter: item.place for item in compiled if item.filter is not None}
        shelves = Shelves(places)
        for item in compiled:
            coverer = shelves.coverer(item.filter) if item.filter is not None else None
            findings += _rule(item, places[coverer] if coverer is not None else None, settings)
    return findings


def _lab(settings: Settings) -> Settings:
    return Settings({**settings.chosen, "platform.limits": "lab"})


def _document(document: RuleDocument, device: Device | None, settings: Settings) -> Iterator[Finding]:
    written = {name: rules_of(document, family) for name, family in LISTS.items()}
    if not any(written.values()):
        yield Finding(severity=Severity.INFO, code="no_rules", rule=None, text="has no rules: Selective is as Full")
    elif document.isolation_exclusions is not True:
        said = "is off" if document.isolation_exclusions is False else "is not given, so it is off"
        text = f"isolation_exclusions {said}: no rule applies, and Selective uses the embedded list"
        yield Finding(severity=Severity.WARNING, code="feature_off", rule=None, text=text)
    for name, rules in written.items():
        if rules and device is not None and LISTS[name] is not device.family:
            text = f"{name} ({len(rules)}) are not used by a {device.platform} device"
            yield Finding(severity=Severity.INFO, code="unused_list", rule=None, text=text)
    linux = written[list_name(Family.LINUX)]
    if linux and device is None and not support(_ASSUMED[Family.LINUX], "rules", settings).supported:
        text = "linux_rules are for the lab: they apply with platform.limits=lab only"
        yield Finding(severity=Severity.WARNING, code="lab_only", rule=None, text=text)


def _rule(item: CompiledRule, coverer: str | None, settings: Settings) -> Iterator[Finding]:
    def finding(severity: Severity, code: str, text: str) -> Finding:
        return Finding(severity=severity, code=code, rule=item.place, text=text)

    if item.code is not None:
        yield finding(Severity.ERROR, item.code, f"is ignored: {item.because}")
    for code, note in item.notes:
        if code in _NOTED:
            yield finding(_NOTED[code], code, note)
    if is_unbounded(item.rule):
        refused = settings.flag("policy.reject_unbounded_rules")
        severity = Severity.ERROR if refused else Severity.WARNING
        yield finding(severity, "unbounded_rule", "is unbounded: it lets everything through, DNS to anywhere included")
    if item.filter is not None:
        if opens_dns(item.filter):
            opened = "allows outbound flows to anywhere, which opens DNS to the configured resolvers for any name"
            yield finding(Severity.WARNING, "dns_open", f"{opened}; name remote_ips to keep it closed")
        if coverer is not None:
            yield finding(Severity.WARNING, "covered_rule", f"adds nothing: {coverer} lets through all it does")
    for severity, code, advice in (*_remotes(item.rule), *_process(item), *_service(item.rule)):
        yield finding(severity, code, advice)


Advice = tuple[Severity, str, str]


def _remotes(rule: ExclusionRule) -> Iterator[Advice]:
    remotes = rule.remotes or ()
    blocks = [prefix_text(network) for network in remotes]
    if len(set(blocks)) < len(blocks):
        twice = sorted({block for block in blocks if blocks.count(block) > 1})
        yield Severity.INFO, "duplicate_remote", f"remote_ips names {', '.join(twice)} more than once"
    shorter = merged(remotes) if len(remotes) > 1 else blocks
    if len(shorter) < len(set(blocks)):
        yield Severity.INFO, "mergeable_remotes", f"remote_ips can be written as {', '.join(shorter)}"
    for network, block in zip(remotes, blocks, strict=True):
        if _wide(network) and not network.everything:
            text = f"{block} holds more addresses than any one organisation has; name the hosts"
            yield Severity.WARNING, "wide_remote", text


def _wide(network: Network) -> bool:
    bits = 32 if network.version == 4 else 128
    private = network.version == 6 and _PRIVATE6[0] <= network.first and network.last <= _PRIVATE6[1]
    return not private and (network.last - network.first).bit_length() > bits - _WIDE[network.version]


def _process(item: CompiledRule) -> Iterator[Advice]:
    rule = item.rule
    if rule.process_path is None:
        return
    written = rule.process_path.replace("/", "\\") if not rule.process_path.startswith("/") else rule.process_path
    name = image_name(item.filter.image if item.filter and item.filter.image else written).lower().rstrip(". ")
    if any("~" in part and part.rpartition("~")[2][:1].isdigit() for part in written.split("\\")):
        text = "has an 8.3 short name, which matches only processes that are reported under it; write the long name"
        yield Severity.WARNING, "short_name", text
    if rule.service_name is not None or rule.package_family_name is not None:
        text = "names a process and a service or package: only sockets for which both are known and right match"
        yield Severity.INFO, "several_owners", text
    program = _known()[1].get(name)
    if program is not None and program.may_run_anything:
        yield Severity.WARNING, "runs_anything", f"{name}: {program.note}"
    elif program is not None:
        children = ", ".join(program.children)
        text = f"{name}: {program.note}; children are not covered by their parent's rule (here: {children})"
        yield Severity.WARNING, "children_not_covered", text


def _service(rule: ExclusionRule) -> Iterator[Advice]:
    if rule.service_name is None:
        return
    if rule.service_name.lower() in _known()[0]:
        text = f"{rule.service_name} may share its process with other services; where a source knows the process only, "
        yield Severity.WARNING, "shared_service", text + "their traffic passes too"


@cache
def _known() -> tuple[frozenset[str], Mapping[str, Program]]:
    """Services that share a process, and programs with surprises; lower case."""
    place = Place("policies/lint.yaml")
    tree = load_mapping(read_data("lint.yaml"), name=place.path)
    fields = mapping(tree, place, ("version", "shared_services", "programs"))
    version(fields, place)
    programs = {}
    for name, node in mapping(fields.get("programs"), place.at("programs")).items():
        here = place.at(f"programs.{name}")
        row = mapping(node, here, ("children", "may_run_anything", "note"))
        runs = row.get("may_run_anything")
        programs[name.lower()] = Program(
            children=texts(row.get("children"), here.at("children")),
            may_run_anything=runs is not None and switch(runs, here.at("may_run_anything")),
            note=text(row.get("note"), here.at("note")),
        )
    services = texts(fields.get("shared_services"), place.at("shared_services"))
    return frozenset(service.lower() for service in services), programs
