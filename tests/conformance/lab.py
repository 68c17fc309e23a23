"""The laboratory of the conformance tests: one device, its programs, and replays through the command line.

Programs are called by a short word; `outcomes` reads a replay back as what became of each program's flows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.traffic.generate import Generated
from tests.scenarios.playing import Played, as_text, replay
from tests.traffic.builders import play

CHANNEL = "unitedstates.x.endpoint.security.microsoft.com"
CLOUD = "192.0.2.40"

PROGRAMS: dict[str, dict[str, Any]] = {
    "tool": {"image": r"C:\Lab\tool.exe"},
    "other": {"image": r"C:\Lab\other.exe"},
    "child": {"image": r"C:\Windows\System32\cmd.exe", "parent": "tool"},
    "desktop": {"image": r"C:\Windows\System32\svchost.exe", "services": ["TermService"]},
    "printing": {"image": r"C:\Windows\System32\svchost.exe", "services": ["Spooler"]},
    "packaged": {
        "image": r"C:\Program Files\WindowsApps\MSTeams_24335.208.3315.1951_x64__8wekyb3d8bbwe\ms-teams.exe",
        "package_family_name": "MSTeams_8wekyb3d8bbwe",
    },
    "outlook": {"image": r"C:\Program Files\Microsoft Office\root\Office16\OUTLOOK.EXE"},
    "teams": {"image": r"C:\Users\ann\AppData\Local\Microsoft\Teams\current\Teams.exe"},
    "skype": {"image": r"C:\Program Files (x86)\Microsoft\Skype for Desktop\Skype.exe"},
    "skype_for_business": {"image": r"C:\Program Files\Microsoft Office\root\Office16\lync.exe"},
    "sense": {
        "image": r"C:\Program Files\Windows Defender Advanced Threat Protection\MsSense.exe",
        "services": ["Sense"],
    },
}
DEVICE: dict[str, Any] = {
    "platform": "Windows11",
    "os_version": "24H2",
    "addresses": ["10.0.0.5", "2001:db8::5"],
    "resolvers": ["10.0.0.1"],
}

BY_PROCESS = {"name": "By process", "process_path": r"C:\Lab\tool.exe"}
BY_SERVICE = {"name": "By service", "service_name": "termservice"}
BY_PACKAGE = {"name": "By package", "package_family_name": "MSTeams_8wekyb3d8bbwe"}
BY_ADDRESS = {"name": "By address", "remote_ips": ["198.51.100.7"]}

NOBODY = "no_matching_exclusion"


def tls(program: str, remote: str, *, direction: str = "outbound", at: int = 1, **more: Any) -> dict[str, Any]:
    """A TLS session between a program of the device and `remote`, to port 443 or, inbound, 8443."""
    port = 443 if direction == "outbound" else 8443
    return {"kind": "tls", "at": at, "process": program, "remote": remote, "direction": direction, "port": port, **more}


OFFICE = (
    tls("outlook", "198.51.100.30", at=1),
    tls("teams", "198.51.100.20", at=2),
    tls("skype", "198.51.100.40", at=3),
    tls("skype_for_business", "198.51.100.41", at=4),
)
"""The embedded list's programs, and Skype."""


def capture(*activities: Mapping[str, Any], device: Mapping[str, Any] | None = None) -> Generated:
    """A capture of the laboratory's device; `device` changes its document."""
    whole = {key: value for key, value in {**DEVICE, **(device or {})}.items() if value is not None}
    programs = PROGRAMS
    if whole["platform"] in ("macOS", "Linux"):
        programs = {name: {"image": f"/opt/lab/{name}"} for name in PROGRAMS}
        programs["sense"] = {"image": "/opt/microsoft/mdatp/sbin/wdavdaemon"}
    return play(
        *(as_text(activity) for activity in activities),  # type: ignore[arg-type]  # mappings stay mappings
        device=as_text(whole),
        hosts={CHANNEL: {"addresses": [CLOUD], "ttl": "60"}},
        processes=as_text(programs),
    )


def rules(folder: Path, *listed: Mapping[str, Any], **document: Any) -> tuple[str, str]:
    """`--rules FILE` for a document of these Windows rules; further keys of the document as keywords."""
    path = folder / "rules.json"
    whole = {"version": 1, "isolation_exclusions": True, "windows_rules": list(listed), **document}
    path.write_text(json.dumps(whole), "utf-8")
    return "--rules", str(path)


def selective(folder: Path, generated: Generated, *words: str, **more: Any) -> Played:
    """The device isolated selectively; `words` are further options."""
    return replay(folder, generated, "--mode", "selective", *words, **more)


def full(folder: Path, generated: Generated, *words: str, **more: Any) -> Played:
    return replay(folder, generated, "--mode", "full", *words, **more)


def outcomes(played: Played) -> list[tuple[str | None, str, str, str, list[str]]]:
    """(program, direction, remote, reason, rules) of every TCP flow, in order of the flows."""
    names = {details["image"]: name for name, details in PROGRAMS.items() if "services" not in details}
    names |= {f"/opt/lab/{name}": name for name in PROGRAMS}
    names["/opt/microsoft/mdatp/sbin/wdavdaemon"] = "sense"
    by_service = {
        service.lower(): name for name, details in PROGRAMS.items() for service in details.get("services", ())
    }
    found = []
    for record in sorted(played.flows, key=lambda one: one["flow_id"]):
        if record["protocol"] != "tcp":
            continue
        process = record["process"] or {}
        services = process.get("services") or ()
        program = by_service[services[0].lower()] if services else names.get(process.get("image", ""))
        found.append((program, record["direction"], record["remote"]["ip"], record["reason"], record["rules"]))
    return found


def excluded(played: Played) -> list[tuple[str | None, str, str]]:
    """(program, direction, remote) of the TCP flows that a rule let through."""
    return [(program, way, remote) for program, way, remote, reason, _ in outcomes(played) if reason == "exclusion"]
