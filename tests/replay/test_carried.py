"""The pass over a capture for its own process facts: real samples, which end is local, and our own files read back."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader

from agent.attribution.chain import Attribution
from agent.capture.batch import INBOUND, OUTBOUND
from agent.capture.links import ETHERNET, RAW
from agent.capture.processes import ProcessInformation
from agent.capture.reader import open_capture
from agent.capture.writer import PcapngWriter
from agent.model.address import parse_address, parse_endpoint
from agent.model.device import Device, Family
from agent.model.vocabulary import Confidence
from agent.replay import carried
from agent.replay.carried import carried_records, carried_sources, carries
from agent.replay.options import Progress
from tests.attribution.carried.crafted import pib, section_options, thread, word
from tests.attribution.carried.test_pktap import first as pktap
from tests.capture.crafted import START, interface, option, packet, pcap_header, record, section
from tests.support import frames as f

LINUX = Device(platform="Linux", family=Family.LINUX)
US, THEM = "10.0.0.5:50000", "203.0.113.9:443"
NOW = START * 1_000_000_000
SLACK = 60_000_000_000
EXPECTED = Path(__file__).parent / "carried"
END = bytes(4)

Row = tuple[int, str, str, int | None, str | None]


def rows(path: Path, local: tuple[str, ...] = ()) -> list[Row]:
    """(protocol, local end, remote end, pid, image) of each record."""
    records = carried_records([str(path)], LINUX, [parse_address(address) for address in local])
    return [
        (record.protocol, str(record.local), str(record.remote), record.subject.pid, record.subject.image)
        for record in records.records()
    ]


def made(tmp_path: Path, *blocks: bytes, application: str = "", link: int = 1, order: str = "<") -> Path:
    path = tmp_path / "made.pcapng"
    path.write_bytes(
        section(order, options=section_options(application, order)) + interface(link, order) + b"".join(blocks)
    )
    return path


def flags(direction: int) -> bytes:
    return word(2, direction)


def tcp(source: str = US, destination: str = THEM, tcp_flags: int = f.SYN) -> bytes:
    return f.tcp_frame(source, destination, flags=tcp_flags)


# Real captures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", sorted(EXPECTED.glob("*.txt")), ids=lambda path: path.stem)
def test_samples_give_the_pids_and_names_in_them(sample_capture: Callable[[str], Path], expected: Path) -> None:
    name = next(name for name in (expected.stem + ".pcapng", expected.stem + ".pcap") if sample_capture(name).exists())
    words = {True: "opened", False: "accepted", None: "-"}
    found = [
        f"{one.protocol} {one.local} {one.remote} {one.subject.pid} {one.subject.image or '-'} {one.subject.source} "
        f"{one.subject.confidence.label} {words[one.initiated]} {one.start} {one.end}"
        for one in carried_records([str(sample_capture(name))], LINUX).records()
    ]
    assert found == expected.read_text().splitlines()


@pytest.mark.parametrize("name", ["darwin-iperf-null.pcapng", "darwin-two-if-effective-proc.pcapng"])
def test_apples_processes_are_those_that_scapy_reads(sample_capture: Callable[[str], Path], name: str) -> None:
    ours = {(pid, image) for _, _, _, pid, image in rows(sample_capture(name))}
    theirs = set()
    with contextlib.closing(RawPcapNgReader(str(sample_capture(name)))) as reader:
        for _, metadata in reader:
            process = metadata.process_information.get("proc")
            if process and process["id"] == 0:  # the kernel, on behalf of
                process = metadata.process_information["eproc"]
            if process:
                theirs.add((process["id"], process["name"].rstrip("\0")))
    assert ours == theirs


@pytest.mark.parametrize("name", ["ptcpdump-curl-thread.pcapng", "ptcpdump-tcp.pcapng"])
def test_ptcpdumps_processes_are_those_in_the_comments(sample_capture: Callable[[str], Path], name: str) -> None:
    ours = {(pid, image) for _, _, _, pid, image in rows(sample_capture(name))}
    theirs = set()
    with contextlib.closing(RawPcapNgReader(str(sample_capture(name)))) as reader:
        for _, metadata in reader:
            lines = dict(line.split(": ", 1) for line in metadata.comments[0].decode().split("\n"))
            theirs.add((int(lines["PID"]), lines["Cmd"]))
    assert ours == theirs


@pytest.mark.parametrize("name", ["darwin-raw-comments.pcapng", "icmp6.pcap", "pktap-fuzzed-user2.pcap"])
def test_captures_without_process_facts_give_none(sample_capture: Callable[[str], Path], name: str) -> None:
    """The comments of the first are free text."""
    assert rows(sample_capture(name)) == []
    assert carried_sources([str(sample_capture(name))], LINUX, (), SLACK) == []


def test_etl2pcapngs_first_outbound_packet_names_the_owner(sample_capture: Callable[[str], Path]) -> None:
    """Beside the log of the same host: of its packets most are of another process, of these first ones hardly any."""
    logged: dict[tuple[str, str], set[int]] = {}
    for line in sample_capture("otrf-lsass01.events.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["EventID"] == 5156 and row["Hostname"].startswith("MKT01"):
            ends = [f"[{ip}]" if ":" in (ip := row[f"{end}Address"]) else ip for end in ("Source", "Dest")]
            source, target = f"{ends[0]}:{row['SourcePort']}", f"{ends[1]}:{row['DestPort']}"
            logged.setdefault((source, target), set()).add(int(row["ProcessID"]))
            logged.setdefault((target, source), set()).add(int(row["ProcessID"]))
    found = rows(sample_capture("otrf-lsass01.pcapng"))
    agree = [pid in logged[local, remote] for _, local, remote, pid, _ in found if (local, remote) in logged]
    assert (len(found), len(agree), sum(agree)) == (121, 117, 116)


# Which end is the host's own ------------------------------------------------------------------------------------------


OURS: Row = (6, US, THEM, 5, None)
THEIRS: Row = (6, THEM, US, 5, None)


@pytest.mark.parametrize(
    ("options", "local", "expected"),
    [
        pytest.param(thread(5) + flags(OUTBOUND), (), [OURS], id="outbound: the sender"),
        pytest.param(thread(5) + flags(INBOUND), (), [THEIRS], id="inbound: the receiver"),
        pytest.param(thread(5) + flags(OUTBOUND), ("203.0.113.9",), [OURS], id="the flag before the addresses"),
        pytest.param(thread(5), ("203.0.113.9",), [THEIRS], id="without a flag the device's address"),
        pytest.param(thread(5), (), [OURS], id="without either the originator"),
        pytest.param(thread(5), ("10.0.0.5", "203.0.113.9"), [OURS], id="both ours: the originator"),
        pytest.param(word(258, 5), (), [OURS, THEIRS], id="nothing tells: either"),
    ],
)
def test_orientation(tmp_path: Path, options: bytes, local: tuple[str, ...], expected: list[Row]) -> None:
    assert rows(made(tmp_path, packet(tcp(), options=options + END)), local) == expected


def test_the_link_layers_word_counts_where_the_capture_has_none(tmp_path: Path) -> None:
    frame = f.sll2(tcp(THEM, US)[14:], packet_type=0)
    path = made(tmp_path, packet(frame, options=thread(5) + END), link=276)
    assert rows(path) == [OURS]


def test_a_packet_seen_twice_on_a_loopback_device_has_an_owner_for_each_end(tmp_path: Path) -> None:
    client, server = "127.0.0.1:50000", "127.0.0.1:80"
    frame = tcp(client, server)
    blocks = [
        pib(5, (3, b"/bin/client")),
        pib(6, (3, b"/bin/server")),
        packet(frame, options=thread(5) + flags(OUTBOUND) + END),
        packet(frame, options=thread(6) + flags(INBOUND) + END),
    ]
    assert rows(made(tmp_path, *blocks)) == [
        (6, client, server, 5, "/bin/client"),
        (6, server, client, 6, "/bin/server"),
    ]


# What is a socket's packet ----------------------------------------------------------------------------------------


def test_later_fragments_and_cut_headers_make_no_records(tmp_path: Path) -> None:
    later = f.ethernet(f.ipv4("10.0.0.5", "203.0.113.9", bytes(28), f.UDP, identifier=1, offset=32))
    cut = tcp()[: 14 + 20 + 4]
    path = made(tmp_path, *(packet(frame, options=thread(5) + END) for frame in (later, cut, b"", bytes(60))))
    assert rows(path) == []


def test_echo_requests_have_no_ports(tmp_path: Path) -> None:
    echo = f.ethernet(f.ipv4("10.0.0.5", "203.0.113.9", bytes([8, 0, 0, 0, 1, 2, 0, 1]), f.ICMP))
    path = made(tmp_path, packet(echo, options=thread(5) + END))
    assert rows(path) == [(1, "10.0.0.5:0", "203.0.113.9:0", 5, None)]


@pytest.mark.parametrize(
    ("frame", "direction", "initiated"),
    [
        (tcp(), OUTBOUND, True),
        (tcp(), INBOUND, False),
        (tcp(tcp_flags=f.SYN | f.ACK), OUTBOUND, False),
        (tcp(tcp_flags=f.SYN | f.ACK), INBOUND, True),
        (tcp(tcp_flags=f.ACK), OUTBOUND, None),
        (f.udp_frame(US, THEM), OUTBOUND, None),
    ],
)
def test_a_handshake_tells_who_opened(tmp_path: Path, frame: bytes, direction: int, initiated: bool | None) -> None:
    path = made(tmp_path, packet(frame, options=thread(5) + flags(direction) + END))
    (found,) = carried_records([str(path)], LINUX).records()
    assert found.initiated is initiated


def test_blocks_and_packets_are_taken_in_the_order_of_the_file(tmp_path: Path) -> None:
    said = packet(tcp(), options=thread(5) + END)
    path = made(
        tmp_path, said, pib(5, (3, b"/bin/a")), said, pib(5, (3, b"/bin/b")), said, section(), interface(), said
    )
    assert [image for *_, image in rows(path)] == ["/bin/a", "/bin/b", None]


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_wiresharks_generated_file(tmp_path: Path, order: str) -> None:
    blocks = [pib(1234, (2, b"curl"), (3, b"/usr/bin/curl"), order=order), pib(4321, order=order)]
    for pid in (1234, 4321):
        blocks.append(
            packet(f.udp_frame(f"10.0.0.1:{pid}", "10.0.0.2:1"), order, options=thread(pid, order=order) + END)
        )
    path = made(tmp_path, *blocks, order=order)
    assert [(pid, image) for _, _, _, pid, image in rows(path)] == [(1234, "/usr/bin/curl"), (4321, None)]


def test_pktap_in_a_classic_capture(tmp_path: Path) -> None:
    path = tmp_path / "made.pcap"
    tapped = [pktap(name=b"curl", pid=pid, flags=way) + tcp() for pid, way in ((5, 2), (6, 1), (-1, 2))]
    path.write_bytes(pcap_header(link=258) + b"".join(map(record, tapped)))
    assert rows(path) == [(6, US, THEM, 5, "curl"), (6, THEM, US, 6, "curl")]


# Our own files ----------------------------------------------------------------------------------------------------


def test_what_the_writer_says_is_what_the_chain_answers(tmp_path: Path) -> None:
    path = str(tmp_path / "own.pcapng")
    writer = PcapngWriter(path)
    writer.add_interface(ETHERNET, "eth0", [parse_address("10.0.0.5")])
    curl = ProcessInformation(
        pid=5, path="/usr/bin/curl", user="ann", starttime=NOW - 9, services=("a.service",), container="web"
    )
    sshd = ProcessInformation(pid=6, path="/usr/sbin/sshd", services=())
    ssh = "10.0.0.5:22"
    for time, process, frame, direction in (
        (NOW, curl, tcp(), OUTBOUND),
        (NOW + 1, curl, tcp(THEM, US, f.SYN | f.ACK), INBOUND),
        (NOW + 2, sshd, tcp(THEM, ssh), INBOUND),
        (NOW + 3, None, f.udp_frame("10.0.0.5:9", THEM), OUTBOUND),
    ):
        if process is not None:
            writer.process(process)
        pid = process.pid if process is not None else 0
        writer.write(time, ETHERNET, frame, len(frame), direction_flag=direction, process_id=pid)
    writer.close()
    attribution = Attribution()
    for source in carried_sources([path], LINUX, (), SLACK):
        attribution.add(source)
    assert attribution.complete
    assert attribution.local_addresses() == [parse_address("10.0.0.5")]
    us, them = parse_address("10.0.0.5").value, parse_address("203.0.113.9").value
    owner = attribution.resolve(6, 4, us, 50000, them, 443, NOW, 2)
    assert owner is not None
    subject = owner.subject
    assert (subject.image, subject.canonical_image, subject.user) == ("/usr/bin/curl", "/usr/bin/curl", "ann")
    assert (subject.services, subject.container, subject.process_created) == (("a.service",), "web", NOW - 9)
    assert (subject.source, subject.confidence, owner.initiated) == ("pib", Confidence.HIGH, True)
    owner = attribution.resolve(6, 4, us, 22, them, 443, NOW + 2, 1)
    assert owner is not None
    assert (owner.subject.image, owner.subject.services, owner.initiated) == ("/usr/sbin/sshd", (), False)
    assert attribution.resolve(17, 4, us, 9, them, 443, NOW + 3, 0) is None


# Running ----------------------------------------------------------------------------------------------------------


def test_a_capture_that_says_nothing_at_first_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "LOOK_AHEAD", 10)
    silent, said = packet(tcp()), packet(tcp(), options=thread(5) + END)
    late = made(tmp_path, silent * 40_000, said)
    assert rows(late) == []
    assert rows(made(tmp_path, pib(5, (3, b"/bin/a")), silent * 40_000, said)) == [(6, US, THEM, 5, "/bin/a")]


def test_what_cannot_be_read_twice_or_is_no_capture_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("no capture")
    assert carried_sources([str(tmp_path / "pipe"), str(tmp_path / "text"), "-", "absent"], LINUX, (), SLACK) == []


def test_progress_is_told_and_a_request_to_stop_heard(tmp_path: Path) -> None:
    path = made(tmp_path, packet(tcp(), options=thread(5) + END) * 40_000)
    told: list[Progress] = []
    carried_records([str(path)], LINUX, progress=told.append)
    assert told[-1].packets == 40_000
    assert told[-1].bytes_read == path.stat().st_size
    stopped = carried_records([str(path)], LINUX, progress=told.append, stopped=lambda: told[-1].packets < 40_000)
    assert len(stopped) <= 1
    assert told[-1].packets < 40_000


@pytest.mark.parametrize(
    ("link", "frame", "options", "expected"),
    [
        (ETHERNET, tcp(), thread(5), True),
        (ETHERNET, tcp(), option(1, b"PID: 5\nCmd: /bin/a"), True),
        (ETHERNET, tcp(), option(1, b"svc BE, in"), False),
        (ETHERNET, tcp(), b"", False),
        (RAW, tcp()[14:], thread(0), False),
        (258, pktap() + tcp(), b"", True),
        (258, pktap(pid=-1) + tcp(), b"", False),
    ],
)
def test_what_was_looked_ahead_shows_whether_a_capture_carries_facts(
    tmp_path: Path, link: int, frame: bytes, options: bytes, expected: bool
) -> None:
    path = made(tmp_path, packet(tcp()), packet(frame, options=options + END), link=link)
    with open_capture(str(path)) as reader:
        batch = reader.next_batch()
        assert batch is not None
        assert carries([(0, batch)]) is expected


_BLOCKS = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda body: struct.pack("<II", 0xBAD, 24 + len(body) // 4 * 4) + struct.pack("<III", 32622, 3, 8) + body,
              st.binary(max_size=60)),
    st.builds(lambda body: packet(tcp(), options=body), st.binary(max_size=60)),
    st.builds(lambda pid: packet(tcp(), options=thread(pid) + END), st.integers(0, 3)),
    st.builds(lambda pid, body: pib(pid, (3, body)), st.integers(0, 3), st.binary(max_size=20)),
)  # fmt: skip


@given(blocks=st.lists(_BLOCKS, max_size=8), link=st.sampled_from([1, 149, 258]))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], link: int) -> None:
    path = made(tmp_path_factory.getbasetemp(), *blocks, link=link, application="ptcpdump")
    records = carried_records([str(path)], LINUX)
    for found in records.records():
        assert found.subject.pid is not None
        assert found.end is not None
        assert found.start <= found.end
    assert sum(len(source) for source in records.sources(SLACK)) == len(records)


def test_a_record_is_found_by_its_endpoints() -> None:
    assert str(parse_endpoint(US)) == US
