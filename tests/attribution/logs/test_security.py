"""What events of the Security log mean: whose end is whose, and which process owns it."""

from __future__ import annotations

import pytest

from agent.attribution.collector import Collector
from agent.attribution.evidence import Claim, Context, Observation, Side
from agent.attribution.logs.event import SECURITY, Clock, Event, Pool
from agent.attribution.logs.security import SecurityReader

PROVIDER = "Microsoft-Windows-Security-Auditing"
LOGGED = "2026-01-05T09:00:00.1Z"
DNS = "\\device\\harddiskvolume2\\windows\\system32\\dns.exe"
OWN = "172.18.39.6"


class Log:
    """A reader and what it collected."""

    def __init__(self) -> None:
        self.collector = Collector(SECURITY, "events.jsonl", context=Context())
        self.reader = SecurityReader(self.collector, Pool(), Clock())

    def read(self, number: int, *, host: str = "WS6", **fields: object) -> Log:
        self.reader.read(Event(SECURITY, number, PROVIDER, host, LOGGED, fields))
        return self

    def connection(
        self, direction: str | None, protocol: str, source: str, destination: str, *, number: int = 5156,
        host: str = "WS6", **fields: object,
    ) -> Log:  # fmt: skip
        """`source`, `destination`: ADDRESS PORT."""
        (address, port), (remote, remote_port) = source.split(), destination.split()
        ends = {"SourceAddress": address, "SourcePort": port, "DestAddress": remote, "DestPort": remote_port}
        process: dict[str, object] = {"ProcessID": "732", "Application": DNS}
        return self.read(number, host=host, Direction=direction, Protocol=protocol, **ends, **{**process, **fields})

    def finish(self) -> list[Observation]:
        self.reader.finish()
        return self.collector.observations


@pytest.mark.parametrize("number", [5156, 5157])
def test_the_source_of_an_outbound_event_is_the_host(number: int) -> None:
    """A blocked connection tells the owner as well as an allowed one."""
    [seen] = Log().connection("%%14593", "6", f"{OWN} 50123", "203.0.113.9 443", number=number).finish()
    assert (str(seen.first), str(seen.second)) == (f"{OWN}:50123", "203.0.113.9:443")
    assert (seen.local, seen.initiated, seen.proves_address) == (Side.FIRST, True, True)
    assert seen.claim == Claim(pid=732, image=DNS)


def test_inbound_tcp_is_told_by_addresses_and_not_by_field_names() -> None:
    """Measured: the source sent the SYN; documented: the source is the local end."""
    [seen] = Log().connection("%%14592", "6", "172.18.39.5 55029", f"{OWN} 50115").finish()
    assert (seen.local, seen.initiated) == (Side.UNSURE, False)


@pytest.mark.parametrize(
    ("direction", "initiated"), [("Inbound", False), ("Outbound", True), (None, None), ("-", None)]
)
def test_a_rendered_or_missing_direction_is_read(direction: str | None, initiated: bool | None) -> None:
    [seen] = Log().connection(direction, "6", "172.18.39.5 55029", f"{OWN} 50115").finish()
    assert seen.initiated is initiated


@pytest.mark.parametrize("direction", ["%%14592", "%%14593"])
def test_udp_proves_no_initiator(direction: str) -> None:
    [seen] = Log().connection(direction, "17", f"{OWN} 50123", "172.18.38.5 53").finish()
    assert (seen.protocol, seen.initiated) == (17, None)


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb", "255.255.255.255"])
def test_inbound_to_a_group_address_belongs_to_the_hearing_process(group: str) -> None:
    [seen] = Log().connection("%%14592", "17", "192.168.1.41 5353", f"{group} 5353").finish()
    assert (seen.local, seen.proves_address) == (Side.SECOND, False)


def test_the_hosts_own_broadcast_belongs_to_the_hearing_process() -> None:
    """Whatever the mask is, and wherever in the log the host's address shows."""
    log = Log().connection("%%14592", "17", f"{OWN} 137", "172.18.255.255 137")
    heard, _ = log.connection("%%14593", "6", f"{OWN} 50123", "203.0.113.9 443").finish()
    assert (heard.local, heard.proves_address) == (Side.SECOND, False)


def test_inbound_udp_from_elsewhere_is_told_by_addresses() -> None:
    log = Log().connection("%%14593", "17", f"{OWN} 50123", "172.18.38.5 53")
    log.connection("%%14592", "17", "172.18.38.5 137", f"{OWN} 137")
    log.connection("%%14592", "17", f"{OWN} 137", f"{OWN} 138")
    log.connection("%%14592", "17", f"{OWN} 137", "172.18.38.5 137", host="DC")
    assert [seen.local for seen in log.finish()] == [Side.FIRST, Side.UNSURE, Side.UNSURE, Side.UNSURE]


@pytest.mark.parametrize(
    ("number", "address", "endpoint", "listening", "proves"),
    [
        (5158, "0.0.0.0", "0.0.0.0:63838", False, False),
        (5158, "::", "[::]:63838", False, False),
        (5158, OWN, f"{OWN}:63838", False, True),
        (5154, "::", "[::]:63838", True, False),
    ],
)
def test_binds_and_listens_have_no_remote_end(
    number: int, address: str, endpoint: str, listening: bool, proves: bool
) -> None:
    log = Log().read(
        number, ProcessId="4164", Application=DNS, SourceAddress=address, SourcePort="63838", Protocol="6",
        LayerName="%%14608" if number == 5158 else "%%14609",
    )  # fmt: skip
    [seen] = log.finish()
    assert (str(seen.first), seen.second, seen.local) == (endpoint, None, Side.FIRST)
    assert (seen.listening, seen.proves_address, seen.claim.pid) == (listening, proves, 4164)


def test_the_ports_of_icmp_are_none() -> None:
    """Its type and code stand in their place."""
    [seen] = Log().connection("%%14592", "1", "172.18.39.5 0", f"{OWN} 8", ProcessID="4", Application="System").finish()
    assert seen.second is not None
    assert (seen.protocol, seen.first.port, seen.second.port) == (1, 0, 0)
    assert seen.claim == Claim(pid=4, image="System")


@pytest.mark.parametrize(
    ("fields", "claim"),
    [
        pytest.param({"ProcessID": "0x2dc"}, Claim(pid=732, image=DNS), id="hexadecimal"),
        pytest.param({"ProcessID": 732}, Claim(pid=732, image=DNS), id="number"),
        pytest.param({"ProcessID": "0"}, Claim(image=DNS), id="image-only"),
        pytest.param({"Application": "-"}, Claim(pid=732), id="pid-only"),
    ],
)
def test_the_process_is_claimed_as_far_as_it_is_known(fields: dict[str, object], claim: Claim) -> None:
    [seen] = Log().connection("%%14593", "6", f"{OWN} 1", "203.0.113.9 2", **fields).finish()
    assert seen.claim == claim


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"ProcessID": "0", "Application": "-"}, id="nobody"),
        pytest.param({"LayerName": "%%14597"}, id="packet-layer"),
        pytest.param({"LayerName": "%%14601"}, id="icmp-error-layer"),
        pytest.param({"SourcePort": "0"}, id="no-port"),
        pytest.param({"DestAddress": "0.0.0.0"}, id="no-address"),
    ],
)
def test_what_names_no_process_or_no_socket_is_counted_and_said(fields: dict[str, object]) -> None:
    row = {"SourceAddress": OWN, "SourcePort": "1", "DestAddress": "203.0.113.9", "DestPort": "2"}
    log = Log().read(5156, **{**row, "Protocol": "17", "ProcessID": "732", "Application": DNS, **fields})
    assert log.finish() == []
    [(code, text)] = log.collector.warnings
    assert code == "log_rows_unusable"
    assert text.startswith("events.jsonl: 1 connections of the Security log name no process")


@pytest.mark.parametrize("layer", ["%%14608", "%%14609", "%%14610", "%%14611", "Receive/Accept", None])
def test_the_layers_of_sockets_know_the_owner(layer: str | None) -> None:
    [seen] = Log().connection("%%14592", "6", f"{OWN} 1", "203.0.113.9 2", LayerName=layer).finish()
    assert seen.claim.pid == 732


@pytest.mark.parametrize(
    ("target", "user"),
    [
        ({"TargetUserName": "-", "TargetDomainName": "-"}, "CONTOSO\\WS6$"),
        ({"TargetUserName": "ann", "TargetDomainName": "CONTOSO"}, "CONTOSO\\ann"),
        ({"TargetUserName": "ann", "TargetDomainName": "-"}, "ann"),
        ({}, "CONTOSO\\WS6$"),
    ],
)
def test_a_process_runs_as_the_target_where_there_is_one(target: dict[str, str], user: str) -> None:
    subject = {"SubjectUserName": "WS6$", "SubjectDomainName": "CONTOSO"}
    log = Log().read(4688, NewProcessId="0x4b0", NewProcessName="C:\\a.exe", ProcessId="0x2b0", **subject, **target)
    [start] = log.collector.starts
    assert start.claim == Claim(pid=0x4B0, image="C:\\a.exe", user=user)
