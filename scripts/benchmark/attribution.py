"""What finding a socket's owner costs: owners.py's numbers as a table, beside their goals.

Knows what was promised. Never: the agent's inside.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmark.processes import ToolFailedError
from benchmark.tables import Check, Goal, columns

OWNERS_FILE = Path(__file__).with_name("owners.py")

LOAD_RECORDS = 1_000_000
LOAD_SECONDS, RESOLVE_MICROSECONDS, LIVE_MICROSECONDS = 10.0, 1.0, 1000.0


def measure(python: Path, records: int, sockets: int, folder: Path) -> dict[str, Any]:
    """What owners.py prints. Raises ToolFailedError."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = json.dumps({"records": records, "sockets": sockets, "folder": str(folder)})
    # -P: what lies beside the file is not for it to import.
    command = [str(python), "-P", str(OWNERS_FILE), asked]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise ToolFailedError(f"{OWNERS_FILE.name}: exit {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def checks(found: dict[str, Any]) -> list[Check]:
    """The goals; loading a million records is judged by what was loaded."""
    timeline, live = found["timeline"], found["live"]
    load = timeline["load_seconds"] * LOAD_RECORDS / timeline["records"]
    p99 = None if live is None else live["open"]["p99"]
    return [
        Check(name="owners: 1 M records loaded", value=load, goal=Goal(bound=LOAD_SECONDS, at_most=True), unit=" s"),
        Check(
            name="owners: resolve, recorded",
            value=timeline["resolve_microseconds"],
            goal=Goal(bound=RESOLVE_MICROSECONDS, at_most=True),
            unit=" us",
        ),
        Check(
            name="owners: live lookup, p99",
            value=p99,
            goal=Goal(bound=LIVE_MICROSECONDS, at_most=True),
            unit=" us",
        ),
    ]


def text(found: dict[str, Any]) -> list[str]:
    """Two tables."""
    timeline, live = found["timeline"], found["live"]
    size = f"{timeline['bytes'] / 1e6:,.0f} MB"
    load = f"{timeline['records']:,} records ({size}) load in {timeline['load_seconds']:.2f} s"
    each = f"a lookup takes {timeline['resolve_microseconds']:.2f} us, {timeline['scattered_microseconds']:.2f} us"
    parts = ["owners of sockets", f"recorded: {load}, then {each} in no order"]
    if live is None:
        return [*parts, "live: the kernel cannot be asked here"]
    parts.append(
        f"live: {live['sockets']:,} sockets in {live['processes']} processes, first read in "
        f"{1000 * live['start_seconds']:.0f} ms; psutil.net_connections() takes {1000 * live['psutil_seconds']:.0f} ms"
    )
    rows = [
        (name, f"{live[key]['count']:,}", *(f"{live[key][part]:,.0f}" for part in ("p50", "p99", "most")))
        for key, name in (("open", "all"), ("datagrams", "UDP of these"), ("new", "made just before"))
    ]
    return [*parts, "", *columns([("sockets asked for", "lookups", "p50 us", "p99 us", "most us"), *rows])]
