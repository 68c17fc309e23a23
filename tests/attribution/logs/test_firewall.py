"""pfirewall.log: columns by its own header, ends by the way of the packet, pids where there are any."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.attribution.evidence import NOBODY, Claim, Observation, Rank, Side
from agent.attribution.logs import firewall
from agent.model.address import parse_endpoint
from agent.model.errors import AttributionError
from agent.model.moment import SECOND, parse_time
from agent.model.vocabulary import Confidence
from tests.attribution.logs.samples import FIREWALL, FIREWALL_HEAD, loaded, one, warned

T0 = parse_time("2026-01-05T09:00:00Z")


def row(
    action: str = "ALLOW",
    protocol: str = "TCP",
    ends: str = "10.0.0.5 203.0.113.9 50123 443",
    flags: str = "-",
    path: str = "SEND",
    pid: str = "11188",
) -> str:
    return f"2026-01-05 09:00:00 {action} {protocol} {ends} 0 {flags} 0 0 0 - - - {path} {pid}\r\n"


def seen(tmp_path: Path, text: str) -> Observation:
    [observation] = one(firewall, tmp_path, f"{FIREWALL_HEAD} pid\r\n\r\n{text}").observations
    return observation


def test_the_sample(tmp_path: Path) -> None:
    collector = one(firewall, tmp_path, FIREWALL)
    assert (collector.name, collector.rank, collector.confidence) == ("firewall", Rank.PID, Confidence.MEDIUM)
    assert (collector.witness, collector.warnings) == (False, [])
    assert collector.observations == [
        Observation(
            host="",
            time=T0,
            protocol=6,
            first=parse_endpoint("10.0.0.5:50123"),
            second=parse_endpoint("203.0.113.9:443"),
            local=Side.FIRST,
            claim=Claim(pid=11188),
            initiated=True,
        ),
        Observation(
            host="",
            time=T0 + SECOND,
            protocol=17,
            first=parse_endpoint("10.0.0.7:5353"),
            second=parse_endpoint("224.0.0.251:5353"),
            local=Side.SECOND,
            claim=Claim(pid=1804),
            proves_address=False,
        ),
    ]


@pytest.mark.parametrize(
    ("action", "path", "flags", "side", "initiated"),
    [
        ("ALLOW", "SEND", "-", Side.FIRST, True),
        ("ALLOW", "RECEIVE", "-", Side.SECOND, False),
        ("DROP", "SEND", "-", Side.FIRST, True),
        ("DROP", "RECEIVE", "S", Side.SECOND, False),
        ("DROP", "RECEIVE", "0", Side.SECOND, False),
        ("DROP", "RECEIVE", "A", Side.SECOND, None),
        ("DROP", "SEND", "SA", Side.FIRST, None),
        ("DROP", "RECEIVE", "R", Side.SECOND, None),
        ("ALLOW", "-", "-", Side.UNSURE, None),
        ("ALLOW", "send", "-", Side.FIRST, True),
        ("OPEN", "-", "-", Side.FIRST, True),
        ("OPEN-INBOUND", "-", "-", Side.SECOND, False),
    ],
)
def test_the_path_says_which_end_is_the_hosts(
    tmp_path: Path, action: str, path: str, flags: str, side: Side, initiated: bool | None
) -> None:
    """And who opened it, if the row is about a connection or its first packet."""
    observation = seen(tmp_path, row(action, path=path, flags=flags))
    assert (observation.local, observation.initiated) == (side, initiated)
    assert observation.proves_address == (side is not Side.UNSURE)


@pytest.mark.parametrize(
    ("protocol", "ends", "number", "first"),
    [
        ("UDP", "fe80::3680:dff:fe01:9e88 ff02::fb 5353 5353", 17, "[fe80::3680:dff:fe01:9e88]:5353"),
        ("ICMP", "10.0.0.5 203.0.113.9 - -", 1, "10.0.0.5:0"),
        ("58", "2001:db8::5 2001:db8::9 - -", 58, "[2001:db8::5]:0"),
        ("2", "10.0.0.5 224.0.0.22 - -", 2, "10.0.0.5:0"),
        ("TCP", "127.0.0.1 127.0.0.1 5000 6000", 6, "127.0.0.1:5000"),
    ],
)
def test_protocols_and_addresses(tmp_path: Path, protocol: str, ends: str, number: int, first: str) -> None:
    observation = seen(tmp_path, row(protocol=protocol, ends=ends))
    assert (observation.protocol, str(observation.first)) == (number, first)
    assert observation.initiated is (True if number == 6 else None)


@pytest.mark.parametrize("pid", ["-", "0", ""])
def test_rows_without_a_pid_witness_who_opened_a_connection(tmp_path: Path, pid: str) -> None:
    [known, witness] = loaded(firewall, tmp_path, f"{FIREWALL_HEAD} pid\r\n{row()}{row(pid=pid)}")
    assert (len(known.observations), known.witness) == (1, False)
    [observation] = witness.observations
    assert (witness.name, witness.witness, observation.claim, observation.initiated) == ("firewall", True, NOBODY, True)


def test_a_log_without_the_column_is_a_witness_only(tmp_path: Path) -> None:
    rows = row(pid="") + row(protocol="UDP", pid="") + row("DROP", flags="A", path="RECEIVE", pid="")
    witness = one(firewall, tmp_path, f"{FIREWALL_HEAD}\r\n\r\n{rows}")
    assert (witness.witness, len(witness.observations)) == (True, 1)
    assert warned(witness)["rows_skipped"].endswith("2 without a pid, and no TCP connection's first")


def test_lost_events_are_said(tmp_path: Path) -> None:
    """What the log does not hold then proves nothing."""
    lost = "2026-01-05 09:00:00 INFO-EVENTS-LOST - - - - - - - - - - - - 12 - -\r\n"
    collector = one(firewall, tmp_path, FIREWALL + lost + lost.replace("12", "-"))
    assert "the firewall lost 13 events" in warned(collector)["events_lost"]
    assert len(collector.observations) == 2


def test_headers_recur_and_columns_move(tmp_path: Path) -> None:
    """The firewall writes a header whenever it starts; its newest columns come last, unknown ones too."""
    moved = "#Fields: time date path action protocol dst-ip src-ip dst-port src-port pid future\r\n"
    text = FIREWALL + moved + "09:00:02 2026-01-05 SEND ALLOW TCP 203.0.113.9 10.0.0.5 443 50124 7 x y z\r\n" + FIREWALL
    collector = one(firewall, tmp_path, text)
    assert [observation.claim.pid for observation in collector.observations] == [11188, 1804, 7, 11188, 1804]
    assert str(collector.observations[2].first) == "10.0.0.5:50124"


def test_forwarded_packets_and_ends_are_not_used(tmp_path: Path) -> None:
    rows = row() + row(path="FORWARD") + row("CLOSE") + row(protocol="-")
    text = warned(one(firewall, tmp_path, f"{FIREWALL_HEAD} pid\r\n{rows}"))["rows_skipped"]
    for reason in ("1 of forwarded packets", "1 of connections that end", "1 without a protocol"):
        assert reason in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (row(), "comes before a #Fields line"),
        (FIREWALL_HEAD.replace("dst-port", "dport") + "\r\n" + row(), "comes before a #Fields line that names"),
        (f"{FIREWALL_HEAD}\r\n2026-01-05 09:00:00 ALLOW TCP 10.0.0.5\r\n", "has 5 columns, the header 17"),
        (f"{FIREWALL_HEAD}\r\n{row('PASS')}", "'PASS' is no action of the firewall"),
        (f"{FIREWALL_HEAD}\r\n{row(protocol='TPC')}", "'TPC' is no protocol"),
        (f"{FIREWALL_HEAD}\r\n{row(ends='10.0.0.5 host 1 2')}", "'host' is not an IPv4 or IPv6 address"),
        (f"{FIREWALL_HEAD}\r\n{row(ends='10.0.0.5 10.0.0.6 1 70000')}", "'70000' is no port"),
        (f"{FIREWALL_HEAD} pid\r\n{row(pid='x')}", "'x' is no pid"),
        (f"{FIREWALL_HEAD}\r\n{row()}".replace("09:00:00", "09:60:00"), "'2026-01-05T09:60:00' is not an RFC 3339"),
        (f"{FIREWALL_HEAD}\r\nhello\r\n", "has 1 columns, the header 17"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(AttributionError) as caught:
        one(firewall, tmp_path, text)
    assert expected in str(caught.value)


def test_rows_that_were_cut_keep_what_they_say(tmp_path: Path) -> None:
    """Real logs hold rows without their last columns."""
    text = "2026-01-05 09:00:00 DROP UDP 5.5.3.197 224.0.0.251 5353 5353 59 - - - - - - \r\n"
    collector = one(firewall, tmp_path, FIREWALL + text + "2026-01-05 09:00:0")
    assert len(collector.observations) == 2
    assert set(warned(collector)) == {"rows_skipped", "attribution_truncated"}
