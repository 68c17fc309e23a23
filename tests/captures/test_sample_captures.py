"""Real captures, judged packet by packet and held against tshark's view of the same packets.

Every file of the optional folder of sample captures is in here, whatever it is called. What we count differently from
tshark has its cause proven for each packet (causes.py), never excused for a file.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.sinks.summary import disagreements
from tests.captures.agreement import compare, feeder
from tests.captures.replayed import EVERYONE, Mark, marks
from tests.captures.tshark import Dissection, Row
from tests.captures.tuples import record_tuple
from tests.cli.samples import command
from tests.conftest import CAPTURES

NAMES = (
    sorted(path.name for path in CAPTURES.iterdir() if path.suffix in (".pcap", ".pcapng", ".cap"))
    if CAPTURES.is_dir()
    else ["(none)"]
)
UNREAD: tuple[str, ...] = ()
"""Layers around IP that the decoder need not read yet: what tshark finds inside is a difference that may be."""

UNREADABLE = {"pktap-fuzzed-user2.pcap"}
"""Files of which no frame is read, neither by us nor by tshark."""
ABOUT_LINKS = {"unsupported_link", "link_type_guessed"}

SEEN_FROM_THE_START = {"tcp_syn", "capture_flag", "first_packet"}
"""Evidence that is the initiator's own first packet."""
ETHER_TYPES = {"arp": 0x0806, "mpls": 0x8847, "pppoed": 0x8863, "pppoes": 0x8864}
"""What is not IP in these captures, by tshark's name for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One capture under Full isolation, everyone being local, and tshark's view of it."""

    rows: list[Row]
    summary: dict[str, Any]
    records: dict[int, dict[str, Any]]
    marks: dict[int, Mark]
    """By frame number; frames of the link bucket have none."""


def replay(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """(summary, standard error) of a replay that must exit with 0."""
    done = command("replay", *arguments, "--summary-json", "summary.json", "--no-progress", cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads((folder / "summary.json").read_bytes()), done.stderr.decode() + done.stdout.decode()


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def warning_codes(summary: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in summary["warnings"]]


def judge(path: Path, tshark: str, folder: Path) -> Judged:
    """Replays a capture and lets tshark dissect what of it is sound."""
    outputs = ("--decisions", "d.jsonl", "--allowed", "allowed.pcapng", "--denied", "denied.pcapng")
    summary, _ = replay(folder, str(path), *EVERYONE, *outputs)
    end = broken_at(summary)
    rows = [row for row in Dissection(tshark, path, feed=feeder(path, end), md5=True) if row.view.packet]
    return Judged(
        rows=rows,
        summary=summary,
        records={record["flow_id"]: record for record in records_of(folder / "d.jsonl")},
        marks=align(rows, folder / "allowed.pcapng", folder / "denied.pcapng"),
    )


def align(rows: list[Row], allowed: Path, denied: Path) -> dict[int, Mark]:
    """Frame number to its mark. Frames in neither file have none; every packet of both files finds its frame."""
    waiting = {path: list(marks(path))[::-1] for path in (allowed, denied)}
    found: dict[int, Mark] = {}
    for row in rows:
        for rest in waiting.values():
            if rest and rest[-1][0] == row.md5:
                found[row.number] = rest.pop()[1]
                break
    assert not any(waiting.values()), "a packet was written that the capture does not hold at this place"
    return found


def broken_at(summary: dict[str, Any]) -> int | None:
    """The byte from which the capture could not be read; None where it merely ends early."""
    errors = summary["captures"][0]["errors"]
    found = [match[1] for error in errors if (match := re.search(r"at byte (\d+):", error))]
    return int(found[0]) if found else None


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_a_real_capture_has_the_flows_that_tshark_finds(
    sample_capture: Callable[[str], Path], tshark: str, name: str
) -> None:
    """Packets, bytes and the sums of each distinct tuple, but for causes proven packet by packet (agreement.py)."""
    result = compare(sample_capture(name), tshark)
    assert [finding for finding in result.differences if not unread(finding.tshark)] == []
    assert result.packets.ours == result.packets.tshark > 0
    assert result.bytes.ours == result.bytes.tshark
    if result.equal:
        assert result.same_tuples == result.tuples.ours


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_a_capture_of_which_no_frame_is_read_says_so(
    sample_capture: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Every packet is undecodable, hence denied while isolated, with a warning about the link type."""
    summary, _ = replay(tmp_path, str(sample_capture(name)), *EVERYONE)
    assert ABOUT_LINKS & set(warning_codes(summary))
    assert (
        summary["packets"]["denied"] == summary["packets"]["total"] == summary["reasons"]["undecodable"]["packets"] > 0
    )


def unread(stack: str) -> bool:
    return any(layer in UNREAD for layer in stack.removeprefix("a flow: ").split(":"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_a_real_capture_is_judged_and_split_packet_by_packet(
    sample_capture: Callable[[str], Path], tshark: str, tmp_path: Path, name: str
) -> None:
    """As it is isolated by default: sums that add up, each packet in the file of its verdict, link frames by type."""
    sample = judge(sample_capture(name), tshark, tmp_path)
    the_sums_add_up(sample)
    each_packet_is_in_the_flow_of_its_tuple(sample)
    link_frames_are_those_without_ip(sample)


def the_sums_add_up(sample: Judged) -> None:
    """Packets and bytes are tshark's; buckets, reasons, flows and the split files agree with them."""
    summary = sample.summary
    packets = summary["packets"]
    assert packets["total"] == len(sample.rows)
    assert summary["bytes"]["total"] == sum(row.original for row in sample.rows)
    assert packets["total"] == sum(packets[bucket] for bucket in ("allowed", "denied", "ignored", "link"))
    assert disagreements(summary) == []
    assert summary["flows"]["total"] == len(sample.records)
    counted = Counter(mark.verdict for mark in sample.marks.values())
    assert (counted["allow"], counted["deny"]) == (packets["allowed"], packets["denied"])


def each_packet_is_in_the_flow_of_its_tuple(sample: Judged) -> None:
    """Marks and records agree with tshark; a flow whose direction its first packet shows has one of its initiator."""
    in_flows = Counter[int]()
    for row in sample.rows:
        mark = sample.marks.get(row.number)
        if mark is not None and mark.flow is not None:
            assert row.flow == record_tuple(sample.records[mark.flow]), f"frame {row.number}"
            in_flows[mark.flow] += 1
    assert in_flows == {number: sum(record["packets"].values()) for number, record in sample.records.items()}
    for record in sample.records.values():
        if record["direction_basis"] in SEEN_FROM_THE_START:
            assert record["packets"]["original"] > 0, f"flow {record['flow_id']} without a packet of its initiator"


def link_frames_are_those_without_ip(sample: Judged) -> None:
    """ARP and other EtherTypes that are not IP: each as often as tshark has it."""
    without = [row for row in sample.rows if row.number not in sample.marks]
    assert sample.summary["packets"]["link"] == len(without)
    for row in without:
        assert row.flow is None or unread(row.view.stack), f"frame {row.number} is {row.view.stack}"
    ours = Counter({int(row["ethertype"], 16): row["packets"] for row in sample.summary["link_frames"]})
    assert ours == Counter(carried(row.view.stack) for row in without)


def carried(stack: str) -> int:
    """The EtherType of what a frame carries behind its VLAN tags."""
    return next(ETHER_TYPES[layer] for layer in stack.split(":") if layer in ETHER_TYPES)


def test_every_sample_capture_is_here(sample_capture: Callable[[str], Path]) -> None:
    """The folder's own list and this file agree."""
    manifest = sample_capture("MANIFEST.md").read_text("utf-8")
    listed = re.findall(r"^\| (\S+\.(?:pcap|pcapng|cap)) \|", manifest, re.MULTILINE)
    assert sorted(listed) == NAMES


# What is wrong with a file is said ---------------------------------------------------------------------------


def test_a_lying_record_length_ends_the_reading_and_is_named(
    sample_capture: Callable[[str], Path], tmp_path: Path
) -> None:
    """The second record claims 1.4 GB: the first is judged, the byte is named, nothing is believed."""
    path = sample_capture("fuzz-lying-record-length.pcap")
    claimed = int.from_bytes(path.read_bytes()[228 + 8 : 228 + 12], "little")
    assert claimed > path.stat().st_size
    summary, shown = replay(tmp_path, str(path), *EVERYONE)
    row = summary["captures"][0]
    assert (row["packets"], row["truncated_tail"], broken_at(summary)) == (1, False, 228)
    assert warning_codes(summary).count("capture_error") == 1
    assert str(claimed) in row["errors"][0]
    assert "capture_error" in shown


def test_a_stray_byte_at_the_end_is_a_truncated_tail(sample_capture: Callable[[str], Path], tmp_path: Path) -> None:
    summary, shown = replay(tmp_path, str(sample_capture("otrf-sharpsc-stop.cap")), *EVERYONE)
    row = summary["captures"][0]
    assert (row["packets"], row["truncated_tail"], row["errors"]) == (224, True, [])
    assert warning_codes(summary).count("truncated_tail") == 1
    assert "truncated_tail" in shown


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["rdp-to-ssl.pcap", "darwin-two-if-effective-proc.pcapng", "nano-big-endian.pcap"])
def test_a_file_cut_in_the_middle_is_judged_up_to_there(
    sample_capture: Callable[[str], Path], tshark: str, tmp_path: Path, name: str, packed: bool
) -> None:
    """Exit 0 with the warning truncated_tail; what was read is what tshark reads of the same bytes."""
    data = sample_capture(name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: len(data) // 2])
    expected = sum(row.view.packet for row in Dissection(tshark, cut))
    if packed:
        cut.write_bytes(gzip.compress(cut.read_bytes()))
    summary, shown = replay(tmp_path, name, *EVERYONE)
    row = summary["captures"][0]
    assert (row["packets"], row["truncated_tail"], row["errors"]) == (expected, True, [])
    assert summary["packets"]["total"] == expected > 0
    assert disagreements(summary) == []
    assert warning_codes(summary).count("truncated_tail") == 1
    assert "truncated_tail" in shown


def test_a_gzip_stream_cut_in_the_middle_is_judged_up_to_there(
    sample_capture: Callable[[str], Path], tmp_path: Path
) -> None:
    """Half of a compressed file: fewer packets, a truncated tail, exit 0."""
    packed = gzip.compress(sample_capture("rdp-to-ssl.pcap").read_bytes())
    (tmp_path / "half.pcap.gz").write_bytes(packed[: len(packed) // 2])
    summary, _ = replay(tmp_path, "half.pcap.gz", *EVERYONE)
    assert summary["captures"][0]["truncated_tail"] is True
    assert 0 < summary["packets"]["total"] < 658
    assert disagreements(summary) == []


@pytest.mark.parametrize("size", [0, 3, 12, 23])
def test_less_than_a_file_header_is_no_capture(
    sample_capture: Callable[[str], Path], tmp_path: Path, size: int
) -> None:
    """Exit 2 and one line that names the file."""
    (tmp_path / "stub.pcap").write_bytes(sample_capture("sctp.pcap").read_bytes()[:size])
    done = command("replay", "stub.pcap", *EVERYONE, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert "stub.pcap" in lines[0]


# What the captures are known to show --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "direction"), [("172.18.39.6", "inbound"), ("172.18.39.5", "outbound")], ids=["target", "attacker"]
)
def test_the_two_flows_that_a_firewall_really_blocked_are_five_attempts_each(
    sample_capture: Callable[[str], Path], tmp_path: Path, local: str, direction: str
) -> None:
    """The host's log has five "blocked a connection" events for each of two flows; the capture holds five SYNs."""
    path = sample_capture("otrf-sharpsc-stop.cap")
    blocked = Counter[tuple[str, int, str, int]]()
    for line in path.with_suffix(".events.jsonl").read_bytes().splitlines():
        event = json.loads(line)
        if event["EventID"] == 5157:
            ends = event["SourceAddress"], int(event["SourcePort"]), event["DestAddress"], int(event["DestPort"])
            blocked[ends] += 1
    assert sorted(blocked.values()) == [5, 5]
    replay(tmp_path, str(path), "--local", local, "--decisions", "d.jsonl")
    found = Counter[tuple[str, int, str, int]]()
    for record in records_of(tmp_path / "d.jsonl"):
        here, there = record["local"], record["remote"]
        source, destination = (there, here) if direction == "inbound" else (here, there)
        ends = source["ip"], source["port"], destination["ip"], destination["port"]
        if ends in blocked:
            assert (record["direction"], record["direction_basis"]) == (direction, "tcp_syn")
            assert (record["verdict"], record["packets"]) == ("deny", {"original": 5, "reply": 0})
            found[ends] += record["attempted"]
    assert found == blocked


def test_who_the_device_talks_to_is_not_taken_for_the_device(
    sample_capture: Callable[[str], Path], tmp_path: Path
) -> None:
    """Both ends have the same MAC in this capture. As addresses of one device their packets would pass as loopback."""
    summary, _ = replay(tmp_path, str(sample_capture("ipv4-fragments.pcap")))
    assert (summary["device"]["local"], summary["device"]["local_basis"]) == (["10.0.0.1"], "look_ahead")
    assert summary["packets"] == {"total": 6, "allowed": 0, "denied": 6, "ignored": 0, "link": 0}


def test_nothing_of_a_dns_tunnel_passes_while_isolated(sample_capture: Callable[[str], Path], tmp_path: Path) -> None:
    """DNS by name: the questions of iodine are for no name of the cloud channel, so not one packet gets through."""
    summary, _ = replay(tmp_path, str(sample_capture("dns-tunnel-iodine.pcap")), *EVERYONE)
    assert summary["packets"] == {"total": 438, "allowed": 0, "denied": 434, "ignored": 0, "link": 4}
    assert {name for name, row in summary["reasons"].items() if row["packets"]} == {"full_isolation", "link"}
