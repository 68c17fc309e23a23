"""Filters: libpcap's and tcpdump's say the same, and each way of compiling gives the same words for an error."""

from __future__ import annotations

import shutil
import struct

import pytest

from agent.capture import bpf
from agent.model.errors import UsageError

FILTERS = ["tcp", "udp port 53", "host 10.0.0.5 and not port 22", "tcp[13] & 2 != 0", "net 10.0.0.0/8 or icmp"]


def library() -> str:
    found = bpf.compiler()
    if found is None or found not in bpf._LIBRARIES:
        pytest.skip("libpcap absent")
    return found


def tcpdump() -> str:
    found = shutil.which("tcpdump")
    if found is None:
        pytest.skip("tcpdump absent")
    return found


@pytest.mark.parametrize("link", [1, 12], ids=["ethernet", "raw"])
@pytest.mark.parametrize("text", FILTERS)
def test_tcpdump_stands_in_for_libpcap(text: str, link: int) -> None:
    assert bpf._by_tcpdump(tcpdump(), text, link, 65535) == bpf._by_library(library(), text, link, 65535)


@pytest.mark.parametrize("text", ["tcp prt 443", "port 70000", "ether"])
def test_a_wrong_filter_has_the_same_message_from_both(text: str) -> None:
    messages = []
    for one, where in ((bpf._by_library, library()), (bpf._by_tcpdump, tcpdump())):
        with pytest.raises(UsageError) as raised:
            one(where, text, 1, 65535)
        messages.append(str(raised.value))
        assert messages[-1].startswith(f"--filter {text!r}: ")
    assert messages[0] == messages[1]


def test_without_an_ethernet_header_a_filter_counts_from_the_network_header() -> None:
    plain = bpf.compiled("tcp port 443", 12, 65535)
    reading = [one for one in plain if one.code & 7 in (0, 1) and one.code & 0xE0 in (0x20, 0x40, 0xA0)]
    assert reading
    for before in reading:
        assert bpf._from_network_header(before).k == before.k + 0xFFF00000
    assert all(bpf._from_network_header(one) == one for one in plain if one not in reading)


def test_a_program_is_whole_instructions_and_begins_with_the_kind_of_device() -> None:
    data = bpf.program("", snaplen=96)
    assert len(data) % 8 == 0
    assert struct.unpack_from("=HBBI", data) == (0x20, 0, 0, 0xFFFFF01C)
    assert struct.unpack_from("=HBBI", data, len(data) - 8) == (6, 0, 0, 96)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vlan", "the kernel filters before the tags are put back"),
        ("tcp\0", "no NUL characters"),
    ],
    ids=["vlan", "nul"],
)
def test_what_the_kernel_would_not_do_is_refused(text: str, message: str) -> None:
    library()
    with pytest.raises(UsageError, match=message):
        bpf.program(text, snaplen=65535)


def test_a_program_too_long_for_the_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    library()
    monkeypatch.setattr(bpf, "_MAX_INSTRUCTIONS", 20)
    with pytest.raises(UsageError, match=r"^--filter: too long: .* instructions; Linux takes 20$"):
        bpf.program("tcp port 443", snaplen=65535)
