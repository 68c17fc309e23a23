"""The comparison itself: a flow, a packet or a byte that differs is found, and nothing else."""

from __future__ import annotations

import copy
import gzip
import lzma
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.traffic.scenario import builtin_names
from tests.captures import agreement
from tests.captures.agreement import Finding, Result, compare, is_capture
from tests.captures.replayed import Mark, Replay
from tests.captures.tshark import Dissection, Row
from tests.captures.tuples import folded
from tests.support.captures import pcap, pcap_bytes
from tests.support.frames import UDP, ethernet, icmp_frame, ip, ipv4, tcp, tcp_frame, udp, udp_frame

LONG = [name for name, _ in builtin_names()]
US, THEM = "10.0.0.5:50000", "203.0.113.9:443"
ARP = ethernet(bytes(28), 0x0806)
FRAMES = [
    tcp_frame(US, THEM),
    tcp_frame(THEM, US),
    ARP,
    udp_frame("[2001:db8::5]:5353", "[ff02::fb]:5353"),
    icmp_frame("10.0.0.5", "203.0.113.9", b"\x08\0\0\0\0\1\0\1"),
    tcp_frame(US, THEM, b"data"),
]


def write_capture(folder: Path) -> Path:
    return pcap(folder / "day.pcap", [(float(number), frame) for number, frame in enumerate(FRAMES)])


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_capture(tmp_path)


def differences(result: Result) -> list[tuple[str, int, int]]:
    """Name, packets and first frame of each."""
    return [(finding.name, finding.packets, finding.frame) for finding in result.differences]


def causes(result: Result) -> dict[str, int]:
    return {finding.name: finding.packets for finding in result.causes}


def test_both_sides_agree_on_a_plain_capture(tshark: str, capture: Path) -> None:
    """Packets, bytes and tuples; a frame without IP is in no tuple of either."""
    result = compare(capture, tshark)
    assert (result.differences, result.causes, result.complaints) == ([], [], [])
    assert result.packets == (6, 6)
    assert result.bytes == (sum(map(len, FRAMES)),) * 2
    assert (result.tuples, result.same_tuples) == ((3, 3), 3)


# Neither side is believed more than the other: whichever says something else, it is a difference ------------------


@dataclass
class Sides:
    """What both sides said of `capture`, to be changed by a test and compared again without running either."""

    rows: list[Row]
    packets: list[tuple[bytes, int, Mark]]
    all_records: list[dict[str, Any]]
    summary: dict[str, Any]
    complaint: str = ""
    refused: str = ""
    cut_short: bool = False
    unable: bool = False
    errors: list[str] = field(default_factory=list)

    def records(self) -> list[dict[str, Any]]:
        return self.all_records

    def run(self, monkeypatch: pytest.MonkeyPatch) -> Result:
        monkeypatch.setattr(agreement, "Dissection", lambda *_, **__: Side(self, self.rows))
        monkeypatch.setattr(agreement, "Replay", lambda *_: Side(self, self.packets))
        return compare(Path(__file__), "no tshark")


class Side:
    """One of them, as the comparison sees it."""

    broken_at = None

    def __init__(self, sides: Sides, items: list[Any]) -> None:
        self.sides = sides
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sides, name)


@pytest.fixture(scope="module")
def recorded(tshark: str, tmp_path_factory: pytest.TempPathFactory) -> Sides:
    path = write_capture(tmp_path_factory.mktemp("sides"))
    with Replay(path) as replay:
        packets = list(replay)
        return Sides(list(Dissection(tshark, path)), packets, list(replay.records()), replay.summary)


@pytest.fixture
def sides(recorded: Sides) -> Sides:
    return copy.deepcopy(recorded)


def test_what_was_recorded_of_both_sides_is_equal(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what the tests below find is what they changed."""
    result = sides.run(monkeypatch)
    assert (result.differences, result.causes, result.same_tuples) == ([], [], 3)


def test_a_record_of_another_port_is_a_difference(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the three packets of the connection; the first is the witness."""
    for record in sides.all_records:
        if record["protocol"] == "tcp":
            record["remote"]["port"] = 444
    result = sides.run(monkeypatch)
    assert differences(result) == [("flow", 3, 1)]
    assert result.differences[0].witness == (
        "tcp 10.0.0.5:50000 - 203.0.113.9:444 here, tcp 10.0.0.5:50000 - 203.0.113.9:443 there"
    )
    assert (result.tuples, result.same_tuples) == ((3, 3), 2)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param(lambda records: records.pop(), {"records"}, id="lost"),
        pytest.param(lambda records: records[0].update(packets={"original": 9, "reply": 0}), {"records"}, id="packets"),
        pytest.param(lambda records: records[0].update(bytes={"original": 9, "reply": 0}), {"bytes"}, id="bytes"),
        pytest.param(lambda records: records[0].update(protocol="50"), {"flow"}, id="protocol"),
        pytest.param(lambda records: records.append({**records[0], "flow_id": 99}), {"records"}, id="invented"),
    ],
)
def test_a_record_that_says_something_else_is_a_difference(
    sides: Sides,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[dict[str, Any]]], object],
    names: set[str],
) -> None:
    change(sides.all_records)
    result = sides.run(monkeypatch)
    assert {name for name, _, _ in differences(result)} == names
    assert result.same_tuples < 3


@pytest.mark.parametrize(
    ("number", "change", "expected"),
    [
        pytest.param(4, {"flow": None}, {("flow", 1, 4)}, id="no-flow-there"),
        pytest.param(3, {"original": 99}, {("length", 1, 3), ("total", 0, 0)}, id="length-on-the-wire"),
        pytest.param(3, {"captured": 20}, {("length", 1, 3)}, id="captured-length"),
        pytest.param(3, {"flow": folded(6, ("10.0.0.5", 1), ("10.0.0.6", 2))}, {("flow", 1, 3)}, id="flow-there"),
        pytest.param(1, {"flow": folded(6, ("10.0.0.5", 1), ("10.0.0.6", 2))}, {("flow", 1, 1)}, id="another-flow"),
    ],
)
def test_a_packet_that_tshark_sees_otherwise_is_a_difference(
    sides: Sides,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    change: dict[str, Any],
    expected: set[tuple[str, int, int]],
) -> None:
    """Packet 3 is a link frame of ours, which is no cause for anything."""
    sides.rows[number - 1] = sides.rows[number - 1]._replace(**change)
    result = sides.run(monkeypatch)
    assert set(differences(result)) == expected
    assert result.causes == []


def test_a_packet_that_one_side_lacks_is_a_difference(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of ours, then the last of tshark's: without a cause, whoever it is that has fewer."""
    rows = sides.rows.pop()
    assert differences(sides.run(monkeypatch)) == [("packet", 1, 0)]
    sides.rows.append(rows)
    sides.packets.pop()
    found = differences(sides.run(monkeypatch))
    assert ("packet", 1, 6) in found
    assert {name for name, _, _ in found} == {"packet", "records"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({"complaint": "is damaged", "errors": ["at byte 9: bad"]}, {"damaged_file": 2}, id="both"),
        pytest.param({"complaint": "is damaged"}, {}, id="tshark-alone"),
        pytest.param({"errors": ["at byte 9: bad"]}, {}, id="we-alone"),
        pytest.param({"complaint": "cut", "errors": ["at byte 9: bad"], "cut_short": True}, {}, id="only-cut-short"),
        pytest.param({"complaint": "unknown link type", "unable": True}, {"unread_by_tshark": 2}, id="unable"),
    ],
)
def test_packets_behind_damage_are_proven_by_the_complaints(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], expected: dict[str, int]
) -> None:
    """Both sides must say so, or tshark that it is unable; else the packets that it lacks are a difference."""
    del sides.rows[4:]
    for name, value in facts.items():
        setattr(sides, name, value)
    result = sides.run(monkeypatch)
    assert causes(result) == expected
    assert differences(result) == ([] if expected else [("packet", 2, 0)])


def test_a_frame_without_check_sequence_has_no_excuse_for_another_length(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = [row._replace(original=row.original + 4, captured=row.captured + 4) for row in sides.rows]
    sides.rows = longer
    result = sides.run(monkeypatch)
    assert ("length", 6, 1) in differences(result)
    assert result.causes == []
    sides.rows = [row._replace(check_bytes=4) for row in longer]
    result = sides.run(monkeypatch)
    assert (differences(result), causes(result)) == ([], {"declared_fcs": 6})


def test_a_check_sequence_that_both_count_is_nothing(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Radiotap declares one in each packet's header: to the file it is a part of the frame."""
    sides.rows = [row._replace(check_bytes=4) for row in sides.rows]
    result = sides.run(monkeypatch)
    assert (result.differences, result.causes, result.same_tuples) == ([], [], 3)


def test_progress_counts_every_packet(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "STEP", 2)
    steps: list[tuple[int, int]] = []
    sides.run(monkeypatch)
    compare(Path(__file__), "no tshark", lambda packets, octets: steps.append((packets, octets)))
    assert sum(packets for packets, _ in steps) == len(FRAMES)
    assert sum(octets for _, octets in steps) == sum(map(len, FRAMES))
    assert len(steps) > 2


# Causes, on real packets ------------------------------------------------------------------------------------------


def odd_frames() -> list[bytes]:
    """Packets that tshark puts into flows and we do not, each for a cause; and one that both do."""
    whole = tcp(50000, 443)
    return [
        ethernet(ipv4("10.0.0.5", "203.0.113.9", whole[:12])),
        ethernet(ipv4("10.0.0.5", "203.0.113.9", tcp(50001, 443, header=40))),
        ethernet(ipv4("10.0.0.5", "203.0.113.9", b"x" * 8, offset=1480)),
        ethernet(ip("2001:db8::5", "2001:db8::9", udp(1, 2), UDP), 0x0800),
        ethernet(ip("10.0.0.5", "203.0.113.9", whole), tags=(0x8100,) * 9),
        tcp_frame(US, THEM),
    ]


def test_causes_are_counted_apart_from_differences(tshark: str, tmp_path: Path) -> None:
    path = pcap(tmp_path / "odd.pcap", [(float(number), frame) for number, frame in enumerate(odd_frames())])
    result = compare(path, tshark)
    assert result.differences == []
    assert causes(result) == {
        "short_packet": 1,
        "impossible_length": 1,
        "orphan_fragment": 1,
        "version_mismatch": 1,
        "long_chain": 1,
    }
    assert (result.tuples, result.same_tuples) == ((1, 4), 1)


def record(frame: bytes, original: int) -> bytes:
    return struct.pack("<IIII", 1_767_603_600, 0, len(frame), original) + frame


@pytest.mark.slow
def test_lengths_that_the_file_says_otherwise_are_proven(tshark: str, tmp_path: Path) -> None:
    """A declared frame check sequence, and records that claim less than they hold."""
    head = pcap_bytes([])
    declared = bytearray(head)
    declared[20:24] = struct.pack("<I", 1 | 0x24000000)
    frame = tcp_frame(US, THEM)
    (tmp_path / "fcs.pcap").write_bytes(declared + record(frame + bytes(4), len(frame) + 4))
    (tmp_path / "short.pcap").write_bytes(head + record(frame, len(frame) - 4))
    (tmp_path / "plain.pcap").write_bytes(head + record(frame + bytes(4), len(frame) + 4))
    results = [compare(tmp_path / name, tshark) for name in ("fcs.pcap", "short.pcap", "plain.pcap")]
    assert [causes(result) for result in results] == [{"declared_fcs": 1}, {"longer_than_wire": 1}, {}]
    assert [result.differences for result in results] == [[], [], []]
    assert [result.same_tuples for result in results] == [1, 1, 1]


# Files ------------------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_compared_up_to_the_damage(tshark: str, tmp_path: Path) -> None:
    """tshark guesses behind it; it says itself that the file is damaged, and what lies before is equal."""
    data = pcap_bytes([(0.0, FRAMES[0]), (1.0, FRAMES[1])])
    lie = struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30) + bytes(200)
    path = tmp_path / "lie.pcap"
    path.write_bytes(data + lie)
    result = compare(path, tshark)
    assert result.differences == []
    assert result.packets == (2, 2)
    assert [text.partition(":")[0] for text in result.complaints] == ["we", "tshark"]


@pytest.mark.slow
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_a_compressed_capture_is_compared_like_a_plain_one(
    tshark: str, capture: Path, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "day.bin"
    path.write_bytes(pack(capture.read_bytes()))
    assert is_capture(path)
    result = compare(path, tshark)
    assert result.equal
    assert result.packets == (6, 6)


def test_a_capture_is_known_by_its_content(capture: Path, tmp_path: Path) -> None:
    for name, data in (("a.pcap", b"no capture"), ("b", b""), ("c.json", b'{"a": 1}')):
        (tmp_path / name).write_bytes(data)
        assert not is_capture(tmp_path / name)
    assert is_capture(capture.rename(tmp_path / "notes.txt"))


@pytest.mark.slow
def test_a_file_that_only_one_side_reads_is_a_difference(tshark: str, tmp_path: Path) -> None:
    """Version 9 of pcap: tshark reads it, we refuse it. A header cut short: neither reads it."""
    data = bytearray(pcap_bytes([(0.0, FRAMES[0])]))
    (tmp_path / "cut.pcap").write_bytes(data[:20])
    data[4] = 9
    (tmp_path / "v9.pcap").write_bytes(data)
    assert compare(tmp_path / "cut.pcap", tshark).differences == []
    assert differences(compare(tmp_path / "v9.pcap", tshark)) == [("file", 1, 0)]


def test_a_side_that_fails_is_a_difference_and_not_the_end(
    tshark: str, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One capture of thousands on which a side crashes must not hide the others."""
    monkeypatch.setattr("tests.captures.tshark._PREFERENCES", ("no.such.preference:TRUE",))
    result = compare(capture, tshark)
    assert [finding.name for finding in result.differences] == ["failure"]
    assert "no.such.preference" in result.differences[0].witness


# The agent's own traffic ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_generated_traffic_has_the_flows_that_tshark_finds(
    tshark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Every built-in scenario: no difference; causes only where the zoo of rare protocols means them."""
    path = tmp_path / f"{name}.pcapng"
    monkeypatch.setattr("sys.argv", ["isolation-agent", "generate", name, "-o", str(path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    result = compare(path, tshark)
    assert result.differences == []
    assert result.packets.ours > 0
    assert causes(result).keys() <= ({"orphan_fragment", "martian"} if name == "protocol-zoo" else set())


def test_findings_are_plain_values_for_json() -> None:
    finding = Finding(name="flow", ours="a flow", tshark="no flow", packets=2, frame=7)
    assert finding.as_dict()["first_frame"] == 7
    assert Finding(name="total").as_dict()["first_frame"] is None
