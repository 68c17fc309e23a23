"""What each condition makes of each kind of fact, and how conditions join."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.rule import Network
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import ConditionState, Confidence, Direction
from agent.policy.effective import Filter
from agent.policy.match import CONDITIONS, Condition, Facts, condition_state, effective_subject, matches

MET, NOT_MET, UNKNOWN, UNDEFINED = (
    ConditionState.MET,
    ConditionState.NOT_MET,
    ConditionState.UNKNOWN,
    ConditionState.UNDEFINED,
)
OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
SUPPORT = r"C:\PROGRAM FILES\SUPPORT\SUPPORT.EXE"
TEAMS = "msteams_8wekyb3d8bbwe"


def network(text: str) -> Network:
    address, _, prefix = text.partition("/")
    first = parse_address(address)
    host_bits = (32 if first.version == 4 else 128) - int(prefix)
    base = first.value >> host_bits << host_bits
    return Network(version=first.version, first=base, last=base | (1 << host_bits) - 1, text=text)


def rule(**conditions: Any) -> Filter:
    if "remotes" in conditions:
        conditions["remotes"] = tuple(network(text) for text in conditions["remotes"])
    return Filter(index=0, name="rule", **conditions)


def facts(*, direction: Direction | None = OUTBOUND, remote: str = "203.0.113.9", **subject: Any) -> Facts:
    return Facts(direction, parse_address(remote), Subject(**subject))


CASES: list[Any] = [
    pytest.param("direction", rule(), facts(), UNDEFINED, id="any direction"),
    pytest.param("direction", rule(direction=OUTBOUND), facts(), MET, id="same direction"),
    pytest.param("direction", rule(direction=INBOUND), facts(), NOT_MET, id="other direction"),
    pytest.param("direction", rule(direction=OUTBOUND), facts(direction=None), UNKNOWN, id="direction unknown"),
    pytest.param("direction", rule(), facts(direction=None), UNDEFINED, id="any direction, unknown"),
    pytest.param("remote_ips", rule(), facts(), UNDEFINED, id="any remote"),
    pytest.param("remote_ips", rule(remotes=["203.0.113.0/24"]), facts(), MET, id="inside"),
    pytest.param("remote_ips", rule(remotes=["203.0.112.0/24"]), facts(), NOT_MET, id="outside"),
    pytest.param("remote_ips", rule(remotes=["10.0.0.0/8", "203.0.113.9/32"]), facts(), MET, id="any of several"),
    pytest.param("remote_ips", rule(remotes=["1.1.1.1/24"]), facts(remote="1.1.1.255"), MET, id="host bits set"),
    pytest.param("remote_ips", rule(remotes=["::/0"]), facts(), NOT_MET, id="IPv6 network, IPv4 remote"),
    pytest.param("remote_ips", rule(remotes=["0.0.0.0/0"]), facts(remote="::1"), NOT_MET, id="IPv4 network, IPv6"),
    pytest.param("remote_ips", rule(remotes=[]), facts(), NOT_MET, id="an empty list is nothing, never any"),
    pytest.param("process_path", rule(), facts(), UNDEFINED, id="any process"),
    pytest.param("process_path", rule(image=SUPPORT), facts(canonical_image=SUPPORT), MET, id="same image"),
    pytest.param("process_path", rule(image=SUPPORT), facts(canonical_image=SUPPORT + ".EXE"), NOT_MET, id="other"),
    pytest.param("process_path", rule(image=SUPPORT), facts(image=SUPPORT), UNKNOWN, id="only the canonical form"),
    pytest.param("process_path", rule(image="/bin/Curl"), facts(canonical_image="/bin/curl"), NOT_MET, id="POSIX case"),
    pytest.param("service_name", rule(), facts(), UNDEFINED, id="any service"),
    pytest.param("service_name", rule(service="dnscache"), facts(), UNKNOWN, id="services unknown"),
    pytest.param("service_name", rule(service="dnscache"), facts(services=()), NOT_MET, id="no service"),
    pytest.param(
        "service_name", rule(service="dnscache"), facts(services=("nlasvc", "dnscache")), MET, id="hosted with others"
    ),
    pytest.param("service_name", rule(service="dns"), facts(services=("dnscache",)), NOT_MET, id="part of a name"),
    pytest.param("service_name", rule(service="A.service"), facts(services=("a.service",)), NOT_MET, id="unit's case"),
    pytest.param("package_family_name", rule(), facts(), UNDEFINED, id="any package"),
    pytest.param("package_family_name", rule(package=TEAMS), facts(), UNKNOWN, id="packages unknown"),
    pytest.param("package_family_name", rule(package=TEAMS), facts(package_known=True), NOT_MET, id="not packaged"),
    pytest.param(
        "package_family_name",
        rule(package=TEAMS),
        facts(package_known=True, package_family_name="MSTeams_8wekyb3d8bbwe"),
        MET,
        id="package without regard to case",
    ),
    pytest.param(
        "package_family_name",
        rule(package=TEAMS),
        facts(package_known=True, package_family_name="Other_8wekyb3d8bbwe"),
        NOT_MET,
        id="other package",
    ),
    pytest.param(
        "package_family_name", rule(package=""), facts(package_known=True), NOT_MET, id="an empty name is nobody's"
    ),
]


@pytest.mark.parametrize(("condition", "filter", "flow", "state"), CASES)
def test_condition_state(condition: Condition, filter: Filter, flow: Facts, state: ConditionState) -> None:
    assert condition_state(filter, condition, flow) is state


PLATFORM = r"C:\PROGRAMDATA\MICROSOFT\WINDOWS DEFENDER\PLATFORM\*\MSMPENG.EXE"


@pytest.mark.parametrize(
    ("pattern", "image", "fits"),
    [
        (PLATFORM, PLATFORM.replace("*", "4.18.24090.11-0"), True),
        (PLATFORM, PLATFORM.replace("*", r"4.18\X"), False),
        (PLATFORM, PLATFORM.replace(r"\*", ""), False),
        (PLATFORM, PLATFORM.replace("*", ""), False),
        (PLATFORM, PLATFORM.replace("*", "4.18") + r"\X.EXE", False),
        (PLATFORM, PLATFORM.replace("*", "4.18").replace("MSMPENG", "EVIL"), False),
        (r"C:\USERS\*\A*.EXE", r"C:\USERS\ANN\AB.EXE", False),
        ("/Library/SystemExtensions/*/netext", "/Library/SystemExtensions/0A-1B/netext", True),
        ("/Library/SystemExtensions/*/netext", "/Library/SystemExtensions/a/b/netext", False),
        ("/opt/*/agent", r"/opt/a\b/agent", True),
    ],
)
def test_star_of_a_reserved_filter_is_exactly_one_whole_component(pattern: str, image: str, fits: bool) -> None:
    reserved = rule(image=pattern, reserved=True)
    assert matches(reserved, facts(canonical_image=image)) is fits


def test_star_in_a_rule_is_a_character_of_a_posix_file_name() -> None:
    literal = rule(image="/opt/*/agent")
    assert matches(literal, facts(canonical_image="/opt/*/agent"))
    assert not matches(literal, facts(canonical_image="/opt/x/agent"))


def test_filter_without_conditions_matches_a_flow_of_which_nothing_is_known() -> None:
    assert matches(rule(), Facts(None, parse_address("::"), UNATTRIBUTED))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_defined_condition_must_be_met(condition: Condition) -> None:
    """AND inside a filter: one foreign fact is enough."""
    filter = rule(direction=OUTBOUND, remotes=["203.0.113.0/24"], image=SUPPORT, service="help", package=TEAMS)
    flow: dict[str, Any] = {
        "canonical_image": SUPPORT,
        "services": ("help",),
        "package_family_name": TEAMS,
        "package_known": True,
    }
    assert matches(filter, facts(**flow))
    foreign: dict[str, dict[str, Any]] = {
        "direction": {"direction": INBOUND},
        "remote_ips": {"remote": "192.0.2.1"},
        "process_path": {"canonical_image": None},
        "service_name": {"services": ()},
        "package_family_name": {"package_known": False},
    }
    other = facts(**(flow | foreign[condition]))
    assert not matches(filter, other)
    assert [one for one in CONDITIONS if condition_state(filter, one, other) is not MET] == [condition]


ATTRIBUTED = Subject(
    image="/usr/bin/curl",
    canonical_image="/usr/bin/curl",
    services=("cron.service",),
    package_family_name="x",
    package_known=True,
    pid=7,
    source="sockets",
    confidence=Confidence.MEDIUM,
)


@pytest.mark.parametrize("minimum", [Confidence.LOW, Confidence.MEDIUM])
def test_subject_that_is_certain_enough_keeps_its_facts(minimum: Confidence) -> None:
    assert effective_subject(ATTRIBUTED, minimum) == ATTRIBUTED


def test_uncertain_subject_meets_no_process_condition_but_is_still_shown() -> None:
    doubted = effective_subject(ATTRIBUTED, Confidence.HIGH)
    flow = Facts(OUTBOUND, parse_address("203.0.113.9"), doubted)
    filter = rule(image="/usr/bin/curl", service="cron.service", package="x")
    states = [condition_state(filter, one, flow) for one in CONDITIONS]
    assert states == [UNDEFINED, UNDEFINED, UNKNOWN, UNKNOWN, UNKNOWN]
    assert (doubted.pid, doubted.image, doubted.source) == (7, "/usr/bin/curl", "sockets")
