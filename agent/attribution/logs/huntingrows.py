"""What rows of DeviceNetworkEvents and DeviceProcessEvents say: sockets, processes, who opened a connection.

Knows the columns and what each ActionType means (the portal's schema reference; the samples in elastic/integrations).
Must not know what the rows are written in. The tables are sampled: what is missing in them may well have happened.

- ConnectionSuccess, ConnectionFailed, ConnectionRequest, and the AggregatedReport of an hour: this host opened it.
- InboundConnectionAccepted: the other end did. ListeningConnectionCreated: a process listens.
- ConnectionAttempt, ConnectionAcknowledged: a SYN or SYN+ACK that device discovery saw, even of other devices. Nothing
  is taken from them but a process, if they name one.
- DnsConnectionInspected and other *Inspected: packet inspection saw it; no process (pid 0), and who opened it stands in
  AdditionalFields: "direction" In or Out.

    rows = HuntingRows(file, context)
    rows.take({"ActionType": "ConnectionSuccess", "LocalIP": "10.0.0.5", ...})
    collectors = rows.finish()
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from agent.attribution.collector import Collector
from agent.attribution.evidence import NOBODY, Claim, Context, Observation, ProcessStart, Rank, Side
from agent.attribution.logs.reading import Reading, is_own, pid_of, text_of
from agent.attribution.logs.tables import Row
from agent.attribution.textfile import TextFile
from agent.model.address import Endpoint
from agent.model.moment import SECOND

NAME = "hunting"

_OPENED = {
    "connectionsuccess": True, "connectionfailed": True, "connectionrequest": True,
    "connectionsuccessaggregatedreport": True, "connectionfailedaggregatedreport": True,
    "inboundconnectionaccepted": False,
}  # fmt: skip
_LISTENING = frozenset({"listeningconnectioncreated"})
_SNIFFED = frozenset({"connectionattempt", "connectionacknowledged"})
_STARTED = frozenset({"processcreated"})
_WAYS = {"out": True, "outbound": True, "in": False, "inbound": False}

_MINUTE_TIME = re.compile(r"(\d{1,2}/\d{1,2}/\d{4}, \d{1,2}:\d\d:\d\d)(?:\.(\d{1,9}))? ([AP]M)", re.ASCII)
"""Log Analytics' CSV in English: `9/28/2026, 10:40:01.512 AM`. Without AM or PM nobody can tell month from day."""


class _Process(NamedTuple):
    """The columns of one process, as they are written."""

    pid: Any
    created: Any
    folder: Any
    file: Any
    command_line: Any
    domain: Any
    account: Any
    container: Any


class HuntingRows:
    """Puts rows into collectors. Claims are kept: equal ones are one object."""

    def __init__(self, file: TextFile, context: Context) -> None:
        self.reading = Reading(file, context)
        self.known = Collector(NAME, file.path, context=context, rank=Rank.LOG)
        self.seen = Collector(NAME, file.path, context=context, rank=Rank.LOG)
        self.seen.witness = True
        self._used = 0
        self._claims: dict[_Process, Claim] = {}
        self._started: set[tuple[str, int]] = set()

    def take(self, row: Any) -> None:
        """Raises ValueError for a value that cannot be."""
        if not isinstance(row, dict):
            self.reading.skip("of other tables")
            return
        action = str(row.get("ActionType") or "").lower()
        if action in _STARTED:
            self._start(row)
        elif row.get("LocalIP") is None or row.get("LocalPort") is None:
            self.reading.skip("of other tables" if "LocalIP" not in row else "without a local address or port")
        elif row.get("Protocol") is None:
            self.reading.skip("without a protocol")
        else:
            self._socket(row, action)

    def finish(self) -> list[Collector]:
        collectors = [self.known, self.seen] if self.seen.observations else [self.known]
        return self.reading.finish(self._used, collectors)

    def _socket(self, row: Row, action: str) -> None:
        ends = self.reading.ends
        host, time, protocol = self._host(row), self._time(row), ends.protocol(row["Protocol"])
        local, remote = ends.endpoint(row["LocalIP"], row["LocalPort"]), self._remote(row)
        listening = action in _LISTENING
        if listening or (remote is not None and remote.address is None):
            remote = None
        claim = self._claim(host, time, _initiating(row))
        opened = None if protocol != 6 or remote is None else _OPENED.get(action, self._way(row, action))
        sniffed = action in _SNIFFED
        observation = Observation(
            host, time, protocol, local, remote, Side.UNSURE if sniffed else Side.FIRST, claim,
            None if sniffed else opened, listening, None, not sniffed and is_own(local),
        )  # fmt: skip
        if claim is not NOBODY:
            self.known.saw(observation)
        elif opened is not None and not sniffed:
            self.seen.saw(observation)
        else:
            self.reading.skip("that name no process")
            return
        self._used += 1

    def _start(self, row: Row) -> None:
        host, time = self._host(row), self._time(row)
        self._claim(host, time, _initiating(row))
        process = _Process(
            row.get("ProcessId"), row.get("ProcessCreationTime"), row.get("FolderPath"), row.get("FileName"),
            row.get("ProcessCommandLine"), row.get("AccountDomain"), row.get("AccountName"), None,
        )  # fmt: skip
        claim = self._claim(host, time, process)
        if claim is NOBODY or claim.created is None:
            self.reading.skip("of processes without pid or creation time")
            return
        self._used += 1

    def _claim(self, host: str, time: int, process: _Process) -> Claim:
        """What the columns say; a process with its creation time is told to the collector once."""
        try:
            claim = self._claims.get(process)
        except TypeError:
            raise ValueError("a column of the process holds a list or object") from None
        if claim is None:
            claim = self._claims[process] = self._make(process)
        if claim.created is not None and (host, id(claim)) not in self._started:
            self._started.add((host, id(claim)))  # claims are kept
            self.known.started(ProcessStart(host, claim.created, claim))
        return claim

    def _make(self, process: _Process) -> Claim:
        pid = pid_of(process.pid)
        if pid is None:
            return NOBODY
        domain, account = text_of(process.domain), text_of(process.account)
        return Claim(
            pid=pid,
            created=None if process.created is None else self._parse(process.created),
            image=_image(text_of(process.folder), text_of(process.file)),
            command_line=text_of(process.command_line),
            user=f"{domain}\\{account}" if domain and account else account,
            container=text_of(process.container),
        )

    def _host(self, row: Row) -> str:
        return text_of(row.get("DeviceName")) or text_of(row.get("DeviceId")) or ""

    def _time(self, row: Row) -> int:
        return self._parse(row.get("Timestamp") or row.get("TimeGenerated"))

    def _parse(self, value: Any) -> int:
        if isinstance(value, str) and value.endswith("M") and (match := _MINUTE_TIME.fullmatch(value)):
            try:
                moment = datetime.strptime(f"{match[1]} {match[3]}", "%m/%d/%Y, %I:%M:%S %p").replace(tzinfo=UTC)
            except ValueError:
                raise ValueError(f"{value!r} is no time") from None
            return int(moment.timestamp()) * SECOND + int((match[2] or "").ljust(9, "0"))
        return self.reading.times.parse(value)

    def _remote(self, row: Row) -> Endpoint | None:
        address, port = row.get("RemoteIP"), row.get("RemotePort")
        return None if address is None or address == "" else self.reading.ends.endpoint(address, port or 0)

    def _way(self, row: Row, action: str) -> bool | None:
        """Of an inspected connection, in AdditionalFields, which is an object or one in a text."""
        fields = row.get("AdditionalFields") if action.endswith("inspected") else None
        if isinstance(fields, str):
            try:
                fields = orjson.loads(fields)
            except ValueError:
                return None
        return _WAYS.get(str(fields.get("direction")).lower()) if isinstance(fields, dict) else None


def _initiating(row: Row) -> _Process:
    get = row.get
    return _Process(
        get("InitiatingProcessId"), get("InitiatingProcessCreationTime"), get("InitiatingProcessFolderPath"),
        get("InitiatingProcessFileName"), get("InitiatingProcessCommandLine"), get("InitiatingProcessAccountDomain"),
        get("InitiatingProcessAccountName"), get("AppGuardContainerId"),
    )  # fmt: skip


def _image(folder: str | None, file: str | None) -> str | None:
    """FolderPath is documented as the folder, and holds the whole path in what is exported."""
    if folder is None:
        return file
    if file is None or re.split(r"[\\/]", folder)[-1].lower() == file.lower():
        return folder
    slash = "/" if folder.startswith("/") else "\\"
    return f"{folder.rstrip(slash)}{slash}{file}"
