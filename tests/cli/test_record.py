"""`record` for real: a cable to another host, programs that say who they are, and what the recording says of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.device import Device, Family
from agent.replay.carried import carried_sources
from tests.cli.samples import ROOT, command
from tests.support.blocks import Packet, Taken, take_apart
from tests.support.network import (
    PATIENCE,
    PEER,
    PEER6,
    US,
    US6,
    cable,
    client,
    in_namespace,
    ip,
    line_of,
    program,
    until,
)

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]

TCP, UDP = 6, 17


class Recorder:
    """`isolation-agent record ARGUMENTS` in a process of its own, and already recording."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "record", "-o", "out.pcapng", "--json", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = line_of(self.process.stderr)
        self.summary: Any = None
        self.errors = ""

    def end(self, number: int | None = signal.SIGINT) -> int:
        """Its exit code, after a signal or by itself."""
        if number is not None:
            self.process.send_signal(number)
        out, self.errors = self.process.communicate(timeout=PATIENCE)
        self.summary = json.loads(out) if out else None
        return self.process.returncode

    @property
    def written(self) -> Taken:
        return take_apart(self.folder / "out.pcapng")


@contextmanager
def recorder(folder: Path, *arguments: str) -> Iterator[Recorder]:
    one = Recorder(folder, *arguments)
    try:
        assert one.ready.startswith("recording on "), one.ready
        yield one
    finally:
        one.process.kill()
        one.process.communicate(timeout=PATIENCE)


def ends(packet: Packet) -> tuple[int, int, int]:
    """(protocol, source port, destination port) of a TCP or UDP packet without options."""
    data = packet.data[14:]
    protocol, at = (data[9], 20) if data[0] >> 4 == 4 else (data[6], 40)
    return protocol, int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")


def with_port(taken: Taken, port: int) -> list[Packet]:
    return [one for one in taken.packets if one.data[12:14] in (b"\x08\x00", b"\x86\xdd") and port in ends(one)[1:]]


CLIENTS = [("tcp", PEER), ("udp", PEER), ("unconnected", PEER), ("tcp", PEER6), ("udp", PEER6), ("unconnected", PEER6)]


@in_namespace
def test_each_packet_has_the_process_that_owns_its_socket(tmp_path: Path) -> None:
    arguments = ["-i", "eth0", "--sockets", "sockets.jsonl", "--device", "device.yaml"]
    with cable(), recorder(tmp_path, *arguments) as one:
        told = []
        for kind, host in CLIENTS:
            with client(kind, host, repeat=2) as who:
                told.append((kind, host, who))
                until(lambda port=who["port"]: with_port_in(tmp_path / "out.pcapng.partial", port))
        assert one.end() == 130
    taken = one.written
    assert [name for _, name in taken.interfaces] == ["eth0"]
    records = [json.loads(line) for line in (tmp_path / "sockets.jsonl").read_text().splitlines()]
    for kind, host, who in told:
        packets = with_port(taken, who["port"])
        assert {packet.pid for packet in packets} == {who["pid"]}, (kind, host)
        assert {packet.direction for packet in packets} == {1, 2}
        local = f"{US}:{who['port']}" if host == PEER else f"[{US6}]:{who['port']}"
        [record] = [record for record in records if record["local"] == local]
        assert (record["pid"], record["image"]) == (who["pid"], who["image"])
        assert record["initiated"] is True if kind == "tcp" else "initiated" not in record
        assert record["parent_pid"] == os.getpid()
    named = {int.from_bytes(block[0][0], "little"): block[3][0].decode() for block in taken.processes}
    assert named == {who["pid"]: who["image"] for _, _, who in told}
    assert one.summary["packets"]["unattributed"] == 0
    assert one.summary["packets"]["total"] == len(taken.packets)


def with_port_in(path: Path, port: int) -> bool:
    """Packets of the port are in a file that is still being written: their owner was asked for."""
    return path.exists() and bool(with_port(take_apart(path), port))


@in_namespace
def test_a_replay_elsewhere_gives_every_flow_its_process(tmp_path: Path) -> None:
    arguments = ["-i", "eth0", "--sockets", "sockets.jsonl", "--device", "device.yaml", "--filter", "tcp"]
    with (
        cable(),
        recorder(tmp_path, *arguments) as one,
        client("tcp", PEER) as first,
        client("tcp", PEER6) as second,
    ):
        assert one.end() == 130
    clients = {who["port"]: who["pid"] for who in (first, second)}
    options = ["--mode", "full", "--device", "device.yaml", "--attribution", "sockets.jsonl", "--no-progress"]
    done = command("replay", "out.pcapng", *options, "--decisions", "flows.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    flows = [json.loads(line) for line in (tmp_path / "flows.jsonl").read_text().splitlines()]
    assert {flow["local"]["port"]: flow["process"]["pid"] for flow in flows} == clients
    assert {flow["direction"] for flow in flows} == {"outbound"}
    assert {flow["process"]["image"] for flow in flows} == {first["image"]}


@in_namespace
def test_the_capture_alone_names_the_process_of_every_flow(tmp_path: Path) -> None:
    with (
        cable(),
        recorder(tmp_path, "-i", "eth0", "--filter", "tcp or udp") as one,
        client("tcp", PEER) as first,
        client("unconnected", PEER6) as second,
    ):
        assert one.end() == 130
    own = [parse_address(US), parse_address(US6)]
    [source] = carried_sources([str(tmp_path / "out.pcapng")], Device(family=Family.LINUX), own, slack_ns=0)
    for who, protocol, local, remote in ((first, TCP, own[0], PEER), (second, UDP, own[1], PEER6)):
        time = with_port(one.written, who["port"])[0].time
        far = parse_address(remote).value
        owner = source.find(protocol, local.version, local.value, who["port"], far, 7000, time, 0)
        assert owner is not None
        subject = owner.subject
        assert (subject.pid, subject.image, subject.canonical_image) == (who["pid"], who["image"], who["image"])
        assert subject.process_created == who["created"]


@in_namespace
def test_wireshark_reads_it(tmp_path: Path, tshark: str) -> None:
    with cable(), recorder(tmp_path, "-i", "eth0", "--filter", "tcp port 7000") as one, client("tcp", PEER):
        assert one.end() == 130
    done = subprocess.run(
        [tshark, "-r", str(tmp_path / "out.pcapng"), "-Y", "tcp", "-T", "fields",
         "-e", "frame.interface_name", "-e", "_ws.malformed"],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines == ["eth0\t"] * one.summary["packets"]["total"]
    assert len(lines) >= 5


@in_namespace
def test_a_filter_leaves_out_the_rest(tmp_path: Path) -> None:
    arguments = ["-i", "eth0", "--filter", "udp port 7000"]
    with cable(), recorder(tmp_path, *arguments) as one, client("tcp", PEER), client("udp", PEER) as who:
        assert one.end() == 130
    packets = one.written.packets
    assert {ends(packet) for packet in packets} == {(UDP, who["port"], 7000), (UDP, 7000, who["port"])}


@in_namespace
def test_rotated_files_each_stand_for_themselves(tmp_path: Path) -> None:
    arguments = ["-i", "eth0", "--rotate", "65536", "--filter", "udp"]
    with cable(), recorder(tmp_path, *arguments) as one, client("udp", PEER, repeat=150) as who:
        assert one.end() == 130
    files = sorted(tmp_path.glob("*"))
    assert [file.name for file in files] == [f"out-{number + 1:05d}.pcapng" for number in range(len(files))]
    assert one.summary["files"]["captures"] == [file.name for file in files]
    assert len(files) >= 4
    taken = [take_apart(file) for file in files]
    for file, part in zip(files, taken, strict=True):
        assert [name for _, name in part.interfaces] == ["eth0"]
        assert part.addresses
        assert [int.from_bytes(block[0][0], "little") for block in part.processes] == [who["pid"]]
        assert {packet.pid for packet in part.packets} == {who["pid"]}
        assert file.stat().st_size < 65536 + 2000
    assert sum(len(part.packets) for part in taken) == one.summary["packets"]["total"] == 300
    times = [packet.time for part in taken for packet in part.packets]
    assert times == sorted(times)


@in_namespace
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_whole_files(tmp_path: Path, number: int) -> None:
    with cable(), recorder(tmp_path, "-i", "eth0", "--sockets", "s.jsonl") as one, client("tcp", PEER) as who:
        assert one.end(number) == 130
    assert with_port(one.written, who["port"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.pcapng", "s.jsonl"]
    assert one.summary["interrupted"] is True


@in_namespace
def test_a_duration_ends_it_by_itself(tmp_path: Path) -> None:
    with recorder(tmp_path, "-i", "lo", "--duration", "0.2") as one:
        assert one.end(None) == 0
    assert (one.written.packets, one.summary["interrupted"]) == ([], False)


@in_namespace
def test_an_interface_that_goes_away_ends_it_with_code_3_and_a_whole_file(tmp_path: Path) -> None:
    with cable(), recorder(tmp_path, "-i", "eth0") as one, client("tcp", PEER) as who:
        ip("link", "delete", "eth0")
        assert one.end(None) == 3
    assert one.errors.splitlines() == [
        "isolation-agent: error: -i eth0: the interface is gone; what passed before is in out.pcapng"
    ]
    assert with_port(one.written, who["port"])
    assert one.summary["vanished"] == ["eth0"]


@in_namespace
def test_what_a_killed_recording_leaves_can_be_read(tmp_path: Path) -> None:
    partial = tmp_path / "out.pcapng.partial"
    with cable(), recorder(tmp_path, "-i", "eth0") as one, client("tcp", PEER) as who:
        until(lambda: with_port_in(partial, who["port"]))
        assert one.end(signal.SIGKILL) == -signal.SIGKILL
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.pcapng.partial"]
    done = command("replay", str(partial), "--mode", "full", "--summary-json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["packets"]["total"] == len(take_apart(partial).packets)


@in_namespace
def test_a_full_disk_ends_it_with_code_3_and_what_was_written_stays(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], check=True)
    try:
        with cable(), recorder(tmp_path, "-i", "eth0") as one, client("udp", PEER, repeat=200):
            assert one.end(None) == 3
        assert one.errors.splitlines() == [
            "isolation-agent: error: out.pcapng: cannot write: No space left on device; what was written before is kept"
        ]
        assert [file.name for file in tmp_path.iterdir()] == ["out.pcapng"]
        assert len(one.written.packets) > 10
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@in_namespace
def test_between_two_programs_of_this_host_each_packet_has_its_senders_process(tmp_path: Path) -> None:
    server = "import socket, sys\ns = socket.create_server(('127.0.0.1', 7000))\nprint('ready', flush=True)\n"
    server += "c, _ = s.accept()\nc.sendall(c.recv(9999))\nsys.stdin.read()"
    with program(sys.executable, "-c", server) as other:
        assert line_of(other.stdout) == "ready"
        arguments = ["-i", "lo", "--sockets", "s.jsonl"]
        with recorder(tmp_path, *arguments) as one, client("tcp", "127.0.0.1") as who:
            assert one.end() == 130
    packets = with_port(one.written, who["port"])
    assert {(packet.pid, ends(packet)[1]) for packet in packets} == {(who["pid"], who["port"]), (other.pid, 7000)}
    records = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    listening = [record for record in records if record.get("state") == "LISTEN"]
    assert [(record["local"], record["pid"]) for record in listening] == [("127.0.0.1:7000", other.pid)]
    assert {(record["pid"], record["initiated"]) for record in records if record["remote"]} == {
        (who["pid"], True),
        (other.pid, False),
    }


SHORT_LIVED = """
import os, socket, sys, time
kind, hold = sys.argv[1], float(sys.argv[2])
for number in range(200):
    if os.fork() == 0:
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        if kind == "udp":
            one.bind(("10.9.0.1", 20000 + number % 4))
        one.connect(("10.9.0.2", 7000))
        one.send(b"%08d" % os.getpid())
        if hold:
            one.recv(100)
            time.sleep(hold)
        os._exit(0)
    os.wait()
print("done", flush=True)
sys.stdin.read()
"""
"""Processes that send who they are and are gone, and whose ports the next ones have."""


@in_namespace
@pytest.mark.parametrize("hold", [0, 0.01], ids=["closed-at-once", "held"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_short_lived_socket_is_right_or_unattributed_never_wrong(tmp_path: Path, kind: str, hold: float) -> None:
    with (
        cable(),
        recorder(tmp_path, "-i", "eth0", "--filter", kind) as one,
        program(sys.executable, "-c", SHORT_LIVED, kind, str(hold)) as clients,
    ):
        assert line_of(clients.stdout) == "done"
        assert one.end() == 130
    told = [(packet.data[-8:], packet.pid) for packet in one.written.packets if packet.direction == 2]
    sent = [(int(data), pid) for data, pid in told if data.isdigit()]
    assert len(sent) >= 200
    assert {pid for truth, pid in sent if pid != truth} <= {None}
    assert any(pid == truth for truth, pid in sent) or not hold


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["-i", "lo"], 2, "record: give -o OUT.pcapng"),
        (["-o", "o.pcapng"], 2, "record: give -i IFACE, such as eth0, or any for all interfaces"),
        (["-i", "lo", "-o", "-"], 2, "-o -: give a file name"),
        (["-i", "lo", "-o", "a", "--sockets", "./a"], 2, "--sockets ./a: named for -o already; give each its own file"),
        (
            ["-i", "lo", "-o", "a.pcapng", "--rotate", "64MB", "--sockets", "a-00001.pcapng"],
            2,
            "--sockets a-00001.pcapng: named for -o already; give each its own file",
        ),
        (["-i", "lo", "-o", "a", "--device", "a.partial"], 2,
         "--device a.partial: named for -o already; give each its own file"),
        (["-i", "lo", "-o", "a", "--device", "no/b.yaml"], 3,
         "no/b.yaml: cannot write: No such file or directory; give a place that can be written"),
        (["-i", "lo", "-o", "a", "--rotate", "9"], 2,
         "--rotate 9: give a size from 65536 bytes on, such as 64MB or 1GB"),
        (["-i", "lo", "-o", "a", "--duration", "soon"], 2,
         "--duration soon: give seconds, or a time such as 30s, 10m, 2h"),
        (["-i", "lo", "-o", "a", "--filter", "tcp port"], 2,
         "--filter 'tcp port': can't parse filter expression: syntax error"),
        (["-i", "lo", "-o", "a", "--filter", "vlan 5"], 2,
         ("--filter: `vlan` cannot be asked for: the kernel filters before the tags are put back; "
          "filter the recording instead")),
        (["-i", "lo", "-o", "no/such/folder"], 3,
         "no/such/folder: cannot write: No such file or directory; give a place that can be written"),
        (["-i", "lo", "-o", "a", "--sockets", "no/such"], 3,
         "no/such: cannot write: No such file or directory; give a place that can be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_nothing_is_left(
    tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    done = command("record", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.decode()) == (code, f"isolation-agent: error: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_without_privilege_it_is_one_line_and_code_3(tmp_path: Path) -> None:
    if shutil.which("capsh") is None:
        pytest.skip("capsh absent")
    arguments = [sys.executable, "-m", "agent.cli", "record", "-i", "lo", "-o", "out.pcapng"]
    done = subprocess.run(
        ["capsh", "--drop=cap_net_raw", "--", "-c", " ".join(arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        3,
        "isolation-agent: error: record needs root or CAP_NET_RAW: run it with sudo\n",
    )
    assert list(tmp_path.iterdir()) == []
