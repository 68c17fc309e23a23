"""The scanner itself: places and words, room and interruptions, and that compiling it changes nothing."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture import scan
from agent.capture.batch import RECORD_WORDS
from agent.capture.reader import open_capture
from agent.model.errors import CaptureError
from tests.capture.crafted import (
    CRAFTED,
    FRAME,
    SECOND,
    START,
    drain,
    interface,
    option,
    packet,
    pcap_header,
    read,
    record,
    section,
)

PCAP = pcap_header() + record() + record(b"xyz", original=9) + record(b"")

READ_ALL = """
import json, sys
from pathlib import Path
from agent.capture.reader import open_capture
from agent.capture import scan
assert scan.__file__.endswith(".py"), scan.__file__
sys.path.append(sys.argv[1])
from tests.capture.test_scan import report
print(json.dumps([report(path) for path in sorted(Path(sys.argv[2]).iterdir())]))
"""


def report(path: Path) -> list[object]:
    """All that reading a file gives, as plain values."""
    try:
        outcome = drain(open_capture(str(path)))
    except CaptureError as error:
        return [str(error)]
    return [outcome.words.hex(), repr(outcome.packets), repr(outcome.interfaces), outcome.truncated, outcome.errors]


def pcap_scanner() -> scan.PcapScanner:
    return scan.PcapScanner(False, 1000, 16, 1, 0, 262_144)


def room(records: int) -> array[int]:
    return array("Q", bytes(8 * RECORD_WORDS * records))


def test_words_of_a_pcap_record() -> None:
    scanner, words = pcap_scanner(), room(3)
    assert scanner.scan(PCAP, 24, len(PCAP), words, 0) == 3
    assert scanner.position == len(PCAP)
    assert list(words[5:10]) == [START * SECOND, 24 + 76 + 16, 3 << 32 | 9, 1, 0]


def test_a_full_array_stops_the_scan_where_the_next_goes_on() -> None:
    scanner, words = pcap_scanner(), room(2)
    assert scanner.scan(PCAP, 24, len(PCAP), words, 0) == 2
    assert scanner.stop == scan.FULL
    assert scanner.scan(PCAP, scanner.position, len(PCAP), words, 0) == 1
    assert (scanner.stop, scanner.position) == (scan.MORE, len(PCAP))


def test_records_are_added_behind_those_there_are() -> None:
    scanner, words = pcap_scanner(), room(3)
    words[0] = 77
    assert scanner.scan(PCAP, 24, 100, words, 1) == 2
    assert (words[0], words[5]) == (77, START * SECOND)


def test_an_unfinished_record_says_how_much_it_needs() -> None:
    scanner = pcap_scanner()
    assert scanner.scan(PCAP, 24, 30, room(1), 0) == 0
    assert (scanner.stop, scanner.need) == (scan.MORE, 16)
    assert scanner.scan(PCAP, 24, 45, room(1), 0) == 0
    assert (scanner.stop, scanner.need, scanner.position) == (scan.MORE, 76, 24)


@pytest.mark.parametrize(("at", "end", "count"), [(-1, 4, 0), (0, 401, 0), (0, 400, -1)], ids=str)
def test_a_scan_outside_the_buffer_is_refused(at: int, end: int, count: int) -> None:
    for scanner in (pcap_scanner(), scan.PcapngScanner()):
        with pytest.raises(ValueError, match="cannot scan"):
            scanner.scan(bytes(400), at, end, room(1), count)


def test_the_scanner_of_pcapng_comes_back_for_declarations() -> None:
    content = section() + interface() + packet()
    scanner, words = scan.PcapngScanner(), room(4)
    assert scanner.scan(content, 0, len(content), words, 0) == 0
    assert (scanner.stop, scanner.position, scanner.need) == (scan.SECTION, 0, 28)
    scanner.begin_section(False, True)
    assert scanner.scan(content, 28, len(content), words, 0) == 0
    assert (scanner.stop, scanner.position, scanner.need) == (scan.INTERFACE, 28, 20)
    scanner.add_interface(7, 6, 0, 0, 0, 262_144)
    assert scanner.scan(content, 48, len(content), words, 0) == 1
    assert list(words[:5]) == [START * SECOND, 48 + 28, 60 << 32 | 60, 7, 0]


def test_place_of_the_packet_options() -> None:
    content = packet(FRAME[:5], options=option(1, b"hi"))
    scanner, words = scan.PcapngScanner(), room(1)
    scanner.begin_section(False, True)
    scanner.add_interface(1, 6, 0, 0, 0, 262_144)
    assert scanner.scan(content, 0, len(content), words, 0) == 1
    assert words[4] == (28 + 8) << 32 | 8


RESOLUTIONS = st.one_of(st.integers(0, 45), st.integers(128, 255))
OFFSETS = st.one_of(st.just(0), st.integers(-(10**10), 10**10), st.integers(-(1 << 63), (1 << 63) - 1))


@given(resolution=RESOLUTIONS, offset=OFFSETS, bits=st.integers(1, 64), data=st.data())
def test_times_are_exact_for_any_resolution_and_offset(
    resolution: int, offset: int, bits: int, data: st.DataObject
) -> None:
    """What 64-bit arithmetic gives is what unbounded integers give, clamped."""
    units = 1 << resolution - 128 if resolution >= 128 else 10**resolution
    near = min(max(-offset * units, 0), (1 << 64) - 1)
    stamp = data.draw(st.one_of(st.integers(0, (1 << bits) - 1), st.integers(near, min(near + 2000, (1 << 64) - 1))))
    content = packet(b"", stamp=stamp)
    scanner, words = scan.PcapngScanner(), room(1)
    scanner.begin_section(False, True)
    scanner.add_interface(1, resolution, offset, 0, 0, 262_144)
    assert scanner.scan(content, 0, len(content), words, 0) == 1
    assert words[0] == min(max(stamp * SECOND // units + offset * SECOND, 0), (1 << 64) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CRAFTED)
@given(steps=st.lists(st.integers(1, 90), min_size=1, max_size=8))
def test_pieces_give_the_same_packets_as_the_whole(name: str, steps: list[int]) -> None:
    """Wherever the bytes end for now: each gzip member is a piece of its own."""
    content, at, pieces = CRAFTED[name], 0, b""
    for step in itertools.cycle(steps):
        pieces += gzip.compress(content[at : at + step], compresslevel=0)
        at += step
        if at >= len(content):
            break
    with tempfile.TemporaryDirectory() as folder:
        whole, split = read(Path(folder), content), read(Path(folder), pieces)
    assert split.packets == whole.packets
    assert (split.interfaces, split.errors, split.truncated) == (whole.interfaces, whole.errors, whole.truncated)


def mutated(content: bytes, dice: random.Random) -> bytes:
    """A capture with a few bytes changed, lost or repeated."""
    damaged = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(damaged))
        match dice.randrange(4):
            case 0:
                damaged[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            case 1:
                del damaged[place : place + dice.choice((1, 4, 16))]
            case 2:
                damaged[place:place] = damaged[place : place + dice.choice((1, 4, 32))]
            case _:
                place &= ~3
                damaged[place : place + 4] = dice.choice((b"\xff\xff\xff\xff", bytes(4), b"\x00\x00\x00\x80"))
        if not damaged:
            break
    return bytes(damaged)


def test_compiled_equals_interpreted_byte_for_byte(root: Path, interpreted_tree: Path, tmp_path: Path) -> None:
    """On every crafted capture and 600 damaged ones: words, packets, interfaces, errors."""
    if scan.__file__.endswith(".py"):
        pytest.skip("agent.capture.scan is not compiled here")
    dice = random.Random(5)
    for index, (name, content) in enumerate(CRAFTED.items()):
        (tmp_path / f"{index:02}-{name}").write_bytes(content)
    for index in range(600):
        (tmp_path / f"damaged-{index:03}").write_bytes(mutated(dice.choice(list(CRAFTED.values())), dice))
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(root), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(interpreted_tree)},
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    interpreted = json.loads(done.stdout)
    compiled = [report(path) for path in sorted(tmp_path.iterdir())]
    assert interpreted == compiled
    assert sum(len(result) > 1 for result in compiled) > 300, "most of them are still captures"
