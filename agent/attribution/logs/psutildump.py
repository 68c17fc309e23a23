"""A dump of psutil's net_connections() as JSON: the sockets of one instant, with what was joined of their processes.

Knows psutil's fields and how people write them. Must not know when it was taken: nothing in it says so.

    if recognises(file):
        [collector] = load(file, context)

One row of a list, or of JSON lines: {"fd", "family", "type", "laddr", "raddr", "status", "pid"}, or the same seven in a
list, as json.dumps() writes a named tuple. An address is [ip, port], {"ip", "port"}, "ip:port", or [] for none. Beside
them may stand the process's exe, name, create_time, username, cmdline. Times are as in ss.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.attribution.collector import Collector
from agent.attribution.evidence import FOREVER, Claim, Context, Observation, Rank, Side
from agent.attribution.logs.documents import DocumentRows
from agent.attribution.logs.reading import Reading, is_own, nanoseconds, pid_of, text_of
from agent.attribution.logs.tables import first_row, names_of, rows
from agent.attribution.textfile import TextFile
from agent.model.address import Endpoint
from agent.model.errors import AttributionError
from agent.model.vocabulary import Confidence

NAME = "psutil"
_FIELDS = ("fd", "family", "type", "laddr", "raddr", "status", "pid")
_NAMES = names_of(*_FIELDS, "exe", "name", "create_time", "username", "cmdline")
_TYPES = {
    1: 6, "1": 6, "sock_stream": 6, "stream": 6, "tcp": 6, "tcp6": 6,
    2: 17, "2": 17, "sock_dgram": 17, "dgram": 17, "udp": 17, "udp6": 17,
}  # fmt: skip
_ADDRESSES = 3, 4
"""Where the two addresses stand in a row that is a list."""


def recognises(file: TextFile) -> bool:
    """By the names, or by the shape of a named tuple."""
    row = first_row(file)
    if isinstance(row, dict):
        keys = {key.lower() for key in row}
        return "laddr" in keys and "type" in keys and bool(keys & {"raddr", "status"})
    return _is_tuple(row)


def _is_tuple(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != len(_FIELDS):
        return False
    return all(isinstance(row[place], list | str) for place in _ADDRESSES) and isinstance(row[5], str)


def load(file: TextFile, context: Context) -> list[Collector]:
    """One collector."""
    reading = Reading(file, context)
    collector = Collector(NAME, file.path, context=context, rank=Rank.SNAPSHOT, confidence=Confidence.MEDIUM)
    collector.timeless = True
    claims: dict[Claim, Claim] = {}
    for number, row in _rows(file, reading):
        try:
            _take(row, reading, collector, claims)
        except ValueError as error:
            reading.broken.note(number, str(error))
    return reading.finish(len(collector.observations), [collector])


def _rows(file: TextFile, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Named rows, also of lists."""
    if not isinstance(first_row(file), list):
        yield from rows(file, _NAMES, reading.broken)
        return
    found = DocumentRows(file.chunks())
    for number, row in found:
        if _is_tuple(row):
            yield number, dict(zip(_FIELDS, row, strict=True))
        else:
            reading.broken.note(number, "is no row of seven fields, fd to pid")
    if found.error is not None:
        line, text = found.error
        if not reading.broken.lenient:
            raise AttributionError(file.path, line, f"{text} (--lenient uses what is before)")
        reading.broken.note(line, text)
    file.truncated = file.truncated or found.cut


def _take(row: dict[str, Any], reading: Reading, collector: Collector, claims: dict[Claim, Claim]) -> None:
    """Raises ValueError for a value that cannot be."""
    kind = row.get("type")
    protocol = (
        _TYPES.get(kind.rpartition(".")[2].lower() if isinstance(kind, str) else kind) if _hashable(kind) else None
    )
    if protocol is None or _is_unix(row.get("family")):
        reading.skip("of sockets that are neither TCP nor UDP")
        return
    local, remote = _end(row.get("laddr"), reading), _end(row.get("raddr"), reading)
    pid = pid_of(row.get("pid"))
    if local is None:
        reading.skip("of sockets that are not bound")
    elif pid is None:
        reading.skip("without a process")
    else:
        listening = str(row.get("status")).upper().rpartition("_")[2] == "LISTEN"
        peer = None if listening or remote is None or remote.address is None else remote
        claim = _claim(pid, row)
        claim, own = claims.setdefault(claim, claim), is_own(local)
        collector.saw(Observation("", 0, protocol, local, peer, Side.FIRST, claim, None, listening, FOREVER, own))


def _hashable(value: Any) -> bool:
    return value is None or isinstance(value, str | int)


def _is_unix(family: Any) -> bool:
    return family == 1 or (isinstance(family, str) and family.upper().endswith("AF_UNIX"))


def _claim(pid: int, row: dict[str, Any]) -> Claim:
    """The program is `exe`; a mere name is shown, unless it could pass for a path."""
    exe, name, words = text_of(row.get("exe")), text_of(row.get("name")), row.get("cmdline")
    created = row.get("create_time")
    if created is not None and (isinstance(created, bool) or not isinstance(created, int | float)):
        raise ValueError(f"create_time {str(created)[:40]!r} is no number of seconds")
    if isinstance(words, list):
        words = " ".join(str(word) for word in words)
    shown = name if name and "/" not in name and "\\" not in name else None
    return Claim(
        pid=pid,
        created=None if created is None else nanoseconds(created),
        image=exe or shown,
        command_line=text_of(words),
        user=text_of(row.get("username")),
    )


def _end(value: Any, reading: Reading) -> Endpoint | None:
    """An address in any of its spellings; None for none. Raises ValueError."""
    if value is None or value == [] or value == "" or value == {}:
        return None
    if isinstance(value, dict):
        return reading.ends.endpoint(value.get("ip"), value.get("port"))
    if isinstance(value, list) and len(value) == 2:
        return reading.ends.endpoint(value[0], value[1])
    if isinstance(value, str) and ":" in value:
        host, _, port = value.rpartition(":")
        return reading.ends.endpoint(host.removeprefix("[").removesuffix("]"), port)
    raise ValueError(f"{str(value)[:60]!r} is no address and port")
