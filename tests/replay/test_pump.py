"""Reading ahead in a second thread changes no byte of any output, whatever the captures look like."""

from __future__ import annotations

import gzip
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.model.errors import CaptureError
from agent.replay import run as replay_run
from agent.replay.options import Progress
from agent.replay.run import engine_kind, run
from agent.sinks.summary import dump_json
from tests.support import frames as f
from tests.support.captures import after, replay_options

pytestmark = pytest.mark.skipif(engine_kind() != "compiled", reason="only the compiled form reads ahead")

US = "10.0.0.5"
SLOT = 2 << 20
"""Bytes the thread holds of a file at a time (pump.pxd types the constant): captures here are some of them long."""
SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)


def interface(link: int = 1) -> bytes:
    return struct.pack("<IIHHII", 1, 20, link, 0, 0, 20)


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def enhanced(number: int, frame: bytes, interface: int = 0) -> bytes:
    stamp = 1_767_603_600_000_000 + number * 50
    header = struct.pack("<IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, header + frame)


def frame(number: int, size: int = 300) -> bytes:
    """TCP of two thousand flows, both ways, among DNS, fragments, ARP and what belongs to others."""
    port, remote = 40_000 + number % 2000, f"203.0.{number % 200}.{number % 7 + 1}"
    if number % 50 == 0:
        return f.tcp_frame(f"{US}:{port}", f"{remote}:443", flags=f.SYN, sequence=number)
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: f.tcp_frame(f"{US}:{port}", f"{remote}:443", bytes(size)),
        lambda: f.tcp_frame(f"{remote}:443", f"{US}:{port}", bytes(size)),
        lambda: f.tcp_frame(f"{remote}:443", f"{US}:{port}", bytes(size), flags=f.ACK | f.FIN),
        lambda: f.udp_frame(f"{US}:{port}", "10.0.0.1:53", bytes(30)),
        lambda: f.udp_frame("10.0.0.7:5353", "224.0.0.251:5353"),
        lambda: f.ethernet(bytes(46), f.ARP),
        lambda: f.tcp_frame("10.0.0.8:1", "10.0.0.9:2"),
        lambda: f.ethernet(f.ipv4(US, remote, bytes(28), f.UDP, identifier=number & 0xFFFF, offset=32)),
    )
    return kinds[number % len(kinds)]()


def classic(count: int, first: int = 0, size: int = 300) -> bytes:
    records = [struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)]
    for number in range(first, first + count):
        data = frame(number, size)
        records.append(struct.pack("<IIII", 1_767_603_600, number * 20, len(data), len(data)) + data)
    return b"".join(records)


def sections(count: int) -> bytes:
    """Interfaces in the middle, packets of one that nobody declared, a block longer than a slot, two byte orders."""
    parts = [SECTION, interface(), interface(101)]
    for number in range(count):
        if number == count // 4:
            parts.append(block(0x0BAD, bytes(3 * SLOT)))
        if number == count // 3:
            parts.append(interface(113))
        if number == count // 2:
            parts += [SECTION, interface()]
        parts.append(enhanced(number, frame(number), 7 if number % 1000 == 999 else 0))
    order = struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    return b"".join(parts) + order + struct.pack(">IIHHII", 1, 20, 1, 0, 0, 20)


def other_order(count: int) -> bytes:
    """A section of the other byte order whose header is longer than half a slot: it is carried on whole."""
    comment = struct.pack(">HH", 1, 60_000) + b"c" * 60_000
    size = 28 + 25 * len(comment)
    order = struct.pack(">IIIHHq", 0x0A0D0D0A, size, 0x1A2B3C4D, 1, 0, -1) + comment * 25 + struct.pack(">I", size)
    parts = [SECTION, interface(), *(enhanced(n, frame(n)) for n in range(count)), order]
    parts.append(struct.pack(">IIHHII", 1, 20, 1, 0, 0, 20))
    for number in range(count):
        data = frame(number * 7)
        padded = data + bytes(-len(data) % 4)
        stamp = 1_767_603_601_000_000 + number * 50
        head = struct.pack(">IIIIIII", 6, 32 + len(padded), 0, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
        parts.append(head + padded + struct.pack(">I", 32 + len(padded)))
    return b"".join(parts)


def processes(count: int) -> bytes:
    """A block that names a process before every seventh packet: nobody watches for them here."""
    body = struct.pack("<IIIII", 32622, 3, 8, 1234, 0)
    parts = [SECTION, interface()]
    for number in range(count):
        if number % 7 == 0:
            parts.append(block((0x0BAD, 0x80000001, 0x101, 0x102)[number % 4], body))
        parts.append(enhanced(number, frame(number)))
    return b"".join(parts)


LONG = 30_000
CAPTURES: dict[str, Callable[[], dict[str, bytes]]] = {
    "one": lambda: {"a.pcap": classic(LONG)},
    "tiny": lambda: {"a.pcap": classic(3)},
    "empty": lambda: {"a.pcap": classic(0)},
    "small frames": lambda: {"a.pcap": classic(LONG, size=0)},
    "large frames": lambda: {"a.pcap": classic(400, size=60_000)},
    "several": lambda: {f"{n}.pcap": classic(LONG // 3, first=n * 10_000) for n in range(3)},
    "cut": lambda: {"a.pcap": classic(LONG)[:-17], "b.pcap": classic(9)},
    "stray byte": lambda: {"a.pcap": classic(LONG) + b"\n"},
    "lying record": lambda: {"a.pcap": classic(LONG) + struct.pack("<IIII", 0, 0, 1 << 30, 60), "b.pcap": classic(9)},
    "pcapng": lambda: {"a.pcapng": sections(LONG)},
    "process blocks": lambda: {"a.pcapng": processes(LONG)},
    "other order": lambda: {"a.pcapng": other_order(20_000)},
    "damaged pcapng": lambda: {"a.pcapng": sections(LONG)[: 7 * SLOT] + b"\x06" * 100 + sections(10)},
    "mixed": lambda: {"a.pcap.gz": gzip.compress(classic(LONG), 1), "b.pcapng": sections(9000), "c.pcap": classic(9)},
    "no capture among them": lambda: {"a.pcap": classic(LONG), "b.txt": b"hello", "c.pcap": classic(LONG)},
}


def outputs(folder: Path, monkeypatch: pytest.MonkeyPatch, *, ahead: bool, **options: object) -> list[bytes]:
    """Summary, records and split captures of a run with or without the second thread."""
    threads: list[str] = []
    monkeypatch.setattr(replay_run, "WORTH_A_THREAD", 0 if ahead else 1 << 62)
    monkeypatch.setattr(replay_run, "_cores", lambda: 2)
    out = folder.parent / ("ahead" if ahead else "plain")
    out.mkdir()
    chosen = {"decisions": str(out / "d.jsonl"), "events": "all", "denied": str(out / "denied.pcapng"), **options}

    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        threads.append(thread.name)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    result = run(replay_options(str(folder), local=(US,), **chosen))
    monkeypatch.setattr(threading.Thread, "start", real)
    assert threads == (["capture-reader"] if ahead else [])
    return [dump_json(result.summary), *(path.read_bytes() for path in sorted(out.iterdir()))]


@pytest.mark.slow
@pytest.mark.parametrize("name", CAPTURES)
def test_no_output_depends_on_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    for file, content in CAPTURES[name]().items():
        (folder / file).write_bytes(content)
    assert outputs(folder, monkeypatch, ahead=True) == outputs(folder, monkeypatch, ahead=False)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"merge": True}, {"isolate_at": after(0.1), "release_at": after(0.3)}])
def test_options_that_order_a_run(options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.pcap").write_bytes(classic(LONG // 3, first=number * 5000))
    assert outputs(folder, monkeypatch, ahead=True, **options) == outputs(folder, monkeypatch, ahead=False, **options)


def test_a_run_that_stops_in_the_middle_reads_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies behind the last packet judged would show in the summary: link types, damage."""
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "a.pcap").write_bytes(classic(LONG))
    monkeypatch.setattr(replay_run, "WORTH_A_THREAD", 0)
    monkeypatch.setattr(replay_run, "_cores", lambda: 2)
    names: set[str] = set()
    options = replay_options(str(folder), local=(US,), limit=12_345)
    result = run(options, lambda _: names.update(thread.name for thread in threading.enumerate()))
    assert result.summary["packets"]["total"] == 12_345
    assert "capture-reader" not in names


def test_the_thread_ends_with_the_run_also_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "a.pcap").write_bytes(classic(LONG))
    monkeypatch.setattr(replay_run, "WORTH_A_THREAD", 0)
    monkeypatch.setattr(replay_run, "_cores", lambda: 2)

    def broken(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(replay_options(str(folder), local=(US,)), broken)
    assert "capture-reader" not in {thread.name for thread in threading.enumerate()}


def test_without_a_thread_to_be_had_one_core_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pcap").write_bytes(classic(LONG))
    monkeypatch.setattr(replay_run, "WORTH_A_THREAD", 0)
    monkeypatch.setattr(replay_run, "_cores", lambda: 2)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    result = run(replay_options(str(tmp_path / "a.pcap"), local=(US,)))
    assert result.summary["packets"]["total"] == LONG


def test_an_interrupt_ends_both_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had been read ahead but not judged shows nowhere."""
    folder = tmp_path / "captures"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.pcap").write_bytes(classic(9000)[:-5])
    monkeypatch.setattr(replay_run, "WORTH_A_THREAD", 0)
    monkeypatch.setattr(replay_run, "_cores", lambda: 2)

    def interrupt(progress: Progress) -> None:
        if progress.path.endswith("3.pcap"):
            signal.raise_signal(signal.SIGINT)

    result = run(replay_options(str(folder), local=(US,)), interrupt)
    assert result.interrupted
    judged = [row["packets"] > 0 for row in result.summary["captures"]]
    assert judged == [True] * 4 + [False] * 5
    assert [bool(row["link_types"]) for row in result.summary["captures"]] == judged
    assert [row["truncated_tail"] for row in result.summary["captures"]][4:] == [False] * 5
    assert "capture-reader" not in {thread.name for thread in threading.enumerate()}


def test_an_error_of_the_thread_is_raised_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes between being listed and being opened."""
    paths = [tmp_path / "a.pcap", tmp_path / "b.pcap"]
    for path in paths:
        path.write_bytes(classic(LONG))
    monkeypatch.setattr(replay_run, "WORTH_A_THREAD", 0)
    monkeypatch.setattr(replay_run, "_cores", lambda: 2)
    options = replay_options(*map(str, paths), local=(US,), decisions=str(tmp_path / "d.jsonl"))
    real = replay_run.Frames.progress

    def vanish(self: replay_run.Frames) -> tuple[int, int | None]:
        paths[1].unlink(missing_ok=True)
        return real(self)

    monkeypatch.setattr(replay_run.Frames, "progress", vanish)
    with pytest.raises(CaptureError, match=r"b\.pcap: at byte 0: cannot open"):
        run(options)
    assert not (tmp_path / "d.jsonl").exists()
    assert "capture-reader" not in {thread.name for thread in threading.enumerate()}
