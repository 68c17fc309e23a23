"""Other readers as oracles: tshark on real captures, scapy on generated ones."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader, RawPcapReader

from agent.capture.reader import open_capture
from tests.capture.crafted import drain, interface, option, packet, pcap_header, read, record, section

SAMPLES = (
    "darwin-iperf-null.pcapng",
    "darwin-raw-comments.pcapng",
    "darwin-two-if-effective-proc.pcapng",
    "dns-tunnel-iodine.pcap",
    "fuzz-lying-record-length.pcap",
    "gre-erspan3-dot1q.pcap",
    "icmp6.pcap",
    "ipv4-fragments.pcap",
    "ipv6-fragmented-dns.pcap",
    "mixed-vlan-mpls.pcap",
    "nano-big-endian.pcap",
    "ng-be-three-sections.pcapng",
    "ng-le-spb-nrb-multi-if.pcapng",
    "otrf-empire-psexec-ws6.cap",
    "otrf-log4shell-jndi-linux.pcap",
    "otrf-lsass01.pcapng",
    "otrf-purplesharp-ad-playbook.cap",
    "otrf-schtask-create.pcapng",
    "otrf-sharpsc-stop.cap",
    "pktap-258.pcap",
    "pktap-fuzzed-user2.pcap",
    "pppoe-over-qinq.pcap",
    "ptcpdump-curl-thread.pcapng",
    "ptcpdump-tcp.pcapng",
    "quic-win11-firefox.pcap",
    "radiotap.pcap",
    "rdp-to-ssl.pcap",
    "sctp.pcap",
    "sll-nano-invalid-timestamp.pcap",
    "sll2-tcp-fast-open.pcap",
    "snaplen-truncated-tcp-header.pcap",
    "vxlan-http.pcap",
)

NO_PACKETS = {
    # tshark lists the custom blocks of the three sections as if they were packets,
    "ng-be-three-sections.pcapng": {0, 6, 9},
    # and guesses at another record layout where the second record lies about its length.
    "fuzz-lying-record-length.pcap": {1},
}
"""Rows of tshark's list that are no packets."""

ODD_TIMES = {"sll-nano-invalid-timestamp.pcap"}
"""tshark prints a sub-second field of a second or more as if it were shorter; test_reader.py says what is right."""


class Row(NamedTuple):
    """What both readers say of a packet; no time where it has none."""

    time: int | None
    original: int
    captured: int


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_times_and_lengths_equal_tsharks(sample_capture: Callable[[str], Path], tshark: str, name: str) -> None:
    path = sample_capture(name)
    fields = [part for field in ("time_epoch", "len", "cap_len") for part in ("-e", f"frame.{field}")]
    listed = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", *fields], capture_output=True, text=True, check=False
    )
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    expected = [
        Row(int(Decimal(time) * 10**9) if time else None, int(original), int(captured))
        for number, (time, original, captured) in enumerate(rows)
        if number not in NO_PACKETS.get(name, ())
    ]
    found = [Row(packet.time, packet.original, len(packet.frame)) for packet in drain(open_capture(str(path))).packets]
    if name in ODD_TIMES:
        expected, found = [row._replace(time=0) for row in expected], [row._replace(time=0) for row in found]
    assert found == expected
    assert found, "a sample without packets shows nothing"


@pytest.mark.parametrize(
    ("name", "truncated", "error"),
    [
        ("otrf-sharpsc-stop.cap", True, None),
        ("fuzz-lying-record-length.pcap", False, "at byte 228: a record claims 1409179648 captured bytes"),
        ("rdp-to-ssl.pcap", False, None),
    ],
)
def test_how_real_files_end(
    sample_capture: Callable[[str], Path], name: str, truncated: bool, error: str | None
) -> None:
    """A stray byte, a lie, and nothing special."""
    outcome = drain(open_capture(str(sample_capture(name))))
    assert outcome.truncated == truncated
    assert len(outcome.errors) == (error is not None)
    assert all(text.startswith(error or "") for text in outcome.errors)


def test_link_types_and_directions_of_a_real_capture(sample_capture: Callable[[str], Path]) -> None:
    """Two interfaces of different link types, flags on each packet."""
    outcome = drain(open_capture(str(sample_capture("darwin-two-if-effective-proc.pcapng"))))
    assert {packet.link for packet in outcome.packets} == {0, 1}
    assert {packet.direction for packet in outcome.packets} == {1, 2}


FRAMES = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 999_999), st.binary(max_size=80), st.integers(0, 100)),
    max_size=12,
)


@given(frames=FRAMES, order=st.sampled_from("<>"), nano=st.booleans(), link=st.integers(0, 0xFFFF))
def test_generated_pcap_equals_scapys(
    frames: list[tuple[int, int, bytes, int]], order: str, nano: bool, link: int
) -> None:
    content = pcap_header(order=order, magic=0xA1B23C4D if nano else 0xA1B2C3D4, link=link)
    for seconds, fraction, frame, more in frames:
        content += record(frame, order=order, seconds=seconds, fraction=fraction, original=len(frame) + more)
    with tempfile.TemporaryDirectory() as folder:
        outcome = read(Path(folder), content)
        with closing(RawPcapReader(f"{folder}/made.pcap")) as oracle:
            unit = 1 if oracle.nano else 1000
            expected = [(meta.sec * 10**9 + meta.usec * unit, data, meta.wirelen) for data, meta in oracle]
            assert oracle.linktype == link
    assert [(packet.time, packet.frame, packet.original) for packet in outcome.packets] == expected
    assert len(expected) == len(frames)


@given(
    frames=FRAMES,
    order=st.sampled_from("<>"),
    resolution=st.sampled_from([None, 3, 6, 9, 12, 0x94]),
    direction=st.sampled_from([0, 1, 2]),
    comment=st.text(st.characters(codec="ascii", min_codepoint=32), min_size=1, max_size=9),
)
def test_generated_pcapng_equals_scapys(
    frames: list[tuple[int, int, bytes, int]], order: str, resolution: int | None, direction: int, comment: str
) -> None:
    """One section, one interface: where scapy is right, too."""
    shape = b"" if resolution is None else option(9, bytes([resolution]), order) + bytes(4)
    content = section(order) + interface(113, order, options=shape)
    packet_options = option(1, comment.encode(), order) + option(2, struct.pack(order + "I", direction), order)
    for seconds, fraction, frame, more in frames:
        stamp = seconds * 1_000_000 + fraction
        content += packet(frame, order, stamp=stamp, original=len(frame) + more, options=packet_options)
    with tempfile.TemporaryDirectory() as folder:
        outcome = read(Path(folder), content)
        expected = []
        if frames:  # scapy refuses a capture without packets
            with closing(RawPcapNgReader(f"{folder}/made.pcap")) as oracle:
                expected = [
                    (
                        min(((meta.tshigh << 32) + meta.tslow) * 10**9 // meta.tsresol, 2**64 - 1),
                        data,
                        meta.wirelen,
                        meta.linktype,
                        getattr(meta, "direction", direction) or 0,  # scapy 2.5 does not read it
                    )
                    for data, meta in oracle
                ]
    assert [(p.time, p.frame, p.original, p.link, p.direction) for p in outcome.packets] == expected
    assert len(expected) == len(frames)
