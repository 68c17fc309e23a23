"""What Sysmon's events mean: the sides of TCP and UDP, and what several versions of it write wrongly."""

from __future__ import annotations

import pytest

from agent.attribution.collector import Collector
from agent.attribution.evidence import NOBODY, Context, Observation, Side
from agent.attribution.logs.event import SYSMON, Clock, Event, Pool
from agent.attribution.logs.sysmon import Answer, SysmonReader
from agent.model.address import parse_address, parse_endpoint
from agent.model.moment import parse_time

WINDOWS, LINUX = "Microsoft-Windows-Sysmon", "Linux-Sysmon"
NO_GUID = "00000000-0000-0000-0000-000000000000"
UTC_TIME = "2026-01-05 09:00:00.000"


class Log:
    """A reader and what it collected."""

    def __init__(self) -> None:
        self.collector = Collector(SYSMON, "events.jsonl", context=Context())
        self.reader = SysmonReader(self.collector, Pool(), Clock())

    def read(self, number: int, *, provider: str = WINDOWS, **fields: object) -> Log:
        self.reader.read(Event(SYSMON, number, provider, "WS5", None, {"UtcTime": UTC_TIME, **fields}))
        return self

    @property
    def seen(self) -> Observation:
        [observation] = self.collector.observations
        return observation


def connection(
    protocol: str, source: str, destination: str, initiated: object = "true", *, provider: str = WINDOWS
) -> Log:
    """`source`, `destination`: ADDRESS PORT."""
    (source_ip, source_port), (ip, port) = source.split(), destination.split()
    return Log().read(
        3,
        provider=provider,
        ProcessId="980",
        Protocol=protocol,
        Initiated=initiated,
        SourceIp=source_ip,
        SourcePort=source_port,
        DestinationIp=ip,
        DestinationPort=port,
    )


@pytest.mark.parametrize(
    ("initiated", "side", "meant"),
    [
        ("true", Side.FIRST, True),
        ("True", Side.FIRST, True),
        (True, Side.FIRST, True),
        ("false", Side.SECOND, False),
        (False, Side.SECOND, False),
        (None, Side.UNSURE, None),
        ("-", Side.UNSURE, None),
    ],
)
def test_the_source_of_tcp_opened_the_connection(initiated: object, side: Side, meant: bool | None) -> None:
    seen = connection("tcp", "10.0.0.5 50123", "203.0.113.9 443", initiated).seen
    assert (str(seen.first), str(seen.second)) == ("10.0.0.5:50123", "203.0.113.9:443")
    assert (seen.local, seen.initiated, seen.proves_address) == (side, meant, True)


@pytest.mark.parametrize("initiated", ["true", "false"])
def test_udp_tells_neither_side_nor_initiator(initiated: str) -> None:
    """One DNS exchange is logged as both."""
    seen = connection("udp", "10.0.2.15 62141", "10.0.2.3 53", initiated).seen
    assert (seen.protocol, seen.local, seen.initiated) == (17, Side.UNSURE, None)


@pytest.mark.parametrize(
    ("group", "other"),
    [
        ("224.0.0.251", "192.168.1.41"),
        ("239.255.255.250", "192.168.1.41"),
        ("255.255.255.255", "192.168.1.41"),
        ("10.0.2.255", "10.0.2.15"),
        ("ff02:0:0:0:0:0:0:fb", "fe80:0:0:0:0:0:0:5"),
    ],
)
def test_udp_heard_on_a_group_address_is_not_the_senders(group: str, other: str) -> None:
    """Logged at the hearing process as group to sender: the sender may be the host itself, by another program."""
    seen = connection("udp", f"{group} 137", f"{other} 137", "false").seen
    assert (seen.local, seen.proves_address) == (Side.FIRST, False)


def test_udp_to_a_group_address_leaves_the_sides_to_the_addresses() -> None:
    seen = connection("udp", "10.0.2.15 137", "10.0.2.255 137").seen
    assert (seen.local, seen.proves_address) == (Side.UNSURE, True)


def test_an_address_that_ends_in_255_is_a_host_elsewhere() -> None:
    assert connection("udp", "10.0.3.255 53", "10.0.2.15 137", "false").seen.local is Side.UNSURE


def test_ipv4_that_sysmon_9_printed_as_ipv6_is_read_as_ipv4() -> None:
    """The published event of 10.0.2.15 asking 10.0.2.3."""
    log = connection("udp", "a00:20f:0:0:18a2:6e00:e0:ffff 62141", "a00:203:3000:3000:3000:3000:3000:3300 53")
    assert (str(log.seen.first), str(log.seen.second)) == ("10.0.2.15:62141", "10.0.2.3:53")
    log.reader.finish()
    [(code, text)] = log.collector.warnings
    assert code == "log_rows_repaired"
    assert text.startswith("events.jsonl: 1 of Sysmon's connections had IPv4 addresses written as IPv6")


@pytest.mark.parametrize("head", ["ac10:1:2:3:4:5:6:7", "ac1f:ffff::", "c0a8:105::9", "a9fe:a9fe::1"])
def test_one_private_end_is_enough_to_tell(head: str) -> None:
    log = connection("tcp", f"{head} 50000", "808:808:ffff:: 443")
    assert str(log.seen.second) == "8.8.8.8:443"
    assert log.reader.repaired == 1


@pytest.mark.parametrize("address", ["2001:db8::5", "fe80::a00:203", "fd00::1", "::1", "64:ff9b::a00:203", "ac20::1"])
def test_true_ipv6_is_left_alone(address: str) -> None:
    log = connection("tcp", f"{address} 50000", "2001:db8::9 443")
    assert log.seen.first == parse_endpoint(f"[{address}]:50000")
    assert log.reader.repaired == 0


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        pytest.param("0:0:0:0:0:0:0:0 0", "0:0:0:0:0:0:0:0 0", id="null"),
        pytest.param("0.0.0.0 68", "255.255.255.255 67", id="unset-address"),
        pytest.param("10.0.0.5 0", "203.0.113.9 123", id="null-port"),
        pytest.param("10.0.0.5 50123", "0.0.0.0 443", id="no-destination"),
    ],
)
def test_rows_without_endpoints_are_counted_and_said(source: str, destination: str) -> None:
    log = connection("udp", source, destination, provider=LINUX)
    assert log.collector.observations == []
    log.reader.finish()
    expected = "events.jsonl: 1 of Sysmon's connections name no endpoints and are not used"
    assert log.collector.warnings == [("log_rows_unusable", expected)]


def test_udp_of_linux_without_its_destination_still_shows_the_socket() -> None:
    """Sysmon for Linux writes 127.0.0.1 there (its issue 126)."""
    seen = connection("udp", "172.16.101.22 50123", "127.0.0.1 53", provider=LINUX).seen
    assert (str(seen.first), seen.second, seen.local) == ("172.16.101.22:50123", None, Side.FIRST)


@pytest.mark.parametrize(
    ("protocol", "source", "provider"),
    [("udp", "127.0.0.1 50123", LINUX), ("tcp", "172.16.101.22 50123", LINUX), ("udp", "172.16.101.22 50123", WINDOWS)],
)
def test_elsewhere_the_loopback_address_is_meant(protocol: str, source: str, provider: str) -> None:
    seen = connection(protocol, source, "127.0.0.1 53", provider=provider).seen
    assert str(seen.second) == "127.0.0.1:53"


@pytest.mark.parametrize(
    ("fields", "pid", "guid", "image", "user"),
    [
        pytest.param(
            {"ProcessGuid": "{81056205-565c-64dc-2304-000000000800}", "Image": "C:\\a.exe", "User": "A\\b"},
            None,
            "81056205-565C-64DC-2304-000000000800",
            "C:\\a.exe",
            "A\\b",
            id="pid-lost",
        ),
        pytest.param(
            {"ProcessGuid": "81056205-565C-64DC-2304-000000000800", "ProcessId": 7},
            7,
            "81056205-565C-64DC-2304-000000000800",
            None,
            None,
            id="without-braces",
        ),
        pytest.param(
            {
                "ProcessGuid": "{00000000-0000-0000-0000-000000000000}",
                "ProcessId": "5328",
                "Image": "<unknown process>",
            },
            5328,
            None,
            None,
            None,
            id="unknown-process",
        ),
        pytest.param({"ProcessId": "0", "Image": "&lt;unknown process&gt;"}, None, None, None, None, id="escaped"),
        pytest.param({"ProcessId": "4", "Image": "System"}, 4, None, "System", None, id="kernel"),
        pytest.param(
            {"ProcessId": "-", "Image": "-", "User": "-", "ProcessGuid": ""}, None, None, None, None, id="dashes"
        ),
    ],
)
def test_a_process_is_claimed_as_far_as_it_is_known(
    fields: dict[str, object], pid: int | None, guid: str | None, image: str | None, user: str | None
) -> None:
    ends = {"SourceIp": "10.0.0.5", "SourcePort": 1, "DestinationIp": "10.0.0.6", "DestinationPort": 2}
    claim = Log().read(3, Protocol="tcp", Initiated=True, **ends, **fields).seen.claim
    assert claim == NOBODY._replace(pid=pid, guid=guid, image=image, user=user)


def test_the_time_is_sysmons_own_whatever_the_log_says() -> None:
    log = Log()
    event = Event(SYSMON, 1, WINDOWS, "WS5", "2026-01-05T10:00:00Z", {"ProcessId": "7", "UtcTime": UTC_TIME})
    log.reader.read(event)
    log.reader.read(event._replace(fields={"ProcessId": "7"}))
    times = [parse_time("2026-01-05T09:00:00Z"), parse_time("2026-01-05T10:00:00Z")]
    assert [start.created for start in log.collector.starts] == times


def test_a_start_without_pid_is_known_by_its_guid() -> None:
    log = Log().read(1, ProcessGuid="{AA}", CommandLine="svchost.exe -k netsvcs -s Schedule").read(1, Image="C:\\a.exe")
    [start] = log.collector.starts
    assert (start.claim.pid, start.claim.guid) == (None, "AA")
    assert start.claim.command_line == "svchost.exe -k netsvcs -s Schedule"


def test_an_answered_name_is_kept_with_its_addresses() -> None:
    results = "type:  5 go.edgekey.test;::ffff:192.0.2.67;fe80::3816:b2ee:1b9b:324b;"
    log = Log().read(22, QueryName="go.contoso.test", QueryResults=results, QueryStatus="0")
    addresses = (parse_address("192.0.2.67"), parse_address("fe80::3816:b2ee:1b9b:324b"))
    assert log.reader.answers == [Answer("WS5", parse_time("2026-01-05T09:00:00Z"), "go.contoso.test", addresses)]
    assert log.read(22, QueryName="x", QueryResults="-").reader.answers[1].addresses == ()
    with pytest.raises(ValueError, match="DNS query without QueryName"):
        log.read(22, QueryResults="-")
