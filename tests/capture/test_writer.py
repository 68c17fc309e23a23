"""The pcapng writer: read back by our reader, by scapy and by tshark, and what happens when it cannot write."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader

from agent.capture.batch import INBOUND, OUTBOUND, Interface
from agent.capture.links import ETHERNET, RAW, SLL2
from agent.capture.reader import open_capture
from agent.capture.writer import PcapngWriter
from agent.model.address import parse_address
from agent.model.errors import EnvironmentFailure
from tests.capture.crafted import FRAME, SECOND, START, Outcome, drain

NOW = START * SECOND + 123_456_789


def written(path: Path) -> Outcome:
    return drain(open_capture(str(path)))


def test_each_link_type_gets_an_interface_as_it_appears(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    for link in (ETHERNET, SLL2, ETHERNET, RAW):
        writer.write(NOW, link, FRAME, 1500, "verdict=allow")
    writer.close()
    outcome = written(path)
    assert [(packet.link, packet.interface) for packet in outcome.packets] == [(1, 0), (276, 1), (1, 0), (101, 2)]
    assert outcome.interfaces == [Interface(link_type=link) for link in (ETHERNET, SLL2, RAW)]
    assert {(packet.time, packet.frame, packet.original) for packet in outcome.packets} == {(NOW, FRAME, 1500)}


@given(
    time=st.integers(0, (1 << 64) - 1),
    frame=st.binary(max_size=70),
    more=st.integers(0, 2000),
    comment=st.text(max_size=30),
    direction=st.sampled_from([0, INBOUND, OUTBOUND]),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, time: int, frame: bytes, more: int, comment: str, direction: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "out.pcapng"
    writer = PcapngWriter(str(path))
    for _ in range(2):
        writer.write(time, 113, memoryview(frame), len(frame) + more, comment, direction)
    writer.close()
    outcome = written(path)
    assert outcome.errors == []
    assert not outcome.truncated
    for packet in outcome.packets:
        assert (packet.time, packet.frame, packet.original) == (time, frame, len(frame) + more)
        assert (packet.link, packet.direction) == (113, direction)
        assert (comment.encode(errors="replace") in packet.options) or not comment
    assert len(outcome.packets) == 2


def test_scapy_reads_comment_and_direction(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    writer.write(NOW, ETHERNET, FRAME, 60, "verdict=deny reason=full_isolation flow=17", OUTBOUND)
    writer.write(NOW, ETHERNET, FRAME, 60, "", 0)
    writer.close()
    with closing(RawPcapNgReader(str(path))) as reader:
        (first, one), (second, two) = reader
    assert first == second == FRAME
    if hasattr(one, "comments"):  # scapy 2.5 reads neither
        assert one.comments == [b"verdict=deny reason=full_isolation flow=17"]
        assert (one.direction, two.direction) == (OUTBOUND, None)
    assert ((one.tshigh << 32) + one.tslow, one.tsresol) == (NOW, 10**9)


def test_tshark_reads_every_field(tmp_path: Path, tshark: str) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    writer.add_interface(ETHERNET, name="eth0", addresses=[parse_address("10.0.0.5"), parse_address("2001:db8::5")])
    writer.write(NOW, ETHERNET, FRAME, 99, "verdict=allow reason=exclusion rules=Remote support", INBOUND)
    writer.write(NOW, SLL2, FRAME, 60, "verdict=deny")
    writer.close()
    names = ("time_epoch", "len", "cap_len", "comment", "interface_name", "packet_flags_direction")
    fields = [part for name in names for part in ("-e", f"frame.{name}")]
    done = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", *fields], capture_output=True, text=True, check=True
    )
    first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert first[:5] == [
        "1767603600.123456789",
        "99",
        "60",
        "verdict=allow reason=exclusion rules=Remote support",
        "eth0",
    ]
    assert int(first[5], 16) == INBOUND
    assert second[1:4] == ["60", "60", "verdict=deny"]


def test_every_packet_gets_its_own_comment(tmp_path: Path) -> None:
    """However many there are, in turn: what the writer remembers of comments is bounded."""
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    flows = [flow for flow in range(3000) for _ in range(2)] + list(range(0, 3000, 7))
    for flow in flows:
        writer.write(NOW, ETHERNET, FRAME, 60, f"flow={flow:04}", 1 + flow % 2)
    writer.close()
    outcome = written(path)
    assert [packet.options[4:13] for packet in outcome.packets] == [f"flow={flow:04}".encode() for flow in flows]
    assert [packet.direction for packet in outcome.packets] == [1 + flow % 2 for flow in flows]


def test_the_file_says_who_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    PcapngWriter(str(path)).close()
    assert b"isolation-agent" in path.read_bytes()
    assert written(path).packets == []


def test_declared_interfaces_keep_names_and_addresses(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    addresses = (parse_address("10.0.0.5"), parse_address("fe80::5"))
    writer = PcapngWriter(str(path))
    assert writer.add_interface(ETHERNET, name="Ethernet", addresses=addresses) == 0
    assert writer.add_interface(ETHERNET, name="Wi-Fi") == 1
    writer.write(NOW, ETHERNET, FRAME, 60, "")
    writer.write(NOW, ETHERNET, FRAME, 60, "", interface=1)
    writer.close()
    outcome = written(path)
    assert outcome.interfaces == [
        Interface(link_type=1, name="Ethernet", addresses=addresses),
        Interface(link_type=1, name="Wi-Fi"),
    ]
    assert [packet.interface for packet in outcome.packets] == [0, 1]


def test_a_comment_longer_than_an_option_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    writer.write(NOW, ETHERNET, FRAME, 60, "x" * 100_000, OUTBOUND)
    writer.close()
    (packet,) = written(path).packets
    assert packet.direction == OUTBOUND
    assert packet.options.count(b"x") > 65_000


def test_the_longest_frame_a_reader_gives_can_be_written_and_read_again(tmp_path: Path) -> None:
    """Its block, with the longest comment, is still one that is believed. The interface has no snap length."""
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    writer.write(NOW, ETHERNET, bytes(262_144), 262_144, "x" * 70_000)
    writer.close()
    assert [len(frame) for frame in written(path).frames] == [262_144]


def test_the_name_appears_only_when_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    path.write_text("what was there before")
    writer = PcapngWriter(str(path))
    for _ in range(5000):
        writer.write(NOW, ETHERNET, FRAME, 60, "verdict=deny")
    assert path.read_text() == "what was there before"
    assert (tmp_path / "out.pcapng.partial").stat().st_size > 0
    writer.close()
    writer.close()
    assert len(written(path).packets) == 5000
    assert sorted(tmp_path.iterdir()) == [path]


def test_abandoning_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path))
    writer.write(NOW, ETHERNET, FRAME, 60, "")
    writer.abandon()
    writer.abandon()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_abandoning_after_closing_keeps_the_file(tmp_path: Path) -> None:
    writer = PcapngWriter(str(tmp_path / "out.pcapng"))
    writer.close()
    writer.abandon()
    assert (tmp_path / "out.pcapng").exists()


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.pcapng")
    PcapngWriter(str(tmp_path / "link")).close()
    assert (tmp_path / "link").is_symlink()
    assert written(tmp_path / "real.pcapng").packets == []


def test_a_device_is_written_as_it_stands() -> None:
    """Renaming over it would remove it."""
    writer = PcapngWriter(os.devnull)
    writer.write(NOW, ETHERNET, FRAME, 60, "")
    writer.close()
    assert not Path(os.devnull).is_file()
    assert not Path(os.devnull + ".partial").exists()


@pytest.mark.parametrize("name", ["absent/out.pcapng", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EnvironmentFailure) as caught:
        PcapngWriter(f"{tmp_path}/{name}")
    assert str(caught.value).startswith(f"{tmp_path}/{name}: cannot write: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_environment_failure_that_names_the_file() -> None:
    writer = PcapngWriter("/dev/full")
    writer.write(NOW, ETHERNET, FRAME, 60, "")
    with pytest.raises(EnvironmentFailure, match="/dev/full: cannot write: No space left"):
        writer.close()
    writer.abandon()


def test_a_lost_folder_is_an_environment_failure_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    writer = PcapngWriter(str(tmp_path / "gone" / "out.pcapng"))
    os.unlink(tmp_path / "gone" / "out.pcapng.partial")
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        writer.close()
