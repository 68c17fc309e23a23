"""Packet filters as Linux runs them: text compiled by libpcap, or by tcpdump where only that is there.

Knows classic BPF as far as it changes it. Must not know sockets. Two things are put before every filter: of what passes
the loopback device only the sending is kept (the kernel shows each of its packets twice), and on devices without an
Ethernet header the filter counts from the network header, wherever that lies.

    program("tcp port 443", snaplen=262144)     # instructions, 8 bytes each, for SO_ATTACH_FILTER
"""

from __future__ import annotations

import ctypes
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from agent.model.errors import EnvironmentFailure, UsageError

ARPHRD_ETHERNET, ARPHRD_LOOPBACK = 1, 772
_OUTGOING = 4
_DLT_ETHERNET, _DLT_RAW = 1, 12
_TCPDUMP_NAMES = {_DLT_ETHERNET: "EN10MB", _DLT_RAW: "RAW"}

_ANCILLARY = 0xFFFFF000  # SKF_AD_OFF: not bytes of the packet, but what the kernel knows of it
_PACKET_KIND, _HARDWARE = _ANCILLARY + 4, _ANCILLARY + 28
_NETWORK = 0xFFF00000  # SKF_NET_OFF: counted from the network header
_LOAD, _EQUAL, _JUMP, _RETURN = 0x20, 0x15, 0x05, 0x06
_LD, _LDX = 0, 1
_ABSOLUTE, _INDIRECT, _HEADER_LENGTH = 0x20, 0x40, 0xA0

_MAX_INSTRUCTIONS = 4096
_LIBRARIES = ("libpcap.so.1", "libpcap.so.0.8", "libpcap.so")
_TAGS = re.compile(r"\bvlan\b")


class Instruction(NamedTuple):
    """One of classic BPF: struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    k: int


def program(text: str, *, snaplen: int) -> bytes:
    """The program that passes what `text` asks for ("" = everything), cut at `snaplen` bytes.

    Raises UsageError with libpcap's own message for a wrong filter, EnvironmentFailure where nothing can compile one.
    """
    if text.strip():
        if "\0" in text:
            raise UsageError("--filter: a filter holds no NUL characters")
        if _TAGS.search(text):
            raise UsageError(
                "--filter: `vlan` cannot be asked for: the kernel filters before the tags are put back; "
                "filter the recording instead"
            )
        ethernet = compiled(text, _DLT_ETHERNET, snaplen)
        raw = _raw(text, snaplen)
    else:
        ethernet = raw = [Instruction(_RETURN, 0, 0, snaplen)]
    instructions = [
        Instruction(_LOAD, 0, 0, _HARDWARE),
        Instruction(_EQUAL, 4, 0, ARPHRD_ETHERNET),
        Instruction(_EQUAL, 0, 4, ARPHRD_LOOPBACK),
        Instruction(_LOAD, 0, 0, _PACKET_KIND),
        Instruction(_EQUAL, 1, 0, _OUTGOING),
        Instruction(_RETURN, 0, 0, 0),
        Instruction(_JUMP, 0, 0, 1),
        Instruction(_JUMP, 0, 0, len(ethernet)),
        *ethernet,
        *raw,
    ]
    if len(instructions) > _MAX_INSTRUCTIONS:
        raise UsageError(f"--filter: too long: {len(instructions)} instructions; Linux takes {_MAX_INSTRUCTIONS}")
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)


def _raw(text: str, snaplen: int) -> list[Instruction]:
    """For devices without an Ethernet header: one that asks for what such a header has (`arp`) passes nothing there."""
    try:
        return [_from_network_header(one) for one in compiled(text, _DLT_RAW, snaplen)]
    except UsageError:
        return [Instruction(_RETURN, 0, 0, 0)]


def compiler() -> str | None:
    """What would compile a filter: a library's name or tcpdump's path; None where nothing is there."""
    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return shutil.which("tcpdump") or shutil.which("tcpdump", path="/usr/local/sbin:/usr/sbin:/sbin")


def compiled(text: str, link: int, snaplen: int) -> list[Instruction]:
    """The instructions of `text` for packets of the libpcap link type `link`. Raises as program() does."""
    found = compiler()
    if found is None:
        raise EnvironmentFailure("--filter needs libpcap or tcpdump to compile it: install one of them")
    return _by_library(found, text, link, snaplen) if found in _LIBRARIES else _by_tcpdump(found, text, link, snaplen)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def _by_library(name: str, text: str, link: int, snaplen: int) -> list[Instruction]:
    library = ctypes.CDLL(name)
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_geterr.restype = ctypes.c_char_p
    handle = ctypes.c_void_p(library.pcap_open_dead(link, snaplen))
    if handle.value is None:
        raise EnvironmentFailure("--filter: libpcap has no memory left")
    try:
        result = _Program()
        # The netmask serves `ip broadcast` only; all ones is libpcap's "not known", which it then says.
        if library.pcap_compile(handle, ctypes.byref(result), text.encode(), 1, ctypes.c_uint32(0xFFFFFFFF)) != 0:
            reason = library.pcap_geterr(handle).decode(errors="replace")
            raise UsageError(f"--filter {text!r}: {reason.strip()}")
        data = ctypes.string_at(result.instructions, result.length * 8)
        library.pcap_freecode(ctypes.byref(result))
    finally:
        library.pcap_close(handle)
    return [Instruction(*fields) for fields in struct.iter_unpack("=HBBI", data)]


def _by_tcpdump(path: str, text: str, link: int, snaplen: int) -> list[Instruction]:
    arguments = [path, "-ddd", "-s", str(snaplen), "-y", _TCPDUMP_NAMES[link], "--", text]
    try:
        done = subprocess.run(arguments, check=False, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailure(f"--filter: cannot run {path}: {error}") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().rpartition("tcpdump: ")[2]
        raise UsageError(f"--filter {text!r}: {reason}")
    lines = done.stdout.split(b"\n")
    return [Instruction(*(int(number) for number in line.split())) for line in lines[1:] if line]


def _from_network_header(one: Instruction) -> Instruction:
    """The same instruction counting from the network header, if it reads from the packet."""
    reads = one.code & 7 in (_LD, _LDX) and one.code & 0xE0 in (_ABSOLUTE, _INDIRECT, _HEADER_LENGTH)
    return one._replace(k=one.k + _NETWORK) if reads and one.k < _NETWORK else one


def attachable(instructions: bytes) -> tuple[bytes, Sequence[object]]:
    """struct sock_fprog for SO_ATTACH_FILTER, and what must live until it was handed over."""
    memory = ctypes.create_string_buffer(instructions, len(instructions))
    return struct.pack("@HP", len(instructions) // 8, ctypes.addressof(memory)), (memory,)
