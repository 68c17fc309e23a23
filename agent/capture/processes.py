r"""Process Information Blocks as they are written: which process had a pid while packets of it were captured.

Knows: the body of the block and Wireshark's custom block around it (wiretap/pcapng-wireshark-custom.c). Must not know:
packets, whose process it is. Reading them back is attribution's matter.

    writer.process(ProcessInformation(pid=812, path="/usr/sbin/sshd", starttime=1_767_603_600_000_000_000))

The block has no field for services and containers: they stand in comments, `services=ssh.service` and `container=web`,
which only this agent writes and which are believed only in a section that it wrote.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from agent.capture.elements import END_OF_OPTIONS, LONGEST_VALUE, block, option, text

CUSTOM_BLOCK = 0x00000BAD
"""A custom block that may be copied to other files."""
WIRESHARK = 32622
"""Its private enterprise number."""
PROCESS_ENTRY = 3

COMMENT, NAME, PATH, COMMAND_LINE, PARENT, USER_ID, USER, _UUID, START_TIME = range(1, 10)
_MAX32, _MAX64 = (1 << 32) - 1, (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInformation:
    """What is known of one process; None: nothing. A name or path too long for the block is left out, never cut."""

    pid: int
    name: str | None = None
    path: str | None = None
    """Of its executable, absolute."""
    cmdline: tuple[str, ...] | None = None
    """Argument by argument."""
    ppid: int | None = None
    uid: int | None = None
    user: str | None = None
    starttime: int | None = None
    """Nanoseconds since 1970: with the pid the one process it is."""
    services: tuple[str, ...] | None = None
    """Those it hosts; () = known to be none."""
    container: str | None = None
    comment: str | None = None
    """For people. One that looks like the comments with services or container is written with a blank before it."""


def process_block(process: ProcessInformation) -> bytes:
    """The whole block, for a little-endian section."""
    entry = struct.pack("<I", process.pid & _MAX32) + _options(process)
    head = struct.pack("<III", WIRESHARK, PROCESS_ENTRY, len(entry))
    return block(CUSTOM_BLOCK, head + entry + bytes(-len(entry) % 4))


def _options(process: ProcessInformation) -> bytes:
    encoded = b""
    for code, value in ((NAME, process.name), (PATH, process.path)):
        if value and len(text(value)) < LONGEST_VALUE:
            encoded += option(code, text(value))
    if process.cmdline:
        encoded += option(COMMAND_LINE, text("\0".join(process.cmdline)))
    for code, number in ((PARENT, process.ppid), (USER_ID, process.uid)):
        if number is not None and 0 <= number <= _MAX32:
            encoded += option(code, struct.pack("<I", number))
    if process.user and len(text(process.user)) < LONGEST_VALUE:
        encoded += option(USER, text(process.user))
    if process.starttime is not None and 0 <= process.starttime <= _MAX64:
        encoded += option(START_TIME, struct.pack("<Q", process.starttime))
    for comment in _comments(process):
        encoded += option(COMMENT, text(comment))
    return encoded + END_OF_OPTIONS


def _comments(process: ProcessInformation) -> list[str]:
    comments = []
    if process.services is not None:
        comments.append("services=" + ",".join(_escaped(name) for name in process.services))
    if process.container is not None:
        comments.append("container=" + process.container)
    if process.comment:
        reserved = process.comment.startswith(("services=", "container="))
        comments.append(" " + process.comment if reserved else process.comment)
    return [comment for comment in comments if len(text(comment)) < LONGEST_VALUE]


def _escaped(name: str) -> str:
    """A service's name in a list with commas: no other name may come of it."""
    return name.replace("%", "%25").replace(",", "%2C")
