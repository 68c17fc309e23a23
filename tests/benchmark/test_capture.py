"""scripts/bench-capture: the captures and documents that speed is measured on."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmark.shapes import CONSTANT, Shape, refusal

from agent.capture.reader import open_capture
from agent.policy.document import load_device, load_rules

ROOT = Path(__file__).resolve().parent.parent.parent


def bench_capture(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/bench-capture"), f"--root={root}", *options]
    return subprocess.run(command, capture_output=True, text=True)


def made(root: Path, *options: str) -> Path:
    """The folder of a capture of 600 packets in 20 flows, or as the options say."""
    done = bench_capture(root, "--packets=600", "--flows=20", *options)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def frames(folder: Path) -> list[tuple[int, bytes]]:
    """(time, frame) of each packet."""
    found = []
    with open_capture(str(folder / "traffic.pcap")) as reader:
        while (batch := reader.next_batch()) is not None:
            found += [(batch.time(number), bytes(batch.frame(number))) for number in range(batch.count)]
        assert not reader.errors
        assert not reader.truncated_tail
    return found


def flow(frame: bytes) -> frozenset[tuple[bytes, bytes]]:
    """Both ends of a frame's flow; addresses and ports lie where Ethernet without options puts them."""
    size, at = (4, 26) if frame[12:14] == b"\x08\x00" else (16, 22)
    ports = at + 2 * size
    source = frame[at : at + size], frame[ports : ports + 2]
    destination = frame[at + size : at + 2 * size], frame[ports + 2 : ports + 4]
    return frozenset((source, destination))


def test_the_same_shape_gives_the_same_bytes_as_ever(tmp_path: Path) -> None:
    """Numbers of different days are of one capture: who changes its bytes changes the shape's version, too."""
    one, other = (made(tmp_path / name, "--flow-size=zipf") for name in ("one", "other"))
    for name in ("traffic.pcap", "rules.yaml", "device.yaml", "sockets.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    digest = hashlib.sha256((one / "traffic.pcap").read_bytes()).hexdigest()
    assert (one.parent.name, digest[:16]) == ("600-packets-20-flows-zipf-1-v3", "2f2df617d10a5baa")


def test_flows_of_a_constant_size_have_exactly_that_many_packets(tmp_path: Path) -> None:
    """What 30 M packets in 1 M flows are made of."""
    packets = frames(made(tmp_path, "--flow-size=constant"))
    assert Counter(Counter(flow(frame) for _, frame in packets).values()) == {30: 20}


def test_zipf_flows_add_up_and_differ(tmp_path: Path) -> None:
    """All packets and flows are there, the largest flow beside many small ones."""
    packets = frames(made(tmp_path, "--flow-size=zipf"))
    sizes = sorted(Counter(flow(frame) for _, frame in packets).values())
    assert (len(packets), len(sizes)) == (600, 20)
    assert sizes[-1] > 5 * sizes[0]


def test_packets_come_in_order_with_right_lengths_and_checksums(tmp_path: Path) -> None:
    """Nobody who reads the capture has a reason to call it odd."""
    packets = frames(made(tmp_path))
    times = [time for time, _ in packets]
    assert times == sorted(times)
    versions = Counter()
    for _, frame in packets:
        if frame[12:14] == b"\x08\x00":
            words = [int.from_bytes(frame[at : at + 2], "big") for at in range(14, 34, 2)]
            assert sum(words) % 0xFFFF == 0
            assert int.from_bytes(frame[16:18], "big") == len(frame) - 14
        else:
            assert int.from_bytes(frame[18:20], "big") == len(frame) - 54
        versions[frame[14] >> 4] += 1
    assert 0.1 < versions[6] / len(packets) < 0.4


def test_a_tcp_flow_opens_and_closes(tmp_path: Path) -> None:
    """SYN first and FIN from both ends: the table is filled and emptied as by real connections."""
    flags: dict[frozenset[tuple[bytes, bytes]], list[int]] = {}
    for _, frame in frames(made(tmp_path, "--flow-size=constant")):
        at = 34 if frame[12:14] == b"\x08\x00" else 54
        if frame[23 if at == 34 else 20] == 6:
            flags.setdefault(flow(frame), []).append(frame[at + 13])
    assert flags
    for seen in flags.values():
        assert seen[:3] == [0x02, 0x12, 0x10]
        assert [flag & 1 for flag in seen[-3:]] == [1, 1, 0]


def test_captures_that_differ_in_their_documents_share_the_packets(tmp_path: Path) -> None:
    """20 and 2,000 rules are measured on one file; making the second touches nothing of the first."""
    few = made(tmp_path, "--rules=20", "--records=15")
    before = (few / "traffic.pcap").stat()
    many = made(tmp_path, "--rules=2000", "--records=15")
    after = (many / "traffic.pcap").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(load_rules(str(few / "rules.yaml")).windows_rules) == 20
    assert json.loads((many / "rules.yaml").read_text())["windows_rules"][1999]["name"] == "Rule 1999"


def test_the_agent_takes_the_documents(tmp_path: Path) -> None:
    """Every rule, and a device that has what the rules name; the socket records are of flows of the capture."""
    folder = made(tmp_path, "--records=15")
    device = load_device(str(folder / "device.yaml"))
    assert [str(address) for address in device.addresses] == ["10.0.0.5", "2001:db8::5"]
    records = [json.loads(line) for line in (folder / "sockets.jsonl").read_text().splitlines()]
    assert len(records) == 15
    ports = {int.from_bytes(port, "big") for _, frame in frames(folder) for _, port in flow(frame)}
    assert {int(record["local"].rpartition(":")[2]) for record in records} <= ports


def test_what_exists_is_not_made_again(tmp_path: Path) -> None:
    """A minute's work is done once."""
    folder = made(tmp_path)
    (folder / "rules.yaml").write_text("mine")
    assert (made(tmp_path) / "rules.yaml").read_text() == "mine"
    assert (made(tmp_path, "--again") / "rules.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(["--packets=100", "--flows=50"], "at least 8 packets a flow", id="short flows"),
        pytest.param(["--packets=100", "--flows=9", "--flow-size=constant"], "a multiple of the flows", id="multiple"),
        pytest.param(["--packets=1000000000000", "--flows=10"], "the disk has", id="no room"),
    ],
)
def test_a_capture_that_cannot_be_is_refused_in_one_line(tmp_path: Path, options: list[str], text: str) -> None:
    """Before anything is written."""
    done = bench_capture(tmp_path / "folder", *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "folder").exists()


def test_the_room_on_the_disk_is_asked_for_where_the_captures_go(tmp_path: Path) -> None:
    """The folder need not exist yet."""
    assert refusal(1, tmp_path / "not/there/yet") is None
    why = refusal(10**18, tmp_path / "not/there/yet")
    assert why is not None
    assert str(tmp_path / "not/there/yet") in why


def test_a_shape_expects_no_fewer_bytes_than_it_gets(tmp_path: Path) -> None:
    """Else the disk would fill up after all."""
    for size, packets in (("zipf", 6000), (CONSTANT, 600)):
        shape = Shape(packets=packets, flows=20, flow_size=size, root=tmp_path)
        expected = shape.missing_bytes()
        assert bench_capture(tmp_path, f"--packets={packets}", "--flows=20", f"--flow-size={size}").returncode == 0
        assert shape.capture().stat().st_size <= expected
        assert shape.missing_bytes() == 0
