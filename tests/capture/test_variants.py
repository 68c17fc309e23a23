"""Record formats of pcap that its magic number does not tell apart, and lengths in the order of old versions."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.capture.reader import open_capture
from agent.model.errors import CaptureError
from tests.capture.crafted import FRAME, SECOND, START, drain, pcap_header, read, record

STANDARD, MODIFIED = 0xA1B2C3D4, 0xA1B2CD34
Told = list[tuple[int | None, bytes, int]]
ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])


def version(major: int, minor: int, order: str = "<") -> bytes:
    """A file header of this version."""
    return struct.pack(order + "IHHiIII", STANDARD, major, minor, 0, 0, 65_535, 1)


def exchanged(captured: int, original: int, order: str = "<") -> bytes:
    """A record as versions before 2.3 wrote it: the original length first."""
    return struct.pack(order + "IIII", START, 0, original, captured) + FRAME[:captured]


def told(path: Path) -> Told:
    """Time, frame and original length of each packet of a capture without faults."""
    outcome = drain(open_capture(str(path)))
    assert (outcome.errors, outcome.truncated) == ([], False)
    return [(packet.time, packet.frame, packet.original) for packet in outcome.packets]


@ORDERS
@pytest.mark.parametrize(("magic", "extra"), [(STANDARD, 8), (STANDARD, 4), (MODIFIED, 8), (MODIFIED, 12)], ids=str)
@pytest.mark.parametrize("fraction", [0, 66, 999_999], ids=str)
def test_longer_record_headers_are_told_by_where_they_lead(
    tmp_path: Path, order: str, magic: int, extra: int, fraction: int
) -> None:
    """Red Hat 6.1, Nokia, the modified format, SuSE 6.3."""
    more = bytes(range(1, extra + 1))
    content = pcap_header(magic=magic, order=order)
    content += b"".join(record(FRAME[:size], order=order, fraction=fraction, extra=more) for size in (60, 42, 33))
    outcome = read(tmp_path, content)
    assert outcome.frames == [FRAME, FRAME[:42], FRAME[:33]]
    assert outcome.times == [START * SECOND + fraction * 1000] * 3
    assert outcome.errors == []


@pytest.mark.parametrize("magic", [STANDARD, MODIFIED], ids=hex)
@pytest.mark.parametrize("records", [0, 1, 2, 40])
def test_a_record_format_is_the_one_its_magic_says_unless_another_fits_better(
    tmp_path: Path, magic: int, records: int
) -> None:
    extra = bytes(8) if magic == MODIFIED else b""
    content = pcap_header(magic=magic) + record(extra=extra) * records
    assert read(tmp_path, content).frames == [FRAME] * records
    lying = read(tmp_path, content + record(captured=1 << 30, extra=extra))
    assert lying.frames == [FRAME] * records, "a lie is no evidence for another format"
    assert len(lying.errors) == 1
    odd = record(fraction=SECOND, original=4, extra=extra)
    assert len(read(tmp_path, content + odd).frames) == records + 1, "nor is an odd record"


def test_nanoseconds_have_one_record_format(tmp_path: Path) -> None:
    content = pcap_header(magic=0xA1B23C4D) + record(extra=bytes(8)) * 3
    assert read(tmp_path, content).frames != [FRAME] * 3


@ORDERS
@pytest.mark.parametrize(("major", "minor"), [(2, 0), (2, 2), (543, 0)], ids=str)
def test_old_versions_exchange_the_lengths(tmp_path: Path, order: str, major: int, minor: int) -> None:
    """libpcap, sf-pcap.c: interchanged at version 2.3, and in the 543.0 of DG/UX."""
    outcome = read(tmp_path, version(major, minor, order) + exchanged(21, 1500, order) + exchanged(60, 60, order))
    assert [(packet.frame, packet.original) for packet in outcome.packets] == [(FRAME[:21], 1500), (FRAME, 60)]


def test_version_2_3_exchanges_them_where_more_was_captured_than_there_was(tmp_path: Path) -> None:
    """Some files said 2.3 and were not."""
    outcome = read(tmp_path, version(2, 3) + exchanged(21, 1500) + record(FRAME[:21], original=1500))
    assert [(len(packet.frame), packet.original) for packet in outcome.packets] == [(21, 1500)] * 2


@pytest.mark.parametrize(("major", "minor"), [(1, 4), (3, 0), (543, 1), (0, 0)], ids=str)
def test_other_versions_are_refused_with_what_is_known(tmp_path: Path, major: int, minor: int) -> None:
    with pytest.raises(CaptureError, match=rf"at byte 4: pcap version {major}\.{minor} is not known, only version 2"):
        read(tmp_path, version(major, minor) + record())


@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "modpcap", "rh6_1pcap", "suse6_3pcap", "nokiapcap", "pcapng"])
def test_what_editcap_writes_is_the_same_in_every_format(
    sample_capture: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    editcap = shutil.which("editcap")
    if editcap is None:
        pytest.skip("editcap absent")
    original = sample_capture("otrf-empire-psexec-ws6.cap")
    made = tmp_path / "made"
    subprocess.run([editcap, "-F", kind, str(original), str(made)], check=True, capture_output=True)
    assert told(made) == told(original)
