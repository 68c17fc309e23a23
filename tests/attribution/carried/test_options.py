"""Packet options: numbers in both byte orders, comments, and whatever bytes there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.carried.options import MAX_COMMENTS, MAX_OPTIONS, NOTHING, PacketOptions, read_packet_options
from tests.attribution.carried.crafted import END, thread, word
from tests.capture.crafted import option


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_are_in_the_order_of_the_section(order: str) -> None:
    options = option(2, b"\1\0\0\0", order) + thread(1234, 5678, order) + word(0x8001, 3, order)
    options += word(0x8003, 4, order) + word(257, 9, order) + word(258, 812, order) + option(1, b"a", order)
    assert read_packet_options(options + END, big_endian=order == ">") == PacketOptions(
        pid=1234, tid=5678, apple=3, apple_effective=4, hone_pid=812, hone_connection=9, comments=(b"a",)
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(b"", NOTHING, id="none"),
        pytest.param(thread(0), PacketOptions(pid=0), id="pid 0 is said, and unknown"),
        pytest.param(option(8, bytes(7)), NOTHING, id="wrong length"),
        pytest.param(thread(1) + thread(2), PacketOptions(pid=1), id="the first counts"),
        pytest.param(END + thread(1), NOTHING, id="behind the end mark"),
        pytest.param(thread(1) + b"\x08\x00\xff\xff", PacketOptions(pid=1), id="overruns"),
        pytest.param(thread(1)[:-1], NOTHING, id="cut"),
        pytest.param(
            option(257, (7).to_bytes(8, "little")), PacketOptions(hone_connection=7), id="a connection id of 64 bits"
        ),
        pytest.param(option(1, b"a") + option(1, b"b"), PacketOptions(comments=(b"a", b"b")), id="several comments"),
        pytest.param(option(30_000, b"") * MAX_OPTIONS + thread(1), NOTHING, id="more options than are looked at"),
    ],
)
def test_one_packet(options: bytes, expected: PacketOptions) -> None:
    assert read_packet_options(options, big_endian=False) == expected


def test_comments_are_kept_up_to_a_bound() -> None:
    options = option(1, bytes(0xFFFC)) * 3
    assert sum(len(one) for one in read_packet_options(options, big_endian=False).comments) <= MAX_COMMENTS


@given(data=st.binary(max_size=200), big_endian=st.booleans())
def test_any_bytes(data: bytes, big_endian: bool) -> None:
    said = read_packet_options(data, big_endian=big_endian)
    assert sum(map(len, said.comments)) <= len(data)
    assert said.pid is None or 0 <= said.pid < 1 << 32
