"""Headers and declarations, field by field. Whole captures with them are in test_reader.py."""

from __future__ import annotations

import struct

import pytest

from agent.capture.blocks import longest_frame, parse_interface, parse_pcap_header, parse_section
from tests.capture.crafted import interface, option, pcap_header, section

ORDERS = pytest.mark.parametrize(("order", "big"), [("<", False), (">", True)], ids=["little", "big"])


@ORDERS
def test_pcap_header(order: str, big: bool) -> None:
    header = parse_pcap_header(pcap_header(order=order, magic=0xA1B23C4D, link=0x24000071, snaplen=96))
    assert (header.big_endian, header.unit_ns, header.record_header) == (big, 1, 16)
    assert (header.major, header.link_type, header.fcs, header.snaplen) == (2, 113, 4, 96)


@ORDERS
def test_section_header(order: str, big: bool) -> None:
    parsed = parse_section(section(order, major=258))
    assert (parsed.big_endian, parsed.major) == (big, 258)


@ORDERS
def test_interface_options(order: str, big: bool) -> None:
    options = option(9, b"\x94", order) + option(14, struct.pack(order + "q", -7), order) + option(13, b"\x20", order)
    parsed = parse_interface(interface(276, order, snaplen=65_535, options=options), big_endian=big)
    assert (parsed.interface.link_type, parsed.interface.snaplen) == (276, 65_535)
    assert (parsed.resolution, parsed.offset, parsed.fcs) == (0x94, -7, 4)


@pytest.mark.parametrize(
    "options",
    [
        option(9, b"\x09\x09") + option(14, b"1234") + option(13, b"") + option(4, b"12345678901"),
        struct.pack("<HHI", 2, 5000, 0x41414141),
        bytes(4) + option(9, b"\x03") + option(2, b"late"),
        b"\x02\x00\x01\x00",
    ],
    ids=["wrong sizes", "overruns", "behind the end", "value missing"],
)
def test_wrong_options_are_ignored(options: bytes) -> None:
    parsed = parse_interface(interface(options=options), big_endian=False)
    assert (parsed.resolution, parsed.offset, parsed.fcs) == (6, 0, 0)
    assert (parsed.interface.name, parsed.interface.addresses) == (None, ())


@pytest.mark.parametrize(
    ("raw", "name"),
    [(b"eth0", "eth0"), (b"eth0\0\0", "eth0"), (b"", ""), (b"\xff\xfe", "��"), (b"x" * 5000, "x" * 256)],
    ids=["plain", "with NUL", "empty", "not UTF-8", "absurd"],
)
def test_interface_names(raw: bytes, name: str) -> None:
    assert parse_interface(interface(options=option(2, raw)), big_endian=False).interface.name == name


def test_a_mapped_interface_address_is_ipv4() -> None:
    mapped = bytes(10) + b"\xff\xff\x0a\x00\x00\x05" + b"\x80"
    options = option(5, mapped) + option(4, b"\x0a\x00\x00\x05\xff\xff\xff\x00")
    parsed = parse_interface(interface(options=options), big_endian=False)
    assert [str(address) for address in parsed.interface.addresses] == ["10.0.0.5"]


@pytest.mark.parametrize(
    ("snaplen", "longest"), [(0, 262_144), (65_535, 262_144), (1_000_000, 1_000_000), (0xFFFFFFFF, 16_515_072)]
)
def test_the_longest_frame_believed(snaplen: int, longest: int) -> None:
    assert longest_frame(snaplen) == longest
