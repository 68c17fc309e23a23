"""Blocks that name processes, as the generators of Wireshark make them and as Hone's paper has them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.carried.blocks import (
    MAX_ARGUMENTS,
    Connection,
    Process,
    Section,
    read_process_block,
    read_section,
)
from agent.capture.processes import ProcessInformation, process_block
from tests.attribution.carried.crafted import (
    APPLE,
    CUSTOM,
    END,
    HONE_CONNECTION,
    HONE_PROCESS,
    apple_body,
    custom,
    entry,
    hone_body,
    section_body,
    start,
)
from tests.capture.crafted import option

UUID = bytes.fromhex("6b8b4567327b23c6643c986966334873")
ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
# wireshark/wireshark: test/captures/_gen_process_info_blocks.py, "custom data 0", with the PEN before it.
CURL = entry(
    1234,
    (2, b"curl"),
    (3, b"/usr/bin/curl"),
    (4, b"curl\0https://example.com/"),
    (5, struct.pack("<I", 1)),
    (6, struct.pack("<I", 1000)),
    (7, b"alice"),
    (8, UUID),
    start(1_767_225_600_000_000_000),
    (1, b"first process"),
)


@ORDERS
@pytest.mark.parametrize("kind", [0xBAD, 0x40000BAD])
def test_an_entry_is_little_endian_in_any_section(order: str, kind: int) -> None:
    assert read_process_block(kind, custom(CURL, order), big_endian=order == ">") == Process(
        pid=1234,
        name="curl",
        path="/usr/bin/curl",
        command_line="curl https://example.com/",
        user="alice",
        uuid=UUID,
        started=1_767_225_600_000_000_000,
        comments=("first process",),
    )


def test_comments_of_the_block_itself_are_not_of_the_entry() -> None:
    body = custom(entry(77, (2, b"sshd"), (6, bytes(4))), ">") + option(1, b"services=x", ">") + END
    assert read_process_block(CUSTOM, body, big_endian=True) == Process(pid=77, name="sshd", user="0")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(custom(entry(1), number=1), id="another enterprise"),
        pytest.param(custom(b"hello", entry_type=99), id="another entry"),
        pytest.param(custom(b"abc"), id="no pid"),
        pytest.param(struct.pack("<III", 32622, 3, 100) + bytes(50), id="an entry longer than its block"),
        pytest.param(custom(CURL, ">"), id="the other order"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_process_information_is_none(body: bytes) -> None:
    assert read_process_block(CUSTOM, body, big_endian=False) is None


def test_wrong_lengths_of_values_are_as_if_absent() -> None:
    body = custom(entry(5, (6, bytes(3)), (8, bytes(15)), (9, bytes(4)), (3, b""), (77, b"?")))
    assert read_process_block(CUSTOM, body, big_endian=False) == Process(pid=5)


@ORDERS
def test_apples_block_with_and_without_a_zero_behind_the_name(order: str) -> None:
    for name in (b"mDNSResponder", b"mDNSResponder\0"):
        body = apple_body(501, (2, name), (3, b"/usr/sbin/mDNSResponder"), (4, UUID), order=order)
        assert read_process_block(APPLE, body, big_endian=order == ">") == Process(
            pid=501, name="mDNSResponder", path="/usr/sbin/mDNSResponder", uuid=UUID
        )


@ORDERS
def test_hones_process_event_puts_long_values_together(order: str) -> None:
    body = hone_body(
        812, 1_767_603_600_000_000, (3, b"/usr/"), (3, b"bin/bash"), (4, b"bash\0--lo"), (4, b"gin\0"), (8, b"jdoe"),
        order=order,
    )  # fmt: skip
    assert read_process_block(HONE_PROCESS, body, big_endian=order == ">") == Process(
        pid=812,
        path="/usr/bin/bash",
        command_line="bash --login",
        user="jdoe",
    )


@pytest.mark.parametrize(("state", "ended"), [(0, False), (1, False), (0xFFFFFFFF, True)])
def test_hones_states(state: int, ended: bool) -> None:
    said = read_process_block(HONE_PROCESS, hone_body(1, 5, (2, struct.pack("<I", state))), big_endian=False)
    assert said == Process(pid=1, ended=ended)


def test_long_texts_are_cut_or_none() -> None:
    body = custom(entry(5, (3, b"/" * 40_000), (4, b"x" * 40_000)))
    said = read_process_block(CUSTOM, body, big_endian=False)
    assert said == Process(pid=5, command_line="x" * MAX_ARGUMENTS), "a path is never cut: it would be another"


@ORDERS
def test_hones_connection_event(order: str) -> None:
    body = struct.pack(order + "IIII", 9, 812, 0, 1)
    assert read_process_block(HONE_CONNECTION, body, big_endian=order == ">") == Connection(9, 812, False)
    body += option(2, b"\xff" * 4, order)
    assert read_process_block(HONE_CONNECTION, body, big_endian=order == ">") == Connection(9, 812, True)


@ORDERS
def test_a_section_tells_its_writer(order: str) -> None:
    body = section_body("ptcpdump 0.30.0", order, machine=UUID)
    assert read_section(body, big_endian=order == ">") == Section("ptcpdump 0.30.0", UUID)
    assert read_section(section_body("", order), big_endian=order == ">") == Section()


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(pid=st.integers(1, (1 << 32) - 1), path=_TEXT, user=_TEXT, started=st.integers(0, (1 << 64) - 1))
def test_what_our_writer_writes_is_read_back(pid: int, path: str, user: str, started: int) -> None:
    block = process_block(ProcessInformation(pid=pid, path=path, user=user, starttime=started))
    assert read_process_block(CUSTOM, block[8:-4], big_endian=False) == Process(
        pid=pid, path=path, user=user, started=started
    )


@given(
    kind=st.sampled_from([0xBAD, 0x40000BAD, APPLE, HONE_PROCESS, HONE_CONNECTION, 6]),
    start=st.sampled_from([b"", struct.pack("<II", 32622, 3), struct.pack(">I", 32622) + struct.pack("<I", 3)]),
    rest=st.binary(max_size=120),
    big_endian=st.booleans(),
)
def test_any_bytes(kind: int, start: bytes, rest: bytes, big_endian: bool) -> None:
    said = read_process_block(kind, start + rest, big_endian=big_endian)
    assert said is None or 0 <= said.pid < 1 << 32
    read_section(start + rest, big_endian=big_endian)
