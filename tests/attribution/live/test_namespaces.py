"""LiveSource where pids, networks, file systems and rights are not what they seem. Mostly as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.attribution.live.source import LiveSource
from agent.model.address import parse_address
from agent.model.subject import Subject
from tests.attribution.live.peers import Opened, Peer

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.needs_root,
]

HERE = Path(__file__).parent
UDP = 17
NOBODY = 65534
REUSED_PID = 300


def unshare(*options: str) -> list[str]:
    """A command prefix; skips where the kernel refuses."""
    path = shutil.which("unshare")
    if path is None or subprocess.run([path, *options, "true"], capture_output=True).returncode:
        pytest.skip(f"unshare {' '.join(options)} does not work here")
    return [path, *options]


def run(prefix: list[str], script: str, *arguments: str, root: Path) -> Any:
    if shutil.which("ip") is None:
        pytest.skip("ip (iproute2) absent")
    command = [*prefix, sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def subject_of(source: LiveSource, opened: Opened) -> Subject | None:
    """Of a datagram socket."""
    version, local = parse_address(opened.local[0])
    owner = source.find(UDP, version, local, opened.local[1], local, 9, 0, 0)
    return None if owner is None else owner.subject


@pytest.mark.slow
def test_a_reused_pid_is_never_taken_for_the_one_before(root: Path) -> None:
    """10,000 processes with one and the same pid, each with a short-lived socket: right or nobody's, never wrong."""
    prefix = unshare("--pid", "--fork", "--mount-proc", "--net")
    if not Path("/proc/sys/kernel/ns_last_pid").exists():
        pytest.skip("this kernel has no ns_last_pid, by which pids are chosen")
    seen = run(prefix, "reuse.py", "10000", str(REUSED_PID), root=root)
    assert seen["wrong"] == []
    assert seen["pids"] == [REUSED_PID]
    assert seen["right"] + seen["unattributed"] == sum(seen["misses"].values()) + seen["right"] == 10_000
    assert seen["right"] > 100, "the test is about answers"


def test_a_zone_or_an_interface_does_not_hide_a_socket(root: Path) -> None:
    """The same link-local address on two interfaces, and SO_BINDTODEVICE."""
    found = run(unshare("--net"), "inside.py", "zones", root=root)
    pid = found.pop("pid")
    assert found.pop("misses") == {}
    assert found == {
        "client": [pid, "high"],
        "server": [pid, "high"],
        "listener": [pid, "medium"],
        "datagrams": [pid, "medium"],
        "bound": [pid, "high"],
    }


def test_without_rights_the_owner_is_not_known(root: Path) -> None:
    """Nobody's, counted, no exception: only the socket is to be seen, not who holds it."""
    assert run([], "inside.py", "unprivileged", root=root) == {"answer": None, "misses": {"access_denied": 1}}


def test_a_socket_of_another_network_namespace_is_named_as_that(tmp_path: Path) -> None:
    """The kernel does not show it here, and it is not looked for there."""
    with Peer(*unshare("--net")) as peer:
        opened = peer.open("udp", bind=["0.0.0.0", 0])
        source = LiveSource()
        assert subject_of(source, opened) is None
        assert source.misses == {"no_socket_in_this_namespace": 1}


def test_a_process_that_drops_its_rights_is_shown_as_it_is_now() -> None:
    with Peer() as peer:
        source = LiveSource()
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        before = subject_of(source, opened)
        peer.ask("become", uid=NOBODY)
        after = subject_of(source, opened)
        assert before is not None
        assert after is not None
        assert before.user == "root"
        assert after.user != "root"
        assert (after.pid, after.process_created) == (peer.pid, peer.created)


def test_a_path_of_another_mount_namespace_meets_no_rule(tmp_path: Path) -> None:
    """Any user can have a file of his own at any path there: it is shown, and not compared."""
    program = tmp_path / "pretender"
    shutil.copy(Path(sys.executable).resolve(), program)
    victim = tmp_path / "trusted"
    victim.write_bytes(b"the file this host has at that path")
    script = f'mount --bind {program} {victim} && exec {victim} "$@"'
    prefix = [*unshare("--mount"), "sh", "-c", script, "sh"]
    environment = {"PYTHONHOME": sys.base_prefix, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with Peer(*prefix, python=None, environment=environment) as peer:
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        subject = subject_of(LiveSource(), opened)
        assert subject is not None
        assert subject.image == str(victim)
        assert subject.canonical_image is None


def test_a_deleted_program_keeps_its_path(tmp_path: Path) -> None:
    """As after an update: the process still is that program."""
    program = tmp_path / "program"
    shutil.copy(Path(sys.executable).resolve(), program)
    environment = {"PYTHONHOME": sys.base_prefix, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with Peer(str(program), python=None, environment=environment) as peer:
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        source = LiveSource()
        program.unlink()
        gone = subject_of(source, opened)
        program.write_bytes(b"the new version")
        updated = subject_of(source, opened)
        for subject in (gone, updated):
            assert subject is not None
            assert subject.image == subject.canonical_image == str(program)


def systemd_hierarchy() -> Path:
    """Where groups of the hierarchy that systemd uses are made: v2, or the named one of v1."""
    unified = None
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup" and "name=systemd" in options.split(","):
            return Path(folder)
        if kind == "cgroup2":
            unified = Path(folder)
    if unified is None:
        pytest.skip("no cgroups are mounted here")
    return unified


@contextmanager
def group(path: str) -> Iterator[Path]:
    """A real cgroup, removed afterwards with those above it that were made for it."""
    hierarchy = systemd_hierarchy()
    made: list[Path] = []
    try:
        for folder in reversed([hierarchy / path, *(hierarchy / path).parents]):
            if not folder.exists():
                try:
                    folder.mkdir()
                except OSError as error:
                    pytest.skip(f"no cgroup can be made here: {error}")
                made.append(folder)
        yield hierarchy / path
    finally:
        for folder in reversed(made):
            folder.rmdir()


def test_a_service_is_the_unit_of_the_process_now() -> None:
    """Real groups: a process is moved into a service's, as its manager does before it starts the program."""
    with group("system.slice/isolation-agent-test@1.service") as folder, Peer() as peer:
        source = LiveSource(systemd=True)
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        before = subject_of(source, opened)
        (folder / "cgroup.procs").write_text(str(peer.pid))
        after = subject_of(source, opened)
        peer.ask("leave", procs=str(systemd_hierarchy() / "cgroup.procs"))
        assert before is not None
        assert after is not None
        assert "isolation-agent-test@1.service" not in (before.services or ())
        assert after.services == ("isolation-agent-test@1.service",)
        assert source.facts == {"image", "services"}


def test_a_containers_process_is_marked_and_hosts_no_service() -> None:
    name = "0123456789abcdef" * 4
    with group(f"isolation-agent-test/docker/{name}/system.slice/ssh.service") as folder, Peer() as peer:
        (folder / "cgroup.procs").write_text(str(peer.pid))
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        subject = subject_of(LiveSource(systemd=True), opened)
        peer.ask("leave", procs=str(systemd_hierarchy() / "cgroup.procs"))
        assert subject is not None
        assert subject.container == f"docker:{name}"
        assert subject.services == ()


def test_without_systemd_nothing_is_known_of_services() -> None:
    """A group may be called like a service; without systemd it means nothing."""
    with group("system.slice/isolation-agent-test.service") as folder, Peer() as peer:
        (folder / "cgroup.procs").write_text(str(peer.pid))
        source = LiveSource(systemd=False)
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        subject = subject_of(source, opened)
        peer.ask("leave", procs=str(systemd_hierarchy() / "cgroup.procs"))
        assert subject is not None
        assert subject.services is None
        assert source.facts == {"image"}
