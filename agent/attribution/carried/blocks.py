r"""The blocks of a pcapng file that name processes, read one by one.

Knows: Process Information Blocks in Wireshark's custom block (wiretap/pcapng-wireshark-custom.c), Apple's process block
(pcapng-darwin-custom.c), Hone's events (hone-pcapng.txt), and what a section header says of its writer. Must not know:
which packet means which process. A block that cannot be read is None, a wrong option is as if it were not there.

    read_process_block(0x00000BAD, body, big_endian=False)      # Process(pid=1234, path='/usr/bin/curl', ...)
"""

from __future__ import annotations

from typing import NamedTuple

from agent.attribution.carried.options import COMMENT, read_options

WIRESHARK_BLOCKS = frozenset({0x00000BAD, 0x40000BAD})
WIRESHARK, PROCESS_ENTRY = 32622, 3
APPLE_BLOCK, HONE_PROCESS_BLOCK, HONE_CONNECTION_BLOCK = 0x80000001, 0x101, 0x102
_ENDED = 0xFFFFFFFF
_MAX_TEXT = 32 << 10
"""Bytes of a path: Windows' longest."""
MAX_ARGUMENTS = 4096
"""Bytes kept of a command line."""
_APPLICATION, _MACHINE = 4, 257
_SECTION_FIXED = 16


class Process(NamedTuple):
    """What one block says of one process; None: nothing."""

    pid: int
    name: str | None = None
    """Of its executable without folders; cut at 15 characters by most systems."""
    path: str | None = None
    command_line: str | None = None
    user: str | None = None
    uuid: bytes | None = None
    """Of its executable, as the linker wrote it."""
    started: int | None = None
    """Nanoseconds since 1970."""
    ended: bool = False
    """Hone: the event is the process's end."""
    comments: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """It says more than a pid."""
        return self.name is not None or self.path is not None


class Connection(NamedTuple):
    """Hone: a connection was opened or closed by a process."""

    number: int
    pid: int
    closed: bool


class Section(NamedTuple):
    """What a section header says of who wrote the section."""

    application: str = ""
    machine: bytes | None = None
    """Hone: the GUID of the machine."""


def read_section(body: bytes, *, big_endian: bool) -> Section:
    """The body of a section header block."""
    application, machine = "", None
    for code, value in read_options(body[_SECTION_FIXED:], big_endian=big_endian):
        if code == _APPLICATION and not application:
            application = _text(value) or ""
        elif code == _MACHINE and len(value) == 16:
            machine = value
    return Section(application, machine)


def read_process_block(kind: int, body: bytes, *, big_endian: bool) -> Process | Connection | None:
    """The body of a block of that type: what stands between its two lengths."""
    if kind in WIRESHARK_BLOCKS:
        return _wireshark(body, big_endian)
    if kind == APPLE_BLOCK:
        return _apple(body, big_endian)
    if kind == HONE_PROCESS_BLOCK:
        return _hone_process(body, big_endian)
    if kind == HONE_CONNECTION_BLOCK:
        return _hone_connection(body, big_endian)
    return None


def _wireshark(body: bytes, big_endian: bool) -> Process | None:
    """The number is in the section's byte order, as are options behind the entry; the entry is little-endian."""
    if len(body) < 16 or _word(body, 0, big_endian) != WIRESHARK or _word(body, 4, False) != PROCESS_ENTRY:
        return None
    size = _word(body, 8, False)
    entry = body[12 : 12 + size]
    if size < 4 or len(entry) < size:
        return None
    values: dict[int, bytes] = {}
    comments = []
    for code, value in read_options(entry[4:], big_endian=False):
        if code == COMMENT:
            comments.append(value.decode(errors="replace"))
        else:
            values.setdefault(code, value)
    started = values.get(9, b"")
    uuid = values.get(8, b"")
    return Process(
        pid=_word(entry, 0, False),
        name=_text(values.get(2)),
        path=_text(values.get(3)),
        command_line=_joined(values.get(4)),
        user=_text(values.get(7)) or _user_id(values.get(6), False),
        uuid=uuid if len(uuid) == 16 else None,
        started=int.from_bytes(started, "little") if len(started) == 8 else None,
        comments=tuple(comments),
    )


def _apple(body: bytes, big_endian: bool) -> Process | None:
    if len(body) < 4:
        return None
    values = _first(body[4:], big_endian)
    uuid = values.get(4, b"")
    return Process(
        pid=_word(body, 0, big_endian),
        name=_text(values.get(2)),
        path=_text(values.get(3)),
        uuid=uuid if len(uuid) == 16 else None,
    )


def _hone_process(body: bytes, big_endian: bool) -> Process | None:
    """Path and arguments may be spread over several options, to be put together again.

    Its time is when the process began to run that program, not when it was created: the place in the file tells more.
    """
    if len(body) < 12:
        return None
    values: dict[int, bytes] = {}
    for code, value in read_options(body[12:], big_endian=big_endian):
        if code in (3, 4):
            values[code] = values.get(code, b"") + value
        else:
            values.setdefault(code, value)
    state = values.get(2, b"")
    return Process(
        pid=_word(body, 0, big_endian),
        path=_text(values.get(3)),
        command_line=_joined(values.get(4)),
        user=_text(values.get(8)) or _user_id(values.get(6), big_endian),
        ended=len(state) == 4 and int.from_bytes(state, "big") == _ENDED,
    )


def _hone_connection(body: bytes, big_endian: bool) -> Connection | None:
    """Google's variant, with a wider connection id, is told by what would be its time."""
    if len(body) < 16:
        return None
    state = _first(body[16:], big_endian).get(2, b"")
    return Connection(_word(body, 0, big_endian), _word(body, 4, big_endian), state == b"\xff" * 4)


def _first(options: bytes, big_endian: bool) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    for code, value in read_options(options, big_endian=big_endian):
        values.setdefault(code, value)
    return values


def _word(data: bytes, at: int, big_endian: bool) -> int:
    return int.from_bytes(data[at : at + 4], "big" if big_endian else "little")


def _text(value: bytes | None) -> str | None:
    """A string option, with or without the zero that some end theirs with; None for an empty or absurdly long one."""
    if value is None:
        return None
    bare = value.split(b"\0", 1)[0]
    return bare.decode(errors="replace") or None if len(bare) <= _MAX_TEXT else None


def _joined(value: bytes | None) -> str | None:
    """Arguments as one line, each that has a blank inside quotes."""
    if not value:
        return None
    arguments = value[:MAX_ARGUMENTS].rstrip(b"\0").decode(errors="replace").split("\0")
    return " ".join(f'"{argument}"' if " " in argument else argument for argument in arguments) or None


def _user_id(value: bytes | None, big_endian: bool) -> str | None:
    return str(_word(value, 0, big_endian)) if value is not None and len(value) == 4 else None
