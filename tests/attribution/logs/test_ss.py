"""What ss prints, its every column and every trap in a process's name; and what it prints of this process's sockets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.attribution.evidence import FOREVER, Claim, Observation, Rank, Side
from agent.attribution.logs import ss
from agent.attribution.textfile import TextFile
from agent.model.address import parse_endpoint
from agent.model.errors import AttributionError
from agent.model.vocabulary import Confidence
from tests.attribution.logs.samples import SS, SS_HEAD, one, warned

NO_NETID = SS_HEAD.replace("Netid ", "")


def row(
    users: str = '"curl",pid=4242,fd=5',
    *,
    netid: str = "tcp",
    state: str = "ESTAB",
    local: str = "10.0.0.5:50123",
    peer: str = "203.0.113.9:443",
    extras: str = "",
) -> str:
    return f"{netid:5} {state:6} 0      0   {local:>20} {peer:>18} users:(({users})){extras}\n".lstrip()


def claims(tmp_path: Path, text: str) -> list[Claim]:
    return [observation.claim for observation in one(ss, tmp_path, SS_HEAD + text).observations]


def test_the_sample(tmp_path: Path) -> None:
    collector = one(ss, tmp_path, SS)
    assert (collector.name, collector.rank, collector.confidence) == ("ss", Rank.SNAPSHOT, Confidence.MEDIUM)
    assert (collector.timeless, collector.witness, collector.warnings) == (True, False, [])
    assert collector.observations == [
        Observation(
            host="",
            time=0,
            protocol=6,
            first=parse_endpoint("0.0.0.0:22"),
            second=None,
            local=Side.FIRST,
            claim=Claim(pid=612, image="sshd"),
            listening=True,
            end=FOREVER,
            proves_address=False,
        ),
        Observation(
            host="",
            time=0,
            protocol=6,
            first=parse_endpoint("10.0.0.5:50123"),
            second=parse_endpoint("203.0.113.9:443"),
            local=Side.FIRST,
            claim=Claim(pid=4242, image="curl"),
            end=FOREVER,
        ),
    ]


@pytest.mark.parametrize(
    ("state", "netid", "local", "peer", "first", "second", "listening"),
    [
        ("LISTEN", "tcp", "*:80", "*:*", "[::]:80", None, True),
        ("LISTEN", "tcp", "[::]:22", "[::]:*", "[::]:22", None, True),
        ("LISTEN", "tcp", "127.0.0.53%lo:53", "0.0.0.0:*", "127.0.0.53:53", None, True),
        ("UNCONN", "udp", "0.0.0.0:5353", "0.0.0.0:*", "0.0.0.0:5353", None, False),
        ("UNCONN", "udp", "[fe80::5]%eth0:546", "*:*", "[fe80::5]:546", None, False),
        ("UNCONN", "udp", "fe80::5%eth0:546", "*:*", "[fe80::5]:546", None, False),
        ("ESTAB", "udp", "10.0.0.5:40000", "10.0.0.1:53", "10.0.0.5:40000", "10.0.0.1:53", False),
        ("ESTAB", "tcp", "[::ffff:10.0.0.5]:80", "[::ffff:10.0.0.9]:4000", "10.0.0.5:80", "10.0.0.9:4000", False),
        ("CLOSE-WAIT", "tcp", "[2001:db8::5]:80", "[2001:db8::9]:1", "[2001:db8::5]:80", "[2001:db8::9]:1", False),
        ("SYN-SENT", "tcp", "10.0.0.5%eth0:80", "10.0.0.9:1", "10.0.0.5:80", "10.0.0.9:1", False),
    ],
)
def test_addresses(
    tmp_path: Path, state: str, netid: str, local: str, peer: str, first: str, second: str | None, listening: bool
) -> None:
    text = SS_HEAD + row(netid=netid, state=state, local=local, peer=peer)
    [observation] = one(ss, tmp_path, text).observations
    assert (str(observation.first), observation.listening) == (first, listening)
    assert (None if observation.second is None else str(observation.second)) == second


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ('"a",pid=1,fd=3),("b",pid=2,fd=4', [(1, "a"), (2, "b")]),
        ('"a",pid=1,fd=3),("a",pid=1,fd=4', [(1, "a")]),
        ('"tmux: server",pid=1,fd=3', [(1, "tmux: server")]),
        ('"(sd-pam)",pid=1,fd=3', [(1, "(sd-pam)")]),
        ('"a"b(c",pid=1,fd=3', [(1, 'a"b(c')]),
        ('"x",pid=1,fd=9",pid=777,fd=3', [(777, 'x",pid=1,fd=9')]),
        ('"x",pid=1,fd=3))",pid=777,fd=3', [(777, 'x",pid=1,fd=3))')]),
        ('"x",pid=1,fd=3),("",pid=777,fd=3', [(1, "x"), (777, None)]),
        ('"kworker/0:1",pid=1,fd=3', [(1, None)]),
        ('"/usr/bin/curl",pid=777,fd=3', [(777, None)]),
        ('"C:\\a.exe",pid=777,fd=3', [(777, None)]),
        ('"sshd",pid=1,proc_ctx=system_u:system_r:sshd_t:s0,fd=3', [(1, "sshd")]),
        ('"a",pid=1,tid=2,fd=3', [(1, "a")]),
    ],
)
def test_names_cannot_pose_as_other_holders(tmp_path: Path, users: str, expected: list[tuple[int, str | None]]) -> None:
    """A process chooses its name, 15 bytes of anything; a pid in it is no pid, and a path in it no program."""
    assert [(claim.pid, claim.image) for claim in claims(tmp_path, row(users))] == expected


@pytest.mark.parametrize(
    "users",
    [
        '"",pid=1,fd=3)) ",pid=777,fd=3',
        '"",pid=1,fd=3),(",pid=777,fd=3',
        '"a",pid=x,fd=3',
        '"a"',
        '"a",pid=99999999999,fd=3',
    ],
)
def test_a_line_that_can_be_read_in_two_ways_is_broken(tmp_path: Path, users: str) -> None:
    with pytest.raises(AttributionError, match="line 2: names of processes that can be read in two ways"):
        one(ss, tmp_path, SS_HEAD + row(users))


@pytest.mark.parametrize(
    ("cgroup", "services"),
    [
        ("/system.slice/ssh.service", ("ssh.service",)),
        ("/system.slice/system-getty.slice/getty@tty1.service", ("getty@tty1.service",)),
        ("/system.slice/docker.service/inner/ssh.service", ("docker.service",)),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/ssh.service", ("user@1000.service",)),
        ("/user.slice/user-1000.slice/session-3.scope", None),
        ("/init.scope", None),
        ("/docker/0123abcd/ssh.service", None),
        ("/", None),
    ],
)
def test_the_cgroup_names_the_systems_service(tmp_path: Path, cgroup: str, services: tuple[str, ...] | None) -> None:
    """Not what a user calls a group below his own: that name is free."""
    extras = f" timer:(keepalive,119min,0) uid:33 ino:1224 sk:1 cgroup:{cgroup} <->"
    assert [claim.services for claim in claims(tmp_path, row(extras=extras))] == [services]


@pytest.mark.parametrize(
    ("states", "protocol"),
    [(("LISTEN", "ESTAB"), 6), (("ESTAB", "TIME-WAIT"), 6), (("UNCONN", "ESTAB"), 17), (("UNCONN",), 17)],
)
def test_without_a_netid_the_states_tell_the_protocol(tmp_path: Path, states: tuple[str, ...], protocol: int) -> None:
    """`ss -tnlp` and `ss -unlp` leave it out."""
    rows = "".join(row(netid="", state=state) for state in states)
    assert {observation.protocol for observation in one(ss, tmp_path, NO_NETID + rows).observations} == {protocol}


def test_without_a_netid_and_a_telling_state_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match="line 2: neither a column Netid nor a state tells TCP from UDP"):
        one(ss, tmp_path, NO_NETID + row(netid=""))


def test_other_families_continuations_and_headers_in_between(tmp_path: Path) -> None:
    text = (
        SS_HEAD
        + "nl    UNCONN 0      0      rtnl:kernel                *\n"
        + 'u_str ESTAB  0      0      /run/x.sock 1234     * 5678 users:(("a",pid=1,fd=3))\n'
        + "p_raw UNCONN 0      0      *:lo       *\n"
        + 'icmp6 UNCONN 0      0      *%eth0:ipv6-icmp     *:* users:(("a",pid=1,fd=3))\n'
        + "tcp   TIME-WAIT 0 0 10.0.0.5:1 10.0.0.9:2\n"
        + row()
        + "\t cubic wscale:7,7 rto:204 rtt:0.031/0.011\n"
        + SS_HEAD
        + row(local="10.0.0.5:2")
    )
    collector = one(ss, tmp_path, text)
    assert len(collector.observations) == 2
    skipped = warned(collector)["rows_skipped"]
    assert "4 of sockets that are neither TCP, UDP nor SCTP" in skipped
    assert "1 without a process" in skipped


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hello\n", "is no row of ss: 'hello'"),
        (row(local="10.0.0.5:ssh"), "'10.0.0.5:ssh' is no address and port in numbers; use ss -n"),
        (row(local="host:22"), "'host' is not an IPv4 or IPv6 address"),
        (row(local="10.0.0.5:70000"), "'70000' is no port"),
        (row(peer="nothing"), "'nothing' is no address and port"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(AttributionError) as caught:
        one(ss, tmp_path, SS_HEAD + line)
    assert f"line 2: {expected}" in str(caught.value)


@pytest.fixture
def sockets() -> Iterator[dict[str, tuple[int, int, bool]]]:
    """Sockets of this process: local end -> (protocol, remote port or 0, listening)."""
    with ExitStack() as stack:
        opened: dict[str, tuple[int, int, bool]] = {}

        def make(family: int, kind: int, address: str) -> socket.socket:
            made = stack.enter_context(socket.socket(family, kind))
            made.bind((address, 0))
            return made

        def note(made: socket.socket, protocol: int, remote: int = 0, *, listening: bool = False) -> int:
            host, port = made.getsockname()[:2]
            opened[f"[{host}]:{port}" if ":" in host else f"{host}:{port}"] = (protocol, remote, listening)
            return int(port)

        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            server = make(family, socket.SOCK_STREAM, address)
            server.listen()
            port = note(server, 6, listening=True)
            client = make(family, socket.SOCK_STREAM, address)
            client.connect((address, port))
            accepted = stack.enter_context(server.accept()[0])
            own = note(client, 6, port)
            opened[f"{'[::1]' if ':' in address else address}:{port} from {own}"] = (6, own, False)
            assert accepted.getpeername()[1] == own
            unconnected = make(family, socket.SOCK_DGRAM, address)
            connected = make(family, socket.SOCK_DGRAM, address)
            connected.connect((address, note(unconnected, 17)))
            note(connected, 17, unconnected.getsockname()[1])
        wildcard = make(socket.AF_INET6, socket.SOCK_STREAM, "::")
        wildcard.listen()
        note(wildcard, 6, listening=True)
        yield opened


@pytest.mark.parametrize("options", ["-tunap", "-tunape", "-Htunap"])
def test_what_ss_prints_of_this_process(
    tmp_path: Path, sockets: dict[str, tuple[int, int, bool]], options: str
) -> None:
    command = shutil.which("ss")
    if command is None:
        pytest.skip("ss absent")
    printed = subprocess.run([command, options], capture_output=True, check=True, timeout=60).stdout
    if f"pid={os.getpid()},".encode() not in printed:
        pytest.skip("ss shows no processes here")
    path = tmp_path / "ss.txt"
    path.write_bytes(printed)
    with TextFile(str(path)) as file:
        assert ss.recognises(file)
    found = {}
    for observation in one(ss, tmp_path, printed).observations:
        if observation.claim.pid == os.getpid():
            remote = 0 if observation.second is None else observation.second.port
            key = str(observation.first)
            if not observation.listening and sockets.get(key, (0, 0, False))[2]:
                key += f" from {remote}"  # the accepted end shares its port with the listener
            found[key] = (observation.protocol, remote, observation.listening)
    assert {key: value for key, value in found.items() if key in sockets} == sockets
