"""Which exclusions apply when, frozen into the effective policy, and what every view of it must warn of."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from agent.model.device import Device
from agent.model.errors import PolicyError, UsageError
from agent.model.vocabulary import Mode, Reason
from agent.policy.effective import CloudChannel, EffectivePolicy
from agent.policy.reserved import load_cloud_channel
from agent.policy.snapshot import FEATURE_OFF, WEAKENS, released_policy
from tests.policy.builders import NOTEPAD, codes, device, policy, rules, settings

ONE = {"name": "One", "remote_ips": "1.1.1.1"}


def statuses(built: EffectivePolicy) -> list[tuple[str, str | None]]:
    return [(rule.name, rule.ignored_because) for rule in built.snapshot]


def text_of(built: EffectivePolicy, code: str) -> str:
    return next(text for name, text in built.warnings if name == code)


@pytest.mark.parametrize(
    ("mode", "feature", "override", "box", "filters", "embedded"),
    [
        pytest.param(Mode.SELECTIVE, True, None, True, ["One"], False, id="X3 Selective applies the rules"),
        pytest.param(Mode.FULL, True, None, True, [], False, id="X2 Full applies no exclusions"),
        pytest.param(Mode.NONE, True, None, True, [], False, id="not isolated"),
        pytest.param(Mode.SELECTIVE, True, None, False, [], False, id="X18 the box wins: Selective without exclusions"),
        pytest.param(Mode.SELECTIVE, False, None, False, [], False, id="X18 without the box no embedded list either"),
        pytest.param(Mode.SELECTIVE, False, None, True, 7, True, id="X4 feature off: the embedded list"),
        pytest.param(Mode.SELECTIVE, None, None, True, 7, True, id="X4 feature not mentioned: off"),
        pytest.param(Mode.SELECTIVE, False, True, True, ["One"], False, id="override on"),
        pytest.param(Mode.SELECTIVE, True, False, True, 7, True, id="override off"),
        pytest.param(Mode.FULL, False, None, True, [], False, id="Full has no embedded list"),
    ],
)
def test_which_exclusions_apply(
    mode: Mode, feature: bool | None, override: bool | None, box: bool, filters: Any, embedded: bool
) -> None:
    built = policy(mode, rules(dict(ONE), feature=feature), exclusions=override, use_exclusions=box)
    assert built.embedded is embedded
    if isinstance(filters, int):
        assert len(built.filters) == filters
        assert all(item.name.startswith(("Outlook", "Teams")) for item in built.filters)
    else:
        assert [item.name for item in built.filters] == filters
    assert [item.index for item in built.filters] == list(range(len(built.filters)))


def test_turning_the_feature_on_removes_the_embedded_list_and_starts_empty() -> None:
    """X5: once enabled, Teams, Outlook and Skype no longer get through."""
    before, after = policy(document=rules(feature=False)), policy(document=rules(feature=True))
    assert before.embedded
    assert before.allow_reason is Reason.EMBEDDED_EXCLUSION
    assert not after.embedded
    assert (after.filters, after.snapshot) == ((), ())
    assert "no_active_rules" in codes(after)


def test_without_a_document_selective_has_the_embedded_list() -> None:
    """D4."""
    built = policy()
    assert built.embedded
    assert built.dns == "configured_resolvers"
    assert "exclusions_weaken_isolation" in codes(built)


def test_the_override_alone_turns_the_feature_on() -> None:
    built = policy(exclusions=True)
    assert not built.embedded
    assert "no_active_rules" in codes(built)


@pytest.mark.parametrize(
    ("mode", "feature", "box", "because"),
    [
        (Mode.FULL, True, True, "Full isolation applies no exclusions"),
        (Mode.SELECTIVE, True, False, "isolated without the box 'use isolation exclusions'"),
        (Mode.SELECTIVE, False, True, FEATURE_OFF),
    ],
)
def test_rules_that_do_not_apply_are_kept_with_the_reason(mode: Mode, feature: bool, box: bool, because: str) -> None:
    built = policy(mode, rules(dict(ONE), feature=feature), use_exclusions=box)
    assert ("One", because) in statuses(built)


def test_a_released_device_has_no_snapshot() -> None:
    built = policy(Mode.NONE, rules(dict(ONE)))
    assert (built.snapshot, built.isolated, built.warnings) == ((), False, ())


def test_a_mac_has_no_embedded_list() -> None:
    """X5, semantics 3: Windows only. Selective then denies what Full denies, and says so."""
    mac = device(platform="macOS", os_version=None)
    built = policy(document=rules(mac_rules=[dict(ONE)], feature=False), device=mac)
    assert (built.embedded, built.filters) == (False, ())
    assert built.dns == "cloud_names"
    assert codes(built) == ["rules_unused", "no_active_rules"]


def test_each_device_uses_the_list_of_its_own_platform() -> None:
    """X7, X17: global rules, by platform, whichever device is isolated."""
    document = rules({"name": "w"}, mac_rules=[{"name": "m"}], linux_rules=[{"name": "l"}])
    lab = settings(platform__limits="lab")
    names = {
        platform: [item.name for item in policy(document=document, device=host, settings=lab).filters]
        for platform in ("Windows11", "WindowsServer2016", "macOS", "Linux")
        if (host := device(platform=platform, os_version=None))
    }
    assert names == {"Windows11": ["w"], "WindowsServer2016": ["w"], "macOS": ["m"], "Linux": ["l"]}


def test_ignored_rules_stay_in_the_snapshot_with_their_reason() -> None:
    """X10, X19."""
    document = rules({"name": "gone", "process_path": NOTEPAD}, dict(ONE))
    built = policy(document=document, device=device(executables=[]))
    assert statuses(built) == [("gone", rf"{NOTEPAD} does not exist on the device"), ("One", None)]
    assert [item.name for item in built.filters] == ["One"]
    assert text_of(built, "rule_ignored") == rf"rule 'gone' is ignored: {NOTEPAD} does not exist on the device"


def test_executables_nobody_described_are_assumed_aloud() -> None:
    document = rules({"process_path": NOTEPAD}, {"process_path": r"C:\other.exe"})
    assert codes(policy(document=document)).count("executables_assumed") == 1
    assert "executables_assumed" not in codes(policy(document=document, executable_exists=lambda image: True))
    assert "executables_assumed" not in codes(policy(document=rules(dict(ONE))))


def test_any_exclusion_is_warned_of() -> None:
    """X24."""
    assert ("exclusions_weaken_isolation", WEAKENS) in policy(document=rules(dict(ONE))).warnings
    assert "exclusions_weaken_isolation" not in codes(policy(Mode.FULL, rules(dict(ONE))))
    assert "exclusions_weaken_isolation" not in codes(policy(document=rules(feature=True)))


def test_an_unbounded_rule_is_accepted_loudly_or_refused() -> None:
    document = rules(dict(ONE), {"name": "All", "remote_ips": "0.0.0.0/1, 128.0.0.0/1"})
    built = policy(document=document)
    assert text_of(built, "unbounded_rule") == "rule 'All' is unbounded: it lets everything through"
    assert [rule.unbounded for rule in built.snapshot] == [False, True]
    with pytest.raises(PolicyError, match="is unbounded") as caught:
        policy(document=document, settings=settings(policy__reject_unbounded_rules=True))
    assert caught.value.path == "rules.json"
    assert caught.value.rule == "windows_rules[1] 'All'"


def test_rules_that_are_not_used_cannot_keep_a_device_from_being_isolated() -> None:
    """Fail closed: Full isolation is not refused for a rule that Full ignores."""
    strict = settings(policy__reject_unbounded_rules=True)
    assert policy(Mode.FULL, rules({"name": "All"}), settings=strict).isolated


@pytest.mark.parametrize(
    ("fields", "dns"),
    [
        pytest.param({"direction": "Outbound"}, "configured_resolvers", id="outbound to undefined remotes"),
        pytest.param({"process_path": NOTEPAD}, "configured_resolvers", id="either way to undefined remotes"),
        pytest.param({"direction": "Inbound"}, "cloud_names", id="inbound only"),
        pytest.param({"remote_ips": "1.1.1.1"}, "cloud_names", id="to one address"),
    ],
)
def test_dns_opens_only_for_programs_that_may_go_anywhere(fields: Any, dns: str) -> None:
    built = policy(document=rules(fields))
    assert built.dns == dns
    assert ("dns_open" in codes(built)) is (dns != "cloud_names")


def test_an_ignored_rule_opens_no_dns() -> None:
    document = rules({"process_path": NOTEPAD, "direction": "Outbound"})
    assert policy(document=document, device=device(executables=[])).dns == "cloud_names"


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.NONE])
def test_dns_stays_with_the_channels_names_without_exclusions(mode: Mode) -> None:
    assert policy(mode, rules({"direction": "Outbound"})).dns == "cloud_names"


@pytest.mark.parametrize("word", ["off", "cloud_names", "configured_resolvers", "any"])
def test_a_chosen_dns_is_taken_as_it_is_and_open_dns_is_warned_of(word: str) -> None:
    built = policy(Mode.FULL, settings=settings(essential__dns=word))
    assert built.dns == word
    assert ("dns_open" in codes(built)) is (word in ("configured_resolvers", "any"))


def test_the_feature_switch_that_is_not_there_is_warned_of() -> None:
    absent = policy(document=rules(dict(ONE), feature=None))
    assert codes(absent)[:2] == ["feature_switch_absent", "rules_unused"]
    assert "rules.json does not say isolation_exclusions: true" in text_of(absent, "feature_switch_absent")
    assert "feature_switch_absent" not in codes(policy(document=rules(dict(ONE), feature=False)))
    assert "feature_switch_absent" not in codes(policy(document=rules(dict(ONE), feature=None), exclusions=False))
    assert "feature_switch_absent" not in codes(policy())


def test_an_unsupported_platform_is_refused() -> None:
    with pytest.raises(UsageError, match="OsPlatformNotSupported"):
        policy(device=device(platform="Linux", os_version=None))
    assert policy(Mode.FULL, device=device(platform="Linux", os_version=None)).isolated


def test_an_unknown_version_is_assumed_aloud() -> None:
    built = policy(Mode.FULL, device=device(platform="Windows10", os_version=None))
    assert codes(built) == ["os_version_assumed"]


def test_a_channel_of_nothing_is_warned_of() -> None:
    nothing = CloudChannel(
        exact_names=frozenset(),
        suffixes=(),
        networks=(),
        crl_names=frozenset(),
        tls_ports=frozenset(),
        crl_ports=frozenset(),
        agents=(),
    )
    assert "cloud_channel_empty" in codes(policy(Mode.FULL, cloud=nothing))
    assert "cloud_channel_empty" not in codes(policy(Mode.FULL))


def test_essential_services_are_those_switched_on() -> None:
    built = policy(Mode.FULL, settings=settings(essential__ntp=True))
    assert [service.name for service in built.essential] == ["ntp"]
    assert built.settings["essential.ntp"] is True
    assert built.settings["loopback"] is True


def test_a_policy_never_changes() -> None:
    """X23: what was taken when isolation was applied stays."""
    built = policy(document=rules(dict(ONE)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.filters = ()  # type: ignore[misc]


def test_the_released_policy_is_mode_none_on_any_platform() -> None:
    old = device(platform="Windows7", os_version=None)
    built = released_policy(device=old, settings=settings(), generation=7)
    assert (built.mode, built.generation, built.filters, built.isolated) == (Mode.NONE, 7, (), False)
    assert built.cloud == load_cloud_channel(old)


def test_given_cloud_channel_is_used() -> None:
    cloud = dataclasses.replace(load_cloud_channel(Device()), suffixes=(".lab.test",))
    assert policy(Mode.FULL, cloud=cloud).cloud is cloud
