r"""Evidence of a log becomes owners: processes joined, ends oriented, hosts and clocks told apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from agent.attribution.collector import Collector
from agent.attribution.evidence import Claim, Context, HostedServices, Observation, ProcessStart, Side
from agent.attribution.processes import Processes, hosted_services
from agent.attribution.recorded import Opening, Recorded, Surroundings
from agent.attribution.values import Owner
from agent.model.address import parse_address, parse_endpoint
from agent.model.device import Device
from agent.model.moment import SECOND
from agent.model.vocabulary import Confidence

T0 = 1_600_000_000 * SECOND
US, PEER, OTHER = "10.0.0.5", "203.0.113.9", "10.0.0.6"
SVCHOST = r"C:\Windows\System32\svchost.exe"
NAMED = Device(name="ws5.contoso.test", addresses=(parse_address(US),))
AGENT = Claim(pid=980, image=r"C:\a.exe")


def row(
    first: str = f"{US}:50123",
    second: str | None = f"{PEER}:443",
    *,
    host: str = "WS5",
    at: int = 0,
    protocol: int = 6,
    local: Side = Side.FIRST,
    claim: Claim = AGENT,
    **more: object,
) -> Observation:
    """A socket of WS5 at `at` seconds."""
    end = None if second is None else parse_endpoint(second)
    return Observation(host, T0 + at * SECOND, protocol, parse_endpoint(first), end, local, claim, **more)  # type: ignore[arg-type]


def collected(*rows: Observation, name: str = "log", device: Device | None = None, **options: object) -> Collector:
    collector = Collector(name, f"{name}.jsonl", context=Context(device=device or Device(assumed=True)), **options)  # type: ignore[arg-type]
    for one in rows:
        collector.saw(one)
    return collector


def settled(collector: Collector, openings: Iterable[Opening] = (), local: str = US, **limits: int) -> Recorded:
    source = collector.source(Processes([collector]))
    source.settle(Surroundings(addresses=(parse_address(local),), openings=tuple(openings), **limits))
    return source


def ask(source: Recorded, local: str, remote: str, at: float = 0, protocol: int = 6) -> Owner | None:
    here, there = parse_endpoint(local), parse_endpoint(remote)
    assert here.address is not None
    assert there.address is not None
    now = T0 + round(at * SECOND)
    return source.find(
        protocol, here.address.version, here.address.value, here.port, there.address.value, there.port, now, 0
    )


def opening(local_port: int, at: float, remote: str = f"{PEER}:443", protocol: int = 6) -> Opening:
    there = parse_endpoint(remote)
    assert there.address is not None
    return Opening(protocol, parse_address(US), local_port, there.address, there.port, T0 + round(at * SECOND))


def test_a_row_says_who_owns_its_local_end_and_who_opened_it() -> None:
    owner = ask(settled(collected(row(initiated=True))), f"{US}:50123", f"{PEER}:443")
    assert owner is not None
    assert (owner.subject.pid, owner.subject.image, owner.subject.source) == (980, r"C:\a.exe", "log")
    assert owner.initiated is True


def test_an_unsure_row_is_oriented_by_what_other_rows_prove() -> None:
    """Only the host's own end is looked up, whichever way round the row has it."""
    proof = row()
    turned = row(f"{PEER}:53", f"{US}:5353", protocol=17, local=Side.UNSURE)
    source = settled(collected(proof, turned))
    assert ask(source, f"{US}:5353", f"{PEER}:53", protocol=17) is not None
    assert ask(source, f"{PEER}:53", f"{US}:5353", protocol=17) is None


def test_a_row_whose_ends_nothing_tells_apart_is_found_from_both() -> None:
    source = settled(collected(row(local=Side.UNSURE)))
    assert ask(source, f"{US}:50123", f"{PEER}:443") is not None
    assert ask(source, f"{PEER}:443", f"{US}:50123") is not None


def test_an_address_that_is_no_proof_is_not_the_hosts() -> None:
    source = settled(collected(row(proves_address=False), row(f"{OTHER}:1", f"{PEER}:2")), local=OTHER)
    assert source.local_addresses() == (parse_address(OTHER),)


def test_a_witness_tells_the_opener_from_both_ends() -> None:
    claim = Claim()
    source = settled(collected(row(local=Side.UNSURE, claim=claim), witness=True))
    ours, theirs = ask(source, f"{US}:50123", f"{PEER}:443"), ask(source, f"{PEER}:443", f"{US}:50123")
    assert ours is not None
    assert theirs is not None
    assert (ours.initiated, theirs.initiated) == (True, False)
    assert not ours.subject.source


def test_udp_rows_never_say_who_opened() -> None:
    owner = ask(settled(collected(row(protocol=17, initiated=True))), f"{US}:50123", f"{PEER}:443", protocol=17)
    assert owner is not None
    assert owner.initiated is None


# Joining ----------------------------------------------------------------------------------------------------------


def started(collector: Collector, at: int, claim: Claim, host: str = "WS5") -> Collector:
    collector.started(ProcessStart(host, T0 + at * SECOND, claim))
    return collector


LINE = f"{SVCHOST} -k netsvcs -p -s BITS"
SERVICE, LOGGED = (Claim(pid=700, image=SVCHOST, command_line=LINE, guid=guid) for guid in (None, "A"))


def services_of(collector: Collector) -> tuple[str, ...] | None:
    owner = ask(settled(collector), f"{US}:50123", f"{PEER}:443")
    assert owner is not None
    return owner.subject.services


def test_a_process_is_joined_by_its_guid() -> None:
    collector = started(collected(row(claim=Claim(guid="A"))), -5, LOGGED)
    owner = ask(settled(collector), f"{US}:50123", f"{PEER}:443")
    assert owner is not None
    subject = owner.subject
    assert (subject.image, subject.pid, subject.services) == (SVCHOST, 700, ("bits",))
    assert subject.process_created == T0 - 5 * SECOND


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        pytest.param(Claim(pid=700, image=SVCHOST), ("bits",), id="same program, started before"),
        pytest.param(
            Claim(pid=700, image=r"\device\harddiskvolume2\windows\system32\svchost.exe"), ("bits",), id="by device"
        ),
        pytest.param(Claim(pid=700, image=r"C:\other\svchost.exe"), None, id="another program has the pid"),
        pytest.param(Claim(pid=700), None, id="a bare pid is no process"),
        pytest.param(Claim(pid=701, image=SVCHOST), None, id="another pid"),
        pytest.param(Claim(pid=700, image=SVCHOST, created=T0 - 5 * SECOND), ("bits",), id="by creation"),
        pytest.param(Claim(pid=700, image=SVCHOST, created=T0 - 9 * SECOND), None, id="created at another time"),
    ],
)
def test_a_process_is_joined_by_pid_only_with_what_makes_it_one(claim: Claim, expected: tuple[str, ...] | None) -> None:
    assert services_of(started(collected(row(claim=claim)), -5, SERVICE)) == expected


@pytest.mark.parametrize("guid", [None, "B"], ids=["lost", "another"])
def test_where_processes_have_guids_only_those_join(guid: str | None) -> None:
    """Two guids are two processes, and Sysmon's starts and connections have different clocks."""
    claim = Claim(pid=700, image=SVCHOST, guid=guid)
    assert services_of(started(collected(row(claim=claim)), -5, LOGGED)) is None


def test_the_last_start_before_the_socket_counts_and_a_later_one_does_not() -> None:
    collector = collected(row(claim=Claim(pid=700, image=SVCHOST)))
    for at, service in ((-50, "Old"), (-5, "Now"), (5, "Later")):
        started(collector, at, SERVICE._replace(command_line=f"{SVCHOST} -k x -s {service}"))
    assert services_of(collector) == ("now",)


def test_starts_of_another_host_or_log_are_not_joined_by_pid() -> None:
    claim = Claim(pid=700, image=SVCHOST)
    assert services_of(started(collected(row(claim=claim)), -5, SERVICE, host="WS6")) is None
    other, collector = started(collected(), -5, SERVICE), collected(row(claim=claim))
    source = collector.source(Processes([other, collector]))
    source.settle(Surroundings(addresses=(parse_address(US),)))
    owner = ask(source, f"{US}:50123", f"{PEER}:443")
    assert owner is not None
    assert owner.subject.services is None


@pytest.mark.parametrize(
    ("image", "line", "expected"),
    [
        (SVCHOST, r"C:\Windows\System32\svchost.exe -k netsvcs -p -s BITS", ("BITS",)),
        (SVCHOST, r"svchost.exe -s Dnscache -k NetworkService", ("Dnscache",)),
        (SVCHOST, 'svchost.exe -k x -s "BITS"', ("BITS",)),
        (SVCHOST, r"svchost.exe -k netsvcs", None),
        (SVCHOST, r"svchost.exe -k netsvcs -s", None),
        (SVCHOST, r"svchost.exe --s BITS", None),
        (r"C:\evil\curl.exe", r"curl.exe -s BITS", None),
        (None, r"svchost.exe -k x -s BITS", None),
        (r"\device\harddiskvolume2\windows\system32\svchost.exe", r"svchost.exe -k x -s BITS", ("BITS",)),
        (r"C:\Users\eve\svchost.exe", r"svchost.exe -k x -s BITS", None),
        (r"E:\Windows\System32\svchost.exe", r"svchost.exe -k x -s BITS", None),
        (r"C:\Users\eve\Windows\System32\svchost.exe", r"svchost.exe -k x -s BITS", None),
        ("svchost.exe", r"svchost.exe -k x -s BITS", None),
    ],
)
def test_a_service_host_names_its_service_on_its_command_line(
    image: str | None, line: str, expected: tuple[str, ...] | None
) -> None:
    assert hosted_services(Claim(image=image, command_line=line)) == expected


@pytest.mark.parametrize(
    ("table", "claim", "expected", "confidence"),
    [
        pytest.param({"image": "svchost.exe"}, {}, ("a", "b"), Confidence.MEDIUM, id="same program, no times"),
        pytest.param(
            {"image": "svchost.exe"}, {"image": r"C:\eve\svchost.exe"}, None, Confidence.HIGH, id="called like one"
        ),
        pytest.param({"image": "lsass.exe"}, {}, None, Confidence.HIGH, id="another program has the pid"),
        pytest.param({}, {}, ("a", "b"), Confidence.MEDIUM, id="a table of service hosts"),
        pytest.param({}, {"image": "C:\\a.exe"}, None, Confidence.HIGH, id="of service hosts, another program"),
        pytest.param(
            {"image": "MsMpEng.exe"}, {"image": r"C:\Users\eve\msmpeng.exe"}, ("a", "b"), Confidence.LOW, id="by name"
        ),
        pytest.param({"created": T0 - 5}, {"created": T0 - 5}, ("a", "b"), Confidence.HIGH, id="the same process"),
        pytest.param({"created": T0 - 9 * SECOND}, {"created": T0}, None, Confidence.HIGH, id="another process"),
        pytest.param(
            {"image": SVCHOST, "taken": T0}, {"created": T0 - 5}, ("a", "b"), Confidence.HIGH, id="it ran at that time"
        ),
        pytest.param({"image": SVCHOST, "taken": T0 - 9}, {"created": T0}, None, Confidence.HIGH, id="table is older"),
        pytest.param({"image": SVCHOST, "host": "WS6"}, {}, None, Confidence.HIGH, id="of another host"),
    ],
)  # fmt: skip
def test_a_table_of_services_must_mean_the_very_process(
    table: dict[str, int | str], claim: dict[str, Any], expected: tuple[str, ...] | None, confidence: Confidence
) -> None:
    collector = collected(row(claim=Claim(pid=700, image=SVCHOST)._replace(**claim)))
    collector.hosts(HostedServices(**{"host": "", "pid": 700, "services": ("A", "B"), **table}))  # type: ignore[arg-type]
    owner = ask(settled(collector), f"{US}:50123", f"{PEER}:443")
    assert owner is not None
    assert owner.subject.services == expected
    assert owner.subject.confidence is confidence


def test_what_a_container_calls_so_meets_no_rule_of_the_host() -> None:
    claim = Claim(pid=700, image=SVCHOST, command_line="svchost.exe -s BITS", container="5f2c")
    owner = ask(settled(collected(row(claim=claim))), f"{US}:50123", f"{PEER}:443")
    assert owner is not None
    subject = owner.subject
    assert (subject.image, subject.container) == (SVCHOST, "5f2c")
    assert (subject.canonical_image, subject.services, subject.package_known) == (None, None, False)


# Hosts -----------------------------------------------------------------------------------------------------------


def two_hosts(device: Device | None = None) -> Collector:
    """Both ends of one connection were logged; the listener of the other host matches any local address."""
    return collected(
        row(host="WS5", claim=Claim(pid=1, image=r"C:\client.exe")),
        row(f"{OTHER}:50123", f"{PEER}:1", host="WS6.contoso.test", claim=Claim(pid=2, image=r"C:\server.exe")),
        row("0.0.0.0:445", None, host="WS6.contoso.test", claim=Claim(pid=2, image=r"C:\server.exe"), listening=True),
        device=device,
    )


def test_several_hosts_are_told_apart_by_their_addresses() -> None:
    source = settled(two_hosts())
    assert ask(source, f"{US}:50123", f"{PEER}:443") is not None
    assert ask(source, f"{US}:445", f"{OTHER}:9") is None
    assert ask(settled(two_hosts(), local=OTHER), f"{OTHER}:445", f"{US}:9") is not None


def test_the_devices_name_picks_the_host_with_or_without_its_domain() -> None:
    source = settled(two_hosts(NAMED), local="192.0.2.1")
    assert ask(source, f"{US}:50123", f"{PEER}:443") is not None
    assert source.local_addresses() == (parse_address(US),)


def test_local_addresses_of_several_hosts_are_nobodys() -> None:
    assert two_hosts().source(Processes([])).local_addresses() == ()


def test_a_log_of_other_hosts_only_says_so_and_answers_nothing() -> None:
    source = settled(two_hosts(), local="192.0.2.1")
    assert ask(source, f"{US}:50123", f"{PEER}:443") is None
    ((code, text),) = source.warnings
    assert code == "attribution_other_hosts"
    assert "WS5, WS6.contoso.test" in text


@pytest.mark.parametrize(("device", "answers"), [(Device(assumed=True), True), (Device(name="WS6"), False)])
def test_a_log_that_proves_no_address_is_not_that_of_a_device_called_otherwise(device: Device, answers: bool) -> None:
    """A server's log shows the workstation's connection, too: its process is the server's."""
    heard = row(f"{US}:50123", f"{OTHER}:445", local=Side.UNSURE, claim=Claim(pid=4, image=r"C:\server.exe"))
    source = settled(collected(heard, device=device))
    assert (ask(source, f"{US}:50123", f"{OTHER}:445") is not None) is answers


def test_a_log_of_other_hosts_only_has_no_records() -> None:
    source = settled(two_hosts(Device(name="WS9")), local="192.0.2.1")
    assert list(source.records()) == []


# Clocks ----------------------------------------------------------------------------------------------------------

HOURS = 18_000


def clocked(count: int, behind: int = HOURS) -> tuple[Collector, list[Opening]]:
    """`count` connections that the log has `behind` seconds early, give or take."""
    rows = [row(f"{US}:{50000 + n}", at=10 * n - behind) for n in range(count)]
    return collected(*rows), [opening(50000 + n, 10 * n + n % 3) for n in range(count)]


def test_a_clock_that_several_flows_agree_on_is_corrected_and_reported() -> None:
    collector, openings = clocked(5)
    source = settled(collector, openings)
    (found,) = source.offsets
    assert (found.source, found.host, found.hits, found.applied) == ("log", "WS5", 5, True)
    assert abs(found.offset - HOURS * SECOND) <= 2 * SECOND
    assert ask(source, f"{US}:50001", f"{PEER}:443", at=11) is not None
    assert [code for code, _ in source.warnings] == ["clock_offset"]


def test_one_flow_does_not_move_a_clock_beyond_the_slack() -> None:
    """A log that is ahead: what it shows has not happened yet."""
    collector, openings = clocked(1, -HOURS)
    source = settled(collector, openings)
    assert source.offsets[0].applied is False
    assert ask(source, f"{US}:50000", f"{PEER}:443") is None
    ((code, text),) = source.warnings
    assert code == "clock_offset_refused"
    assert "attribution.clock_hits=1" in text
    collector, openings = clocked(1, -HOURS)
    assert ask(settled(collector, openings, clock_hits=1), f"{US}:50000", f"{PEER}:443") is not None


def test_flows_that_disagree_move_no_clock() -> None:
    """A median among differences that lie far apart is one flow's word."""
    rows = [row(f"{US}:{50000 + n}", at=5000 * n) for n in range(4)]
    source = settled(collected(*rows), [opening(50000 + n, 0) for n in range(4)])
    assert source.offsets[0].applied is False
    assert source.offsets[0].hits == 1


def test_a_few_flows_that_meet_by_chance_move_no_clock() -> None:
    """The log of another day: two of six flows on fixed ports happen to lie equally far apart."""
    times = (0, 9_000, 20_000, 20_010, 41_000, 60_000)
    rows = [row(f"{US}:{123 + n}") for n in range(6)]
    source = settled(collected(*rows), [opening(123 + n, at) for n, at in enumerate(times)])
    assert (source.offsets[0].hits, source.offsets[0].applied) == (2, False)
    assert "only 2 of the 6 flows" in source.warnings[0][1]


def test_a_clock_beyond_the_limit_is_refused_with_the_setting_that_allows_it() -> None:
    collector, openings = clocked(5)
    source = settled(collector, openings, clock_limit=3600 * SECOND)
    assert source.offsets[0].applied is False
    assert "attribution.clock_limit=18001" in source.warnings[0][1]


def test_one_wrong_hit_does_not_move_the_median() -> None:
    collector, openings = clocked(5, behind=2)
    collector.saw(row(f"{US}:60000", at=-90_000))
    source = settled(collector, [*openings, opening(60000, 5)])
    assert abs(source.offsets[0].offset) <= 4 * SECOND
    assert source.warnings == []


def test_a_tuple_that_the_log_has_twice_tells_no_clock() -> None:
    collector = collected(row(at=0), row(at=500))
    assert settled(collector, [opening(50123, 900)]).offsets == []


def test_records_are_given_by_the_captures_clock() -> None:
    collector, openings = clocked(5)
    source = settled(collector, openings)
    starts = sorted(record.start for record in source.records())
    assert abs(starts[0] - T0) <= 2 * SECOND


# Moments -----------------------------------------------------------------------------------------------------------


def confidence_at(source: Recorded, at: float) -> tuple[int | None, Confidence] | None:
    owner = ask(source, f"{US}:50123", f"{PEER}:443", at=at)
    return None if owner is None else (owner.subject.pid, owner.subject.confidence)


def test_the_nearer_of_two_connections_counts_and_not_the_one_before_it() -> None:
    """Logs are written a little late: a first packet just before its row is not the connection before's."""
    one, other = Claim(pid=1, image=r"C:\a.exe"), Claim(pid=2, image=r"C:\b.exe")
    source = settled(collected(row(at=0, claim=one), row(at=100, claim=other)))
    assert confidence_at(source, 99) == (2, Confidence.HIGH)
    assert confidence_at(source, 30) == (1, Confidence.HIGH)


def test_a_connection_logged_long_ago_is_less_sure_than_one_logged_now() -> None:
    """Nothing says that it has not ended since."""
    source = settled(collected(row(at=0)))
    assert confidence_at(source, 59) == (980, Confidence.HIGH)
    assert confidence_at(source, 3600) == (980, Confidence.MEDIUM)
    assert confidence_at(source, -59) == (980, Confidence.HIGH)
    assert confidence_at(source, -61) is None


def test_a_clock_that_was_not_corrected_makes_nobody_sure() -> None:
    collector, openings = clocked(5)
    source = settled(collector, openings, clock_limit=0)
    owner = ask(source, f"{US}:50001", f"{PEER}:443", at=11)
    assert owner is not None
    assert owner.subject.confidence is Confidence.MEDIUM
