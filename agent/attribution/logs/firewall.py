"""The Windows firewall's log, pfirewall.log: which way connections and dropped packets went, and whose pid it was.

Knows its columns, which `#Fields` names. Must not know which process a pid was.

    if recognises(file):
        collectors = load(file, context)

Rows with a pid are evidence of rank PID, for somebody to join with a process; rows without one are a witness of who
opened a connection, and no more. Its time is local time without a zone: it is read as UTC, and the collector's clock
offset makes up for it. Only what the administrator switched on is logged, and old entries are overwritten.
"""

from __future__ import annotations

from agent.attribution.collector import Collector
from agent.attribution.evidence import NOBODY, Claim, Context, Observation, Rank, Side
from agent.attribution.logs.reading import Reading, is_own, pid_of
from agent.attribution.textfile import TextFile
from agent.model.address import Endpoint
from agent.model.vocabulary import Confidence

NAME = "firewall"
_NEEDED = ("date", "time", "action", "protocol", "src-ip", "dst-ip", "src-port", "dst-port")
_FIELDS = b"#fields:"
_LOST = "INFO-EVENTS-LOST"
_ACTIONS = frozenset({"ALLOW", "DROP", "OPEN", "OPEN-INBOUND"})
_TCP = 6

_SIDES = {"SEND": Side.FIRST, "RECEIVE": Side.SECOND}
_OLD_SIDES = {"OPEN": Side.FIRST, "OPEN-INBOUND": Side.SECOND}
"""Of builds without the column `path`."""

_OPENING = frozenset({"-", "", "0", "S"})
"""TCP flags of a row that is about a connection, or about its first packet."""


def recognises(file: TextFile) -> bool:
    """By the fields that its header names."""
    fields = next((line for line in file.head().split(b"\n") if line[:8].lower() == _FIELDS), b"").lower().split()
    return b"action" in fields and b"src-ip" in fields and b"dst-port" in fields


def load(file: TextFile, context: Context) -> list[Collector]:
    """The rows with a pid, the rows without; each only if there are any."""
    loader = _Loader(file, context)
    for number, line, whole in file.lines(loader.reading.broken.note):
        if line.startswith(b"#"):
            if line[:8].lower() == _FIELDS:
                loader.set_fields(line.decode("ascii", "replace").split()[1:])
            continue
        try:
            loader.take(line.decode().split())
        except ValueError as error:
            if whole:
                loader.reading.broken.note(number, _text(error))
            else:
                file.truncated = True
    return loader.finish()


def _text(error: ValueError) -> str:
    return f"is not UTF-8 ({error.reason})" if isinstance(error, UnicodeDecodeError) else str(error)


class _Loader:
    """Puts rows into two collectors: with a pid, and without."""

    def __init__(self, file: TextFile, context: Context) -> None:
        self.reading = Reading(file, context)
        self._known = Collector(NAME, file.path, context=context, rank=Rank.PID, confidence=Confidence.MEDIUM)
        self._seen = Collector(NAME, file.path, context=context, rank=Rank.PID, confidence=Confidence.MEDIUM)
        self._seen.witness = True
        self._places: dict[str, int] = {}
        self._least = 0
        self._lost = 0
        self._used = 0
        self._claims: dict[int, Claim] = {}

    def set_fields(self, names: list[str]) -> None:
        """A header; it recurs, and may change, when the firewall is restarted."""
        self._places = {name.lower(): place for place, name in enumerate(names)}
        self._least = max((self._places.get(name, 0) for name in _NEEDED), default=0) + 1

    def take(self, cells: list[str]) -> None:
        """Raises ValueError for a row that is not what the header says."""
        places = self._places
        if any(name not in places for name in _NEEDED):
            raise ValueError("comes before a #Fields line that names date, time, action, protocol and both ends")
        if len(cells) > places["action"] and cells[places["action"]] == _LOST:
            self._lose(self._cell(cells, "info"))
            return
        if len(cells) < self._least:
            raise ValueError(f"has {len(cells)} columns, the header {len(places)}")
        action, path = cells[places["action"]], self._cell(cells, "path").upper()
        if action == "CLOSE":
            self.reading.skip("of connections that end")
        elif action not in _ACTIONS:
            raise ValueError(f"{action[:40]!r} is no action of the firewall")
        elif path == "FORWARD":
            self.reading.skip("of forwarded packets")
        else:
            self._observe(cells, _SIDES.get(path, _OLD_SIDES.get(action, Side.UNSURE)))

    def finish(self) -> list[Collector]:
        collectors = [made for made in (self._known, self._seen) if made.observations] or [self._known]
        if self._lost:
            text = (
                f"{self.reading.file.path}: the firewall lost {self._lost:,} events: what is missing here may have been"
            )
            collectors[0].warn("events_lost", text)
        return self.reading.finish(self._used, collectors)

    def _observe(self, cells: list[str], side: Side) -> None:
        places, ends = self._places, self.reading.ends
        time = self.reading.times.parse(f"{cells[places['date']]}T{cells[places['time']]}")
        if cells[places["protocol"]] == "-":
            self.reading.skip("without a protocol")
            return
        protocol = ends.protocol(cells[places["protocol"]])
        first = self._end(cells, "src-ip", "src-port")
        second = self._end(cells, "dst-ip", "dst-port")
        pid = pid_of(self._cell(cells, "pid"))
        opened = None
        if protocol == _TCP and side is not Side.UNSURE and self._cell(cells, "tcpflags") in _OPENING:
            opened = side is Side.FIRST
        claim = NOBODY if pid is None else self._claims.setdefault(pid, Claim(pid=pid))
        own = first if side is Side.FIRST else second
        observation = Observation(
            "", time, protocol, first, second, side, claim, opened, False, None, side is not Side.UNSURE and is_own(own)
        )
        if claim is not NOBODY:
            self._known.saw(observation)
        elif opened is not None:
            self._seen.saw(observation)
        else:
            self.reading.skip("without a pid, and no TCP connection's first")
            return
        self._used += 1

    def _end(self, cells: list[str], address: str, port: str) -> Endpoint:
        digits = cells[self._places[port]]
        return self.reading.ends.endpoint(cells[self._places[address]], 0 if digits == "-" else digits)

    def _cell(self, cells: list[str], name: str) -> str:
        place = self._places.get(name)
        return cells[place] if place is not None and place < len(cells) else "-"

    def _lose(self, count: str) -> None:
        self._lost += int(count) if count.isascii() and count.isdigit() and len(count) <= 18 else 1
