"""Rules + device facts + reserved permits -> the effective policy. What is decided here stays while isolation lasts.

Knows which list applies when (feature switch, dialog's box, mode), which rules become filters and why others are
ignored. Must not know: the file system (the live agent passes `executable_exists`), packets, what a filter matches.

    >>> build_policy(Mode.FULL, device=Device(), rules=None, exclusions=None, use_exclusions=True,
    ...              settings=Settings({}), cloud=None, generation=1).filters
    ()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.model.device import Device, Family
from agent.model.errors import PolicyError
from agent.model.rule import ExclusionRule, RuleDocument
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.policy.compiled import ExecutableExists, Note, compile_rules, is_unbounded, opens_dns
from agent.policy.digest import policy_digest
from agent.policy.effective import CloudChannel, EffectivePolicy, Filter, SnapshotRule
from agent.policy.platforms import require_mode
from agent.policy.reserved import load_cloud_channel, load_embedded, load_essential
from agent.policy.rules import list_name, rules_of

WEAKENS = "any exclusion weakens isolation: keep only those that are strictly necessary"
"""The source page's warning (X24)."""
FEATURE_OFF = "the feature isolation_exclusions is off"


def build_policy(
    mode: Mode,
    *,
    device: Device,
    rules: RuleDocument | None,
    exclusions: bool | None,
    use_exclusions: bool,
    settings: Settings,
    cloud: CloudChannel | None,
    generation: int,
    executable_exists: ExecutableExists | None = None,
) -> EffectivePolicy:
    """The policy that isolating `device` in `mode` installs.

    `exclusions`: overrides the feature switch of `rules`; `use_exclusions`: the dialog's box; `cloud` None: the shipped
    channel. Raises UsageError with OsPlatformNotSupported, or PolicyError for an unbounded rule if those are rejected.
    """
    platform = require_mode(device, mode, settings)
    channel = load_cloud_channel(device) if cloud is None else cloud
    warnings: list[Note] = [("os_version_assumed", platform.assumption)] if platform.assumption else []
    snapshot: tuple[SnapshotRule, ...] = ()
    embedded: tuple[SnapshotRule, ...] = ()
    document = rules or RuleDocument(path="no rules document", isolation_exclusions=False)
    unused = _why_no_rules(mode, document, exclusions, use_exclusions)
    if unused is None:
        snapshot, found = _take(document, device, settings, executable_exists)
        warnings += found
    elif mode is not Mode.NONE:
        listed = rules_of(document, device.family)
        snapshot = tuple(SnapshotRule(name=rule.name, filter=None, ignored_because=unused) for rule in listed)
        if unused == FEATURE_OFF:
            embedded = tuple(SnapshotRule(name=item.name, filter=item) for item in load_embedded(device))
            warnings += _feature_off_warnings(document, exclusions, device, listed)
    snapshot = embedded + snapshot
    if mode is not Mode.NONE and not (channel.agents and (channel.exact_names or channel.suffixes or channel.networks)):
        warnings.append(("cloud_channel_empty", f"the cloud channel has no agent or no host for {device.family}"))
    filters = tuple(rule.filter for rule in snapshot if rule.filter is not None)
    dns = _dns(settings, filters, bool(embedded))
    policy = EffectivePolicy(
        generation=generation,
        mode=mode,
        family=device.family,
        embedded=bool(embedded),
        snapshot=snapshot,
        filters=filters,
        cloud=channel,
        essential=load_essential(settings),
        dns=dns,
        settings=settings.everything(),
        digest="",
        warnings=(*warnings, *_overall_warnings(mode, filters, dns)),
    )
    return replace(policy, digest=policy_digest(policy))


def released_policy(
    *, device: Device, settings: Settings, generation: int, cloud: CloudChannel | None = None
) -> EffectivePolicy:
    """The policy of a device that is not isolated: mode none, which any platform supports."""
    return build_policy(
        Mode.NONE,
        device=device,
        rules=None,
        exclusions=None,
        use_exclusions=False,
        settings=settings,
        cloud=cloud,
        generation=generation,
    )


def _take(
    document: RuleDocument, device: Device, settings: Settings, executable_exists: ExecutableExists | None
) -> tuple[tuple[SnapshotRule, ...], list[Note]]:
    """The exclusion snapshot, with what it warns of."""
    compiled = compile_rules(document, device, settings, executable_exists)
    warnings: list[Note] = []
    unbounded = [is_unbounded(item.rule) for item in compiled]
    for item, wide in zip(compiled, unbounded, strict=True):
        if wide and settings.flag("policy.reject_unbounded_rules"):
            message = "is unbounded: it lets everything through; name a process, service, package or fewer addresses"
            raise PolicyError(document.path, message, rule=item.place)
        if item.filter is None:
            warnings.append(("rule_ignored", f"rule {item.rule.name!r} is ignored: {item.because}"))
        elif wide:
            warnings.append(("unbounded_rule", f"rule {item.rule.name!r} is unbounded: it lets everything through"))
        warnings += item.notes
    if not any(item.filter for item in compiled):
        text = f"no rule of {list_name(device.family)} is active: Selective denies what Full denies"
        warnings.append(("no_active_rules", text))
    snapshot = tuple(
        SnapshotRule(
            name=item.rule.name,
            filter=item.filter,
            ignored_because=item.because,
            unbounded=wide,
        )
        for item, wide in zip(compiled, unbounded, strict=True)
    )
    return snapshot, list(dict.fromkeys(warnings))


def _feature_on(document: RuleDocument, exclusions: bool | None) -> bool:
    """The feature isolation_exclusions: the override, else the document's switch, else off."""
    return document.isolation_exclusions is True if exclusions is None else exclusions


def _why_no_rules(mode: Mode, document: RuleDocument, exclusions: bool | None, use_exclusions: bool) -> str | None:
    """Why the rules that somebody wrote do not apply, or None if they do."""
    if mode is Mode.NONE:
        return "the device is not isolated"
    if mode is Mode.FULL:
        return "Full isolation applies no exclusions"
    if not use_exclusions:
        return "isolated without the box 'use isolation exclusions'"
    return None if _feature_on(document, exclusions) else FEATURE_OFF


def _feature_off_warnings(
    document: RuleDocument, exclusions: bool | None, device: Device, listed: Sequence[ExclusionRule]
) -> list[Note]:
    warnings: list[Note] = []
    windows = device.family is Family.WINDOWS
    instead = "the embedded list (Outlook, classic Teams) applies" if windows else "the embedded list is Windows only"
    if document.isolation_exclusions is None and exclusions is None:
        text = f"{document.path} does not say isolation_exclusions: true, so the feature is off; {instead}"
        warnings.append(("feature_switch_absent", text))
    if listed:
        unused = f"{FEATURE_OFF}: {list_name(device.family)} ({len(listed)}) are not used; {instead}"
        warnings.append(("rules_unused", unused))
    if not windows:
        warnings.append(("no_active_rules", f"{FEATURE_OFF} and {instead}: Selective denies what Full denies"))
    return warnings


def _dns(settings: Settings, filters: Sequence[Filter], embedded: bool) -> str:
    """What `essential.dns` comes to; only Selective has filters, or the embedded list."""
    word = settings.word("essential.dns")
    if word != "auto":
        return word
    return "configured_resolvers" if embedded or any(map(opens_dns, filters)) else "cloud_names"


def _overall_warnings(mode: Mode, filters: Sequence[Filter], dns: str) -> list[Note]:
    warnings: list[Note] = [("exclusions_weaken_isolation", WEAKENS)] if filters else []
    if mode is not Mode.NONE and dns in ("configured_resolvers", "any"):
        whom = "anywhere" if dns == "any" else "to the configured resolvers"
        warnings.append(("dns_open", f"DNS questions of any name may go {whom}: data can leave that way"))
    return warnings
