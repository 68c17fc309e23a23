"""`doctor`: what this machine can do for the agent. It looks and reports; it never fails.

Knows where a machine says so. Must not change anything.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Annotated

import typer

from agent.cli.output import Table, emit_json, show

COMPILED = (
    "agent.attribution.chain",
    "agent.attribution.sockets",
    "agent.attribution.subjects",
    "agent.attribution.timeline",
    "agent.attribution.values",
    "agent.capture.scan",
    "agent.datapath.datapath",
    "agent.datapath.flows",
    "agent.datapath.headers",
    "agent.datapath.layers",
    "agent.datapath.links",
    "agent.datapath.scout",
    "agent.datapath.wireless",
    "agent.engine.direction",
    "agent.engine.engine",
    "agent.engine.essentials",
    "agent.engine.events",
    "agent.engine.names",
    "agent.engine.pairs",
    "agent.engine.tally",
    "agent.engine.verdicts",
    "agent.policy.intervals",
    "agent.replay.pump",
    "agent.sinks.buffer",
    "agent.sinks.community",
    "agent.sinks.jsonl",
    "agent.sinks.lines",
)
"""Modules that are compiled where a C compiler exists."""
LIBRARIES = (
    "defusedxml",
    "evtx",
    "netaddr",
    "orjson",
    "psutil",
    "pyarrow",
    "pyyaml",
    "rich",
    "scapy",
    "typer",
    "zstandard",
)
TOOLS = ("nft", "iptables", "tcpdump", "tshark")
_CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW"}
_STYLES = {"ok": "green", "no": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    area: str
    name: str
    ok: bool
    value: str
    """A version, a path, or why not."""


def command(as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False) -> int:
    """Show what this machine can do. The engine, privileges, tools, library versions."""
    findings = examine()
    if as_json:
        emit_json({"version": 1, "engine": engine(findings), "findings": [as_dict(finding) for finding in findings]})
    else:
        rows = [(one.area, one.name, "ok" if one.ok else "no", one.value) for one in findings]
        title = f"isolation-agent on this machine: {engine(findings)} engine"
        show([Table(title=title, columns=("area", "what", "", "found"), rows=rows, styles=_STYLES)])
    return 0


def examine() -> list[Finding]:
    """Every finding, in the order in which it is shown."""
    return [*_engine(), *_system(), *_libraries(), *_privileges(), *_tools(), _queue(), *_recording(), *_attribution()]


def engine(findings: list[Finding]) -> str:
    """`compiled`, `interpreted`, or `partly compiled`."""
    compiled = [finding.ok for finding in findings if finding.area == "engine"]
    if all(compiled):
        return "compiled"
    return "partly compiled" if any(compiled) else "interpreted"


def as_dict(finding: Finding) -> dict[str, str | bool]:
    return {"area": finding.area, "name": finding.name, "ok": finding.ok, "value": finding.value}


def _engine() -> list[Finding]:
    return [_found("engine", module, partial(_compiled, module)) for module in COMPILED]


def _compiled(module: str) -> tuple[bool, str]:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return False, "missing: install isolation-agent again"
    if spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
        return True, "compiled"
    return False, "interpreted: slower, same results; install again with a C compiler at hand"


def _system() -> list[Finding]:
    python = platform.python_version()
    return [
        Finding(area="system", name="python", ok=sys.version_info >= (3, 11), value=f"{python} ({sys.executable})"),
        Finding(area="system", name="platform", ok=True, value=platform.platform()),
        Finding(area="system", name="processors", ok=True, value=str(os.cpu_count() or 1)),
    ]


def _libraries() -> list[Finding]:
    def installed(name: str) -> tuple[bool, str]:
        try:
            return True, version(name)
        except PackageNotFoundError:
            extra = " (extra: pip install 'isolation-agent[parquet]')" if name == "pyarrow" else ""
            return False, f"not installed{extra}"

    return [_found("library", name, partial(installed, name)) for name in ("isolation-agent", *LIBRARIES)]


def _privileges() -> list[Finding]:
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    effective = _effective_capabilities()
    findings = [Finding(area="privilege", name="root", ok=root, value="yes" if root else "no")]
    for bit, name in _CAPABILITIES.items():
        held = effective is not None and bool(effective >> bit & 1)
        value = "not Linux" if effective is None else "held" if held else "not held"
        findings.append(Finding(area="privilege", name=name, ok=held, value=value))
    return findings


def _effective_capabilities() -> int | None:
    """The mask of Linux, capabilities(7); None elsewhere."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except (OSError, ValueError):
        return None
    return None


def _tools() -> list[Finding]:
    def present(name: str) -> tuple[bool, str]:
        # The administrator's tools lie outside of an ordinary user's PATH.
        path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
        return path is not None, path or "not found"

    return [_found("tool", name, partial(present, name)) for name in TOOLS]


def _queue() -> Finding:
    """NFQUEUE: whether this kernel has it loaded, built in or on disk."""

    def look() -> tuple[bool, str]:
        if os.path.exists("/proc/net/netfilter/nfnetlink_queue"):
            return True, "loaded"
        modprobe = shutil.which("modprobe") or shutil.which("modprobe", path="/usr/sbin:/sbin")
        if modprobe is None:
            return False, "not loaded"
        done = subprocess.run(
            [modprobe, "--dry-run", "nfnetlink_queue"],
            check=False,
            capture_output=True,
            timeout=5,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode == 0, "available" if done.returncode == 0 else "not in this kernel"

    return _found("kernel", "NFQUEUE", look)


def _recording() -> list[Finding]:
    """Whether `record` can capture here, and what would compile its filters."""

    def capture() -> tuple[bool, str]:
        reason = import_module("agent.capture.live").obstacle()
        return reason is None, "possible" if reason is None else f"record {reason}"

    def filters() -> tuple[bool, str]:
        found = import_module("agent.capture.bpf").compiler()
        return found is not None, found or "no libpcap and no tcpdump: record works, its --filter does not"

    return [_found("recording", "capture", capture), _found("recording", "filter", filters)]


def _attribution() -> list[Finding]:
    """Whether the kernel tells whose a socket is, and whether psutil may see every process's sockets."""

    def kernel() -> tuple[bool, str]:
        import_module("agent.attribution.live.source").LiveSource(ask=True)
        return True, "the kernel tells the socket of each flow"

    def listed() -> tuple[bool, str]:
        psutil = import_module("psutil")
        # What is over has no process any more.
        connections = [one for one in psutil.net_connections("inet") if one.status != psutil.CONN_TIME_WAIT]
        owned = sum(connection.pid is not None for connection in connections)
        return owned == len(connections), f"{owned} of {len(connections)} sockets show their process"

    return [_found("attribution", "sock_diag", kernel), _found("attribution", "psutil", listed)]


def _found(area: str, name: str, look: Callable[[], tuple[bool, str]]) -> Finding:
    """A finding; whatever goes wrong while looking is one too."""
    try:
        ok, value = look()
    except Exception as error:  # noqa: BLE001 - doctor must survive whatever a broken machine does
        ok, value = False, f"{type(error).__name__}: {error}"
    return Finding(area=area, name=name, ok=ok, value=value)
