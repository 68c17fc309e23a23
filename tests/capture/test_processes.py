"""Process Information Blocks as they are written: byte for byte what Wireshark's generator makes, and in order."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from agent.capture.elements import LONGEST_VALUE
from agent.capture.links import ETHERNET
from agent.capture.processes import ProcessInformation, process_block
from agent.capture.writer import PcapngWriter
from tests.capture.crafted import FRAME, SECOND, START, block, option

NOW = START * SECOND
END = bytes(4)
CURL = ProcessInformation(
    pid=1234,
    name="curl",
    path="/usr/bin/curl",
    cmdline=("curl", "https://example.com/"),
    ppid=1,
    uid=1000,
    user="alice",
    starttime=1_767_225_600_000_000_000,
    comment="first process",
)


def custom(entry: bytes) -> bytes:
    """As wireshark/wireshark: test/captures/_gen_process_info_blocks.py builds it."""
    return block(0xBAD, struct.pack("<III", 32622, 3, len(entry)) + entry + bytes(-len(entry) % 4))


def test_every_field_stands_where_wireshark_reads_it() -> None:
    entry = struct.pack("<I", 1234)
    entry += option(2, b"curl") + option(3, b"/usr/bin/curl") + option(4, b"curl\0https://example.com/")
    entry += option(5, struct.pack("<I", 1)) + option(6, struct.pack("<I", 1000)) + option(7, b"alice")
    entry += option(9, struct.pack("<Q", 1_767_225_600_000_000_000)) + option(1, b"first process") + END
    assert process_block(CURL) == custom(entry)


def test_what_is_unknown_is_not_written() -> None:
    assert process_block(ProcessInformation(pid=4321)) == custom(struct.pack("<I", 4321) + END)


@pytest.mark.parametrize(
    ("process", "comments"),
    [
        pytest.param(ProcessInformation(pid=1, services=()), [b"services="], id="no services"),
        pytest.param(ProcessInformation(pid=1, services=("a", "b")), [b"services=a,b"], id="services"),
        pytest.param(ProcessInformation(pid=1, services=("a,b%",)), [b"services=a%2Cb%25"], id="a comma in a name"),
        pytest.param(ProcessInformation(pid=1, container="web"), [b"container=web"], id="container"),
        pytest.param(
            ProcessInformation(pid=1, services=("a",), comment="services=b"),
            [b"services=a", b" services=b"],
            id="a comment that looks like services is none",
        ),
    ],
)
def test_services_and_container_are_comments(process: ProcessInformation, comments: list[bytes]) -> None:
    entry = struct.pack("<I", 1) + b"".join(option(1, comment) for comment in comments) + END
    assert process_block(process) == custom(entry)


def test_a_path_that_is_no_text_keeps_its_bytes() -> None:
    path = b"/opt/caf\xe9".decode(errors="surrogateescape")
    assert process_block(ProcessInformation(pid=1, path=path)) == custom(
        struct.pack("<I", 1) + option(3, b"/opt/caf\xe9") + END
    )


def test_a_path_too_long_for_an_option_is_left_out_and_never_another() -> None:
    path = "/" + "x" * LONGEST_VALUE
    assert process_block(ProcessInformation(pid=1, path=path)) == custom(struct.pack("<I", 1) + END)


def test_a_process_is_written_once_and_again_when_it_became_another(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    successor = ProcessInformation(pid=1234, path="/usr/bin/wget")
    for process in (CURL, CURL, successor, successor, ProcessInformation(pid=1)):
        writer.process(process)
        writer.write(NOW, ETHERNET, FRAME, 60, direction_flag=2, process_id=process.pid, thread_id=7)
    writer.close()
    content = path.read_bytes()
    assert content.count(struct.pack("<I", 0xBAD)) == 3
    assert content.index(process_block(CURL)) < content.index(process_block(successor))
    # Flags, then the process of the packet.
    assert content.count(option(2, struct.pack("<I", 2)) + option(8, struct.pack("<II", 1234, 7)) + END) == 4


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark")
def test_tshark_reads_every_packet_without_complaint(tmp_path: Path) -> None:
    """One too old for the block shows it as a record of its own."""
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    for _ in range(3):
        writer.process(CURL)
        writer.write(NOW, ETHERNET, FRAME, 60, process_id=1234)
    writer.close()
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.len", "-Y", "frame.interface_id == 0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["60", "60", "60"]
    assert "damaged" not in run.stderr
    assert "isn't a capture" not in run.stderr
