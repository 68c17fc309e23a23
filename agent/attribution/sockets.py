r"""Socket records (JSON Lines, our own format) as a source of owners.

Knows the records' fields and what their values mean for a subject. Must not know rules or packets.

    source = load_socket_records("sockets.jsonl", drives={r"\Device\HarddiskVolume3": "C:"})
    source.find(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, 2)

An unknown key is ignored, a wrong value of a known one is an error: the file is ours. What the host recorded as an
image is never an error: a program may run from any path, and one that is not a path meets no process condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from agent.attribution.subjects import PACKAGES_ROOT, SubjectMaker
from agent.attribution.textfile import TextFile
from agent.attribution.timeline import Timeline
from agent.attribution.values import SocketRecord
from agent.model.address import Address, Endpoint, parse_address, parse_endpoint
from agent.model.device import Family
from agent.model.errors import AttributionError
from agent.model.moment import SECOND, parse_time
from agent.model.protocols import parse_protocol
from agent.model.settings import BY_NAME

NAME = "sockets"
MANDATORY = ("start", "protocol", "local")
LISTENING = frozenset({"LISTEN", "LISTENING"})

DEFAULT_SLACK_NS = int(BY_NAME["attribution.slack"].default) * SECOND

_CACHED = 4096
"""Entries after which a cache of parsed texts is emptied."""
_Parsed = TypeVar("_Parsed")


class SocketRecords:
    """A loaded file of socket records. Complete: a socket that is not in it did not exist."""

    name = NAME
    complete = True

    def __init__(
        self,
        timeline: Timeline,
        *,
        facts: frozenset[str] = frozenset(),
        addresses: tuple[Address, ...] = (),
        warnings: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`timeline`: frozen; `addresses`: local ends of the records; `warnings`: (code, text)."""
        self.facts = facts
        self.warnings = warnings
        self.timeline = timeline
        self.find = timeline.find
        self._addresses = addresses

    def __len__(self) -> int:
        return len(self.timeline)

    def local_addresses(self) -> tuple[Address, ...]:
        return self._addresses


def load_socket_records(
    source: str | TextFile,
    *,
    family: Family = Family.WINDOWS,
    drives: Mapping[str, str] | None = None,
    packages_root: str = PACKAGES_ROOT,
    slack_ns: int = DEFAULT_SLACK_NS,
) -> SocketRecords:
    """Read a file of socket records. Raises AttributionError naming file, line and what is allowed.

    `family`, `drives`, `packages_root`: of the device, see SubjectMaker; `slack_ns`: see Timeline. A last line without
    newline that breaks off inside is left out with a warning: its writer was interrupted.
    """
    if isinstance(source, str):
        with TextFile(source) as file:
            return load_socket_records(
                file, family=family, drives=drives, packages_root=packages_root, slack_ns=slack_ns
            )
    maker = SubjectMaker(NAME, family=family, drives=drives or {}, packages_root=packages_root)
    parser = RecordParser(maker)
    timeline = Timeline(slack_ns)
    torn = False
    loads, record_of, add = orjson.loads, parser.record, timeline.add
    for number, line, whole in source.lines():
        try:
            row = loads(line)
        except ValueError as error:
            if not whole and line.lstrip().startswith(b"{"):
                torn = True
                continue
            raise AttributionError(source.path, number, f"is not JSON ({error})") from None
        try:
            add(record_of(row))
        except ValueError as error:
            raise AttributionError(source.path, number, str(error)) from None
    timeline.freeze()
    warnings = list(maker.warnings(source.path))
    if torn or source.truncated:
        text = f"{source.path}: the file ends inside a record; the {len(timeline)} before it are used"
        warnings.append(("attribution_truncated", text))
    return SocketRecords(timeline, facts=maker.facts, addresses=tuple(parser.addresses), warnings=tuple(warnings))


class RecordParser:
    """Turns decoded lines into records. Holds caches only, and `addresses`: local ends in order of appearance."""

    def __init__(self, maker: SubjectMaker) -> None:
        self.maker = maker
        self.addresses: dict[Address, None] = {}
        self._seconds: dict[str, int] = {}
        self._hosts: dict[str, tuple[Address | None, int]] = {}
        self._protocols: dict[Any, int] = {}

    def record(self, row: Any) -> SocketRecord:
        """The record that one line holds. Raises ValueError saying which key is wrong and what is allowed."""
        if type(row) is not dict:
            raise ValueError(f"a socket record is a JSON object, not {_kind(row)}")
        get = row.get
        start_text, protocol_value, local_text = get("start"), get("protocol"), get("local")
        if start_text is None or protocol_value is None or local_text is None:
            missing = [key for key in MANDATORY if get(key) is None]
            raise ValueError(f"{missing[0]} is missing; a socket record needs {', '.join(MANDATORY)}")
        start = self._time("start", start_text)
        end_text = get("end")
        end = None if end_text is None else self._time("end", end_text)
        if end is not None and end < start:
            raise ValueError(f"end {end_text!r} lies before start {start_text!r}")
        local = self._endpoint("local", local_text)
        remote = self._remote(get("remote"), local)
        listening = self._listening(get("state"), remote)
        initiated = get("initiated")
        if initiated is not None and type(initiated) is not bool:
            raise ValueError(f"initiated must be true, false or null, not {_kind(initiated)}")
        address = local.address
        if address is not None and address not in self.addresses and not _is_loopback(address):
            self.addresses[address] = None
        return SocketRecord(
            start,
            end,
            self._protocol(protocol_value),
            local,
            remote,
            self.maker.subject(
                get("image"),
                get("services"),
                get("package_family_name", ...),
                get("pid"),
                get("user"),
            ),
            initiated if remote is not None else None,
            listening,
        )

    def _time(self, key: str, text: Any) -> int:
        """RFC 3339; the whole seconds of UTC times are parsed once each."""
        if type(text) is not str:
            raise ValueError(f"{key} must be an RFC 3339 time, not {_kind(text)}")
        second = self._seconds.get(text[:19])
        if second is not None and text[-1] == "Z":
            if len(text) == 20:
                return second
            digits = text[20:-1]
            if text[19] == "." and len(digits) <= 9 and digits.isascii() and digits.isdigit():
                return second + int(digits.ljust(9, "0"))
        try:
            ns = parse_time(text)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
        if text[-1] == "Z":
            _keep(self._seconds, text[:19], ns // SECOND * SECOND)
        return ns

    def _endpoint(self, key: str, text: Any) -> Endpoint:
        """ADDRESS:PORT; each address is parsed once."""
        if type(text) is not str:
            raise ValueError(f"{key} must be a text such as 10.0.0.5:443, not {_kind(text)}")
        host_text, _, port_text = text.rpartition(":")
        host = self._hosts.get(host_text)
        try:
            if (
                len(port_text) <= 5
                and port_text.isdigit()
                and port_text.isascii()
                and (port := int(port_text)) <= 65535
            ):
                if host is not None:
                    return Endpoint(host[0], port, host[1])
                if ":" not in host_text and (address := parse_address(host_text)).value:
                    _keep(self._hosts, host_text, (address, 0))
                    return Endpoint(address, port)
            endpoint = parse_endpoint(text)  # everything rarer, and every error
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
        _keep(self._hosts, host_text, (endpoint.address, endpoint.wildcard_version))
        return endpoint

    def _remote(self, text: Any, local: Endpoint) -> Endpoint | None:
        """None for null and for 0.0.0.0:0, which is how some tools write it."""
        if text is None:
            return None
        remote = self._endpoint("remote", text)
        if remote.address is None:
            if remote.port == 0:
                return None
            raise ValueError(f"remote {text!r} names no address; write null for a socket without a remote end")
        version = 4 if local.address is None and local.wildcard_version == 4 else remote.address.version
        if version != remote.address.version or (local.address is not None and local.address.version != version):
            raise ValueError(f"local {str(local)!r} and remote {text!r} are of different IP versions")
        return remote

    def _listening(self, state: Any, remote: Endpoint | None) -> bool:
        """Only LISTEN means anything here; other words are other tools' names for what `remote` says already."""
        if state is None:
            return False
        if type(state) is not str:
            raise ValueError(f'state must be "LISTEN" or absent, not {_kind(state)}')
        if state.upper() not in LISTENING:
            return False
        if remote is not None:
            raise ValueError(f"state {state} with remote {str(remote)!r}: a listening socket has none; write null")
        return True

    def _protocol(self, value: Any) -> int:
        known = self._protocols.get(value) if type(value) is str or type(value) is int else None
        if known is None:
            if type(value) is not str and type(value) is not int:
                raise ValueError(f"protocol must be a name or number, not {_kind(value)}")
            try:
                known = parse_protocol(str(value))
            except ValueError as error:
                raise ValueError(f"protocol {error}") from None
            self._protocols[value] = known
        return known


def _keep(cache: dict[str, _Parsed], text: str, value: _Parsed) -> None:
    if len(cache) >= _CACHED:
        cache.clear()
    cache[text] = value


def _is_loopback(address: Address) -> bool:
    return address.value >> 24 == 127 if address.version == 4 else address.value == 1


def _kind(value: Any) -> str:
    """What a JSON value is called in a message."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else f"the text {value!r}"
