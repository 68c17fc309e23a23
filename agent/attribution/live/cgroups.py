"""What a process's control groups say: its systemd unit, and the container it lives in.

Knows the text of /proc/PID/cgroup. Must not open anything.

    >>> read_cgroups("0::/system.slice/nginx.service")
    Membership(services=('nginx.service',), container=None)

The unit is the outermost one that is no slice: who may make groups below it (Delegate=, a user's own manager) may
call them what they like, also `ssh.service`, and would gain every exclusion of the service they pretend to be. So a
unit of a user's manager is spelt with its manager, `user@1000.service/x.service`, which is no system service's name.
Scopes (sessions, containers) are not services. What runs inside a container is no service of this host, whatever its
group is called.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Membership(NamedTuple):
    """`services` None: not known; (): none of this host's services."""

    services: tuple[str, ...] | None
    container: str | None


UNKNOWN = Membership(None, None)

_ID = r"[0-9a-f]{64}"
_CONTAINERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("", re.compile(rf"(docker|crio|cri-containerd|containerd|libpod|podman)-({_ID})\.scope")),
    ("", re.compile(rf"(crio|libpod)-(?:conmon-)?({_ID})")),
    ("machine", re.compile(r"()machine-(?:lxc\\x2d\d+\\x2d|qemu\\x2d\d+\\x2d)?(.+)\.scope")),
    ("lxc", re.compile(r"()lxc\.payload\.(.+)")),
)
"""(kind, pattern of one path component with kind and name as groups)."""

_PARENTS = {"docker": "docker", "lxc": "lxc", "libpod_parent": "libpod"}
"""Names of groups whose children are containers by name, where cgroupfs and not systemd makes them."""

_NSPAWN = re.compile(r"systemd-nspawn@(.+)\.service")
"""The manager of a container; what runs inside is below `payload`."""

_BARE = re.compile(rf"(?:(.+)[-:])?({_ID})")
_POD = re.compile(r"(?:kubepods.*-)?pod[0-9a-f]{8}[-_0-9a-f]+(?:\.slice)?")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.service")
_USER_MANAGER = re.compile(r"user@\d+\.service")


def read_cgroups(text: str) -> Membership:
    """What the lines of /proc/PID/cgroup say. Text that cannot be read is unknown."""
    path = _path(text)
    if path is None or path.startswith("/.."):  # outside our own cgroup namespace: shown relative to it
        return UNKNOWN
    parts = [part.removeprefix("_") for part in path.split("/") if part]  # systemd escapes by an underscore
    container = _container(parts) or _any_container(text)
    if container is not None:
        return Membership((), container)
    return Membership(_units(parts), None)


def _path(text: str) -> str | None:
    """systemd's own hierarchy where there is one (v1, hybrid), else the unified one."""
    unified = None
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or not path.startswith("/"):
            continue
        if controllers == "name=systemd":
            return path
        if number == "0" and not controllers:
            unified = path
    return unified


def _units(parts: list[str]) -> tuple[str, ...]:
    rest = [part for part in parts if not part.endswith(".slice")]
    if not rest or not _UNIT.fullmatch(rest[0]):
        return ()
    if _USER_MANAGER.fullmatch(rest[0]) and len(rest) > 1 and _UNIT.fullmatch(rest[1]):
        return rest[0], f"{rest[0]}/{rest[1]}"
    return (rest[0],)


def _any_container(text: str) -> str | None:
    """By the other hierarchies: without systemd, docker makes groups in those of the controllers only."""
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        container = _container([part for part in path.split("/") if part])
        if container is not None:
            return container
    return None


def _container(parts: list[str]) -> str | None:
    """`docker:3c8f...`: the outermost container of a path."""
    parent, pod = "", False
    for part in parts:
        for kind, pattern in _CONTAINERS:
            found = pattern.fullmatch(part)
            if found is not None:
                return f"{found[1] or kind}:{found[2]}"
        if parent in _PARENTS and not part.endswith((".service", ".scope", ".slice")):
            return f"{_PARENTS[parent]}:{part}"
        manager = _NSPAWN.fullmatch(parent) if part == "payload" else None
        if manager is not None:
            return f"nspawn:{manager[1]}"
        bare = _BARE.fullmatch(part)
        if bare is not None:
            return f"{'kubepods' if pod else bare[1] or 'container'}:{bare[2]}"
        pod = pod or _POD.fullmatch(part) is not None
        parent = part
    return None
