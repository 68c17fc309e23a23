"""PKTAP headers of both layouts; what lies behind their length is not read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.carried.pktap import Pktap, read_pktap

UUID = bytes(range(1, 17))


def first(
    *, size: int = 156, flags: int = 2, pid: int = 512, epid: int = -1, name: bytes = b"", ename: bytes = b""
) -> bytes:
    """xnu: bsd/net/pktap.h, struct pktap_header."""
    head = struct.pack("<III24sIIII", size, 1, 1, b"en0", flags, 2, 0, 0)
    head += struct.pack("<i17sBHIHHi17s3x", pid, name, 6, 0, 0, 6, 0, epid, ename)
    head += struct.pack("<III", 0, 0, 0) + bytes(4) + UUID + UUID[::-1]
    return head


def second(*, flags: int, pid: int = 7, epid: int = 8, name: bytes = b"curl", ename: bytes = b"helper") -> bytes:
    """struct pktap_v2_hdr, the strings behind it."""
    name, ename = name + b"\0", ename + b"\0"
    at = 40 + 16
    size = at + len(name) + len(ename)
    head = struct.pack("<6B5H", size, 40, 0, 0, at, at + len(name), 1, 0, 0, 6, 0)
    head += struct.pack("<IIIiiI", 2, 0, 0, pid, epid, flags | 0x80000)
    return head + UUID + name + ename


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(
            first(name=b"curl", epid=9, ename=b"nsurlsessiond"),
            Pktap(512, "curl", 9, "nsurlsessiond", UUID, UUID[::-1], 2),
            id="first, whole",
        ),
        pytest.param(first(size=108)[:108] + bytes(48), Pktap(512, None, None, None, None, None, 2), id="first, old"),
        pytest.param(first(pid=0, flags=1), Pktap(None, None, None, None, UUID, UUID[::-1], 1), id="pid 0"),
        pytest.param(first(flags=3, size=108), Pktap(512), id="no frame goes both ways"),
        pytest.param(second(flags=1), Pktap(7, "curl", 8, "helper", UUID, None, 1), id="second"),
        pytest.param(second(flags=2, pid=-1, epid=0), Pktap(None, "curl", None, "helper", UUID, None, 2), id="no pids"),
        pytest.param(first(size=107), None, id="shorter than any"),
        pytest.param(first()[:107], None, id="cut"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(bytes(36) + struct.pack("<I", 0x80000), None, id="a second one of no length"),
    ],
)
def test_header(header: bytes, expected: Pktap | None) -> None:
    assert read_pktap(header) == expected


@given(
    data=st.one_of(st.binary(max_size=200), st.binary(min_size=36, max_size=36).map(lambda b: b + b"\0\0\x08\0" + b))
)
def test_any_bytes(data: bytes) -> None:
    said = read_pktap(data)
    assert said is None or said.pid is None or said.pid > 0
