r"""Zeek's conn.log, tab-separated or JSON lines: who opened each connection, for connections whose owner others know.

Knows its fields and what its `history` proves. Must not know any process: there is none in it.

    if recognises(file):
        [witness] = load(file, context)

`history` has a letter per event, upper case for the originator's side: S a SYN, h the responder's SYN+ACK, D data. With
S or h the direction of a TCP connection is proven. A leading ^ says that Zeek turned the direction by port numbers,
a guess unless a SYN+ACK backs it: such rows are left out, because the agent has guesses of its own, and marks them so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.attribution.collector import Collector
from agent.attribution.evidence import NOBODY, Context, Observation, Rank, Side
from agent.attribution.logs.reading import Reading, nanoseconds
from agent.attribution.logs.tables import first_row, names_of, rows
from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError
from agent.model.moment import SECOND
from agent.model.vocabulary import Confidence

NAME = "zeek"
_NEEDED = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto")
_NAMES = names_of(*_NEEDED, "id", "duration", "history", "conn_state")
_UNSET = "-"
_TCP, _WITH_PORTS = 6, frozenset({"tcp", "udp", "sctp"})


def recognises(file: TextFile) -> bool:
    """By its header, or by the fields that only conn.log has together."""
    if file.head().lstrip().startswith(b"#separator"):
        lines = file.head().split(b"\n")
        return any(line.split() == [b"#path", b"conn"] for line in lines) or any(_is_conn(line) for line in lines)
    row = first_row(file)
    if not isinstance(row, dict) or row.get("_path", "conn") != "conn" or "conn_state" not in row:
        return False
    return "proto" in row and ("id.orig_h" in row or (isinstance(row.get("id"), dict) and "orig_h" in row["id"]))


def _is_conn(line: bytes) -> bool:
    return line.startswith(b"#fields") and b"conn_state" in line and b"id.orig_h" in line


def load(file: TextFile, context: Context) -> list[Collector]:
    """One witness: `first` of each observation is the originator."""
    reading = Reading(file, context)
    witness = Collector(NAME, file.path, context=context, rank=Rank.LOG, confidence=Confidence.HIGH)
    witness.witness = True
    found = _tab_rows(file, reading) if file.head().lstrip().startswith(b"#") else rows(file, _NAMES, reading.broken)
    for number, row in found:
        try:
            _take(row, reading, witness)
        except ValueError as error:
            reading.broken.note(number, str(error))
    return reading.finish(len(witness.observations), [witness])


def _tab_rows(file: TextFile, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows under the names that the latest `#fields` gives; unset ones are left out."""
    separator, fields, unset = "\t", [""], _UNSET
    for number, line, whole in file.lines(reading.broken.note):
        try:
            text = line.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            reading.broken.note(number, f"is not UTF-8 ({error.reason})")
            continue
        if text.startswith("#"):
            key, _, rest = text[1:].partition(" " if text.startswith("#separator") else separator)
            if key == "separator":
                separator = _unescaped(rest.strip()) or separator
            elif key == "unset_field":
                unset = rest
            elif key == "fields":
                fields = rest.split(separator)
                _check(file, number, fields)
            continue
        cells = text.split(separator)
        if len(cells) == len(fields):
            yield number, {name: cell for name, cell in zip(fields, cells, strict=True) if cell != unset}
        elif whole:
            reading.broken.note(number, f"has {len(cells)} columns, the header {len(fields)}")
        else:
            file.truncated = True


def _check(file: TextFile, number: int, fields: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        raise AttributionError(file.path, number, f"is no conn.log: it has no field {', '.join(missing)}")


def _unescaped(text: str) -> str:
    r"""`\x09` as the character that it means."""
    if len(text) == 4 and text.startswith("\\x"):
        try:
            return chr(int(text[2:], 16))
        except ValueError:
            return ""
    return text


def _take(row: dict[str, Any], reading: Reading, witness: Collector) -> None:
    """Raises ValueError for a row that is none of conn.log."""
    if isinstance(row.get("id"), dict):
        row = {**row, **{f"id.{key}": value for key, value in row["id"].items()}}
    missing = [name for name in _NEEDED if row.get(name) is None]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    time = _time(row["ts"], reading)
    first = reading.ends.endpoint(row["id.orig_h"], row["id.orig_p"])
    second = reading.ends.endpoint(row["id.resp_h"], row["id.resp_p"])
    name, history = str(row["proto"]).lower(), str(row.get("history") or "")
    if name not in _WITH_PORTS:
        reading.skip("of protocols without ports")
        return
    protocol = reading.ends.protocol(name)
    if not _is_proven(protocol, history):
        reading.skip("whose direction Zeek did not see either")
        return
    end = time + _length(row.get("duration"))
    witness.saw(Observation("", time, protocol, first, second, Side.UNSURE, NOBODY, None, False, end, False))


def _is_proven(protocol: int, history: str) -> bool:
    if protocol == _TCP:
        return "h" in history or ("S" in history and not history.startswith("^"))
    return history.startswith("D")


def _time(value: Any, reading: Reading) -> int:
    """Seconds since 1970 as a number or its digits, or ISO 8601."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        return reading.times.parse(value)
    return _length(value)


def _length(value: Any) -> int:
    """Nanoseconds of seconds; 0 for none. Digits are taken as they are: a float cannot hold nanoseconds."""
    if value is None:
        return 0
    if isinstance(value, str):
        whole, _, fraction = value.partition(".")
        digits = whole + fraction
        if not (digits.isascii() and digits.isdigit()) or len(whole) > 10:
            raise ValueError(f"{value[:40]!r} is no time")
        return int(whole or "0") * SECOND + int(fraction[:9].ljust(9, "0"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return nanoseconds(value)
    raise ValueError(f"{str(value)[:40]!r} is no time")
