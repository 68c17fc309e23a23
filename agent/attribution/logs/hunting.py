"""Advanced Hunting's DeviceNetworkEvents and DeviceProcessEvents: CSV, JSON lines, the APIs' answers, streamed events.

Knows how these tables are exported. Must not know what their rows mean.

    if recognises(file):
        collectors = load(file, context)
"""

from __future__ import annotations

from typing import Any

from agent.attribution.collector import Collector
from agent.attribution.evidence import Context
from agent.attribution.logs.csvtext import Header, header_of
from agent.attribution.logs.huntingrows import HuntingRows
from agent.attribution.logs.tables import Row, first_row, names_of, rows
from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError

_NETWORK = ("ActionType", "LocalIP", "LocalPort", "RemoteIP", "RemotePort", "Protocol")
_PROCESS = ("ActionType", "ProcessId", "ProcessCreationTime")
_TIME = ("Timestamp", "TimeGenerated")
_HOST = ("DeviceName", "DeviceId")
_OTHER = (
    "AdditionalFields", "AppGuardContainerId", "AccountDomain", "AccountName", "FileName", "FolderPath",
    "ProcessCommandLine", "InitiatingProcessAccountDomain", "InitiatingProcessAccountName",
    "InitiatingProcessCommandLine", "InitiatingProcessCreationTime", "InitiatingProcessFileName",
    "InitiatingProcessFolderPath", "InitiatingProcessId", "properties", "category", "records",
)  # fmt: skip
NAMES = names_of(*_NETWORK, *_PROCESS, *_TIME, *_HOST, *_OTHER)
_STREAM = "AdvancedHunting-"
_TABLES = frozenset({"AdvancedHunting-DeviceNetworkEvents", "AdvancedHunting-DeviceProcessEvents"})


def recognises(file: TextFile) -> bool:
    """By the names of columns that only these tables have together."""
    header = header_of(file)
    if header is not None:
        return _has_columns({NAMES[column] for column in header.columns if column in NAMES})
    row = first_row(file)
    if not isinstance(row, dict):
        return False
    if str(row.get("category", "")).startswith(_STREAM) and isinstance(row.get("properties"), dict):
        return True
    return _has_columns({NAMES[key.lower()] for key in row if key.lower() in NAMES})


def _has_columns(names: set[str]) -> bool:
    known = "ActionType" in names and not names.isdisjoint(_TIME) and not names.isdisjoint(_HOST)
    return known and ("LocalIP" in names or "RemoteIP" in names or names.issuperset(_PROCESS))


def load(file: TextFile, context: Context) -> list[Collector]:
    """One collector with what names a process, and a witness if rows tell who opened a connection and no more."""
    header = header_of(file)
    if header is not None:
        _check(file, header)
    taken = HuntingRows(file, context)
    if header is not None and header.zones - {"utc"}:
        zones = ", ".join(sorted(header.zones))
        taken.known.warn("time_zone_unknown", f"{file.path}: its times are in the zone {zones!r}, and read as UTC")
    for number, row in rows(file, NAMES, taken.reading.broken):
        for inner in _unwrapped(row):
            try:
                taken.take(inner)
            except ValueError as error:
                taken.reading.broken.note(number, str(error))
    return taken.finish()


def _check(file: TextFile, header: Header) -> None:
    """Raises AttributionError if columns that matter were not exported."""
    columns = {NAMES[column] for column in header.columns if column in NAMES}
    wanted = _PROCESS if "ProcessCreationTime" in columns and "LocalIP" not in columns else _NETWORK
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise AttributionError(file.path, 1, f"has no column {', '.join(missing)}: export it, too")


def _unwrapped(row: Row) -> list[Any]:
    """The table's rows in a row of the file: streamed ones lie in an envelope, or several in one."""
    if isinstance(row.get("records"), list):
        return [_inside(inner) for inner in row["records"]]
    return [_inside(row)]


def _inside(row: Any) -> Any:
    if isinstance(row, dict) and isinstance(row.get("properties"), dict) and "category" in row:
        if row["category"] not in _TABLES:
            return None
        return {NAMES.get(key.lower(), key): value for key, value in row["properties"].items()}
    return row
