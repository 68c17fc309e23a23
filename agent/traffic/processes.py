"""The programs of a scenario, and those every system has: who owns the sockets. Never: what any of them may do.

>>> SYSTEM_PROCESSES[Family.WINDOWS]["dnscache"]["services"]
['Dnscache']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model.device import Family
from agent.model.image import posix_image, windows_image
from agent.policy.fields import Place, Tree, nearest, shown
from agent.traffic import parameters as read
from agent.traffic.parameters import NO_SCOPE
from agent.traffic.schema import parameter, read_fields

_SVCHOST = r"C:\Windows\System32\svchost.exe"
_LINUX = "/usr/lib/systemd/"

SYSTEM_PROCESSES: Mapping[Family, Mapping[str, Tree]] = {
    Family.WINDOWS: {
        # Sockets of the kernel (SMB, NetBIOS) belong to pid 4; advanced hunting shows its image as ntoskrnl.exe.
        "system": {"image": r"C:\Windows\System32\ntoskrnl.exe", "pid": "4", "user": r"NT AUTHORITY\SYSTEM"},
        "dnscache": {"image": _SVCHOST, "services": ["Dnscache"], "user": r"NT AUTHORITY\NETWORK SERVICE"},
        "dhcp": {"image": _SVCHOST, "services": ["Dhcp"], "user": r"NT AUTHORITY\LOCAL SERVICE"},
        "time": {"image": _SVCHOST, "services": ["W32Time"], "user": r"NT AUTHORITY\LOCAL SERVICE"},
        "ssdp": {"image": _SVCHOST, "services": ["SSDPSRV"], "user": r"NT AUTHORITY\LOCAL SERVICE"},
        "termservice": {"image": _SVCHOST, "services": ["TermService"], "user": r"NT AUTHORITY\NETWORK SERVICE"},
    },
    Family.LINUX: {
        "system": {"image": "/usr/sbin/smbd", "services": ["smbd.service"], "user": "root"},
        "dnscache": {"image": _LINUX + "systemd-resolved", "services": ["systemd-resolved.service"],
                     "user": "systemd-resolve"},
        "dhcp": {"image": _LINUX + "systemd-networkd", "services": ["systemd-networkd.service"],
                 "user": "systemd-network"},
        "time": {"image": "/usr/sbin/chronyd", "services": ["chronyd.service"], "user": "chrony"},
        "ssdp": {"image": "/usr/sbin/minissdpd", "services": ["minissdpd.service"], "user": "root"},
    },
    Family.MAC: {
        "system": {"image": "/usr/libexec/smbd", "user": "root"},
        "dnscache": {"image": "/usr/sbin/mDNSResponder", "user": "_mdnsresponder"},
        "dhcp": {"image": "/usr/libexec/configd", "user": "root"},
        "time": {"image": "/usr/libexec/timed", "user": "_timed"},
        "ssdp": {"image": "/usr/sbin/mDNSResponder", "user": "_mdnsresponder"},
    },
}  # fmt: skip
"""Known in every scenario without being declared; a scenario's process of the same name replaces one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A process as a scenario file writes it."""

    image: str = parameter(read.text, "absolute path of the executable")
    pid: int = parameter(read.whole(1, 0xFFFFFFFF), "process id; otherwise one that is free", 0)
    parent: str = parameter(read.text, "name of the process that started it, or a pid", "")
    services: tuple[str, ...] = parameter(read.texts, "services it hosts", ())
    package_family_name: str | None = parameter(read.text, "of a packaged app", None)
    user: str | None = parameter(read.text, "account it runs as", None)
    created: int = parameter(read.signed_duration, "relative to the scenario's start", -3600 * 10**9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One program that ran on the device, as socket records tell it."""

    name: str
    image: str
    pid: int
    parent_pid: int | None
    services: tuple[str, ...]
    package_family_name: str | None
    user: str | None
    created: int
    """Nanoseconds relative to the scenario's start."""


def read_processes(family: Family, declared: Mapping[str, Tree], place: Place) -> dict[str, Process]:
    """Every process by name. Raises PolicyError."""
    entries = {
        name: read_fields(_Entry, node, place.at(name), NO_SCOPE)
        for name, node in {**SYSTEM_PROCESSES[family], **declared}.items()
    }
    for name, entry in entries.items():
        try:
            (windows_image if family is Family.WINDOWS else posix_image)(entry.image)
        except ValueError as error:
            raise place.at(name).at("image").error(str(error)) from None
    pids = _pids(entries)
    return {
        name: Process(
            name=name,
            image=entry.image,
            pid=pids[name],
            parent_pid=_parent(entry.parent, pids, place.at(name).at("parent")),
            services=entry.services,
            package_family_name=entry.package_family_name,
            user=entry.user,
            created=entry.created,
        )
        for name, entry in entries.items()
    }


def _pids(entries: Mapping[str, _Entry]) -> dict[str, int]:
    """Process ids: the given ones, and free multiples of four for the rest, as Windows deals them."""
    pids = {name: entry.pid for name, entry in entries.items() if entry.pid}
    taken = set(pids.values())
    candidate = 1200
    for name in entries:
        if name not in pids:
            while candidate in taken:
                candidate += 4
            pids[name] = candidate
            candidate += 212
    return pids


def _parent(spelled: str, pids: Mapping[str, int], place: Place) -> int | None:
    if not spelled:
        return None
    if spelled in pids:
        return pids[spelled]
    if spelled.isascii() and spelled.isdigit():
        return int(spelled)
    raise place.error(f"{shown(spelled)} is neither a name of processes nor a pid; {nearest(spelled, list(pids))}")
