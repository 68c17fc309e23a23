"""What `ss -tunap` printed: the sockets of one instant, and the processes that hold them.

Knows iproute2's columns. Must not know when it was printed: nothing in it says so, and a file's date is no evidence.

    if recognises(file):
        [collector] = load(file, context)

So an observation holds at any time (time 0, end FOREVER), at the rank of a snapshot: sockets that are known better are
asked for elsewhere. Several holders of one socket are several observations, and make its owner ambiguous. A process's
name here is one it chose itself: a name with a slash is left out, because it could pose as a program's path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from agent.attribution.collector import Collector
from agent.attribution.evidence import FOREVER, Claim, Context, Observation, Rank, Side
from agent.attribution.logs.reading import Reading, is_own
from agent.attribution.textfile import TextFile
from agent.model.address import Endpoint
from agent.model.errors import AttributionError
from agent.model.vocabulary import Confidence

NAME = "ss"
_STATES = (
    "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK",
    "LISTEN", "CLOSING", "UNKNOWN",
)  # fmt: skip
_BOTH = frozenset({"ESTAB", "UNKNOWN"})
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

_HEADER = re.compile(r"(?:Netid +)?State +Recv-Q +Send-Q +Local Address:Port +Peer Address:Port")
_ROW = re.compile(
    rf"(?:(?P<netid>\S+) +)?(?P<state>{'|'.join(_STATES)}) +\d+ +\d+ +(?P<local>\S+) +(?P<peer>\S+)(?P<rest>.*)"
)
"""No column before the process holds a blank."""

_HOLDER = re.compile(
    r'\("(?P<name>.*?)",pid=(?P<pid>\d{1,10})(?:,tid=\d+)?(?:,proc_ctx=[^,)]*)?,fd=\d+(?:,sock_ctx=[^,)]*)?\)'
    r'(?=,\("|\)(?:\s|$))'
)
"""A name may hold quotes, brackets and commas; only a fd that closes a holder ends it."""

_CGROUP = re.compile(r"(?:^|\s)cgroup:(/\S*)")
_PID_AGAIN = re.compile(r'",pid=\d')


class _Socket(NamedTuple):
    number: int
    netid: str | None
    state: str
    local: Endpoint
    peer: Endpoint
    claims: tuple[Claim, ...]


def recognises(file: TextFile) -> bool:
    """By its header, or without one (`ss -H`) by a first row with a Netid."""
    line = file.first_line().decode("utf-8", "replace")
    row = _ROW.fullmatch(line)
    return bool(_HEADER.match(line)) or (row is not None and row["netid"] in _PROTOCOLS and ":" in row["local"])


def load(file: TextFile, context: Context) -> list[Collector]:
    """One collector. Raises AttributionError if nothing tells TCP from UDP."""
    reading = Reading(file, context)
    collector = Collector(NAME, file.path, context=context, rank=Rank.SNAPSHOT, confidence=Confidence.MEDIUM)
    collector.timeless = True
    sockets = list(_sockets(file, reading))
    alone = _only_protocol(file, sockets)
    used = 0
    for socket in sockets:
        protocol = _PROTOCOLS.get(socket.netid or alone)
        if protocol is None:
            reading.skip("of sockets that are neither TCP, UDP nor SCTP")
        elif not socket.claims:
            reading.skip("without a process (ss shows others' only to root)")
        else:
            used += 1
            for claim in socket.claims:
                collector.saw(_observation(socket, protocol, claim))
    return reading.finish(used, [collector])


def _observation(socket: _Socket, protocol: int, claim: Claim) -> Observation:
    listening, local = socket.state == "LISTEN", socket.local
    peer = None if listening or socket.peer.address is None else socket.peer
    return Observation("", 0, protocol, local, peer, Side.FIRST, claim, None, listening, FOREVER, is_own(local))


def _sockets(file: TextFile, reading: Reading) -> Iterator[_Socket]:
    for number, line, whole in file.lines(reading.broken.note):
        if line[:1] in (b" ", b"\t"):
            continue  # what -i and -m add to the row above
        try:
            text = line.decode()
            if not _HEADER.match(text):
                socket = _socket(number, text, reading)
                if socket is None:
                    reading.skip("of sockets that are neither TCP, UDP nor SCTP")
                else:
                    yield socket
        except ValueError as error:
            if whole:
                reading.broken.note(number, "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error))
            else:
                file.truncated = True


def _socket(number: int, text: str, reading: Reading) -> _Socket | None:
    """None for a family without addresses, such as u_str. Raises ValueError."""
    row = _ROW.fullmatch(text.rstrip())
    if row is None:
        raise ValueError(f"is no row of ss: {text[:60]!r}")
    if row["netid"] is not None and row["netid"] not in _PROTOCOLS:
        return None
    return _Socket(
        number, row["netid"], row["state"], _end(row["local"], reading), _end(row["peer"], reading),
        tuple(_claims(row["rest"].strip())),
    )  # fmt: skip


def _end(text: str, reading: Reading) -> Endpoint:
    """`10.0.0.5:443`, `[fe80::1]%eth0:546`, `127.0.0.53%lo:53`, `*:*`; `*` takes IPv4, too."""
    host, colon, port = text.rpartition(":")
    if not colon or (port != "*" and not port.isdigit()):
        raise ValueError(f"{text[:60]!r} is no address and port in numbers; use ss -n")
    host = host.partition("%")[0].removeprefix("[").removesuffix("]")
    return reading.ends.endpoint("::" if host == "*" else host, "0" if port == "*" else port)


def _claims(text: str) -> Iterator[Claim]:
    """One for each process that holds the socket. Raises ValueError if the names allow two readings."""
    if not text.startswith("users:("):
        return
    place = len("users:(")
    pids: dict[int, str] = {}
    while (holder := _HOLDER.match(text, place)) is not None:
        pids.setdefault(int(holder["pid"]), holder["name"])
        place = holder.end() + 1
    if not pids or _PID_AGAIN.search(text, place):
        raise ValueError(f"names of processes that can be read in two ways: {text[:80]!r}")
    cgroup = _CGROUP.search(text, place)
    services = None if cgroup is None else _services(cgroup[1])
    for pid, name in pids.items():
        shown = None if "/" in name or "\\" in name or not name else name
        yield Claim(pid=pid, image=shown, services=services)


def _services(cgroup: str) -> tuple[str, ...] | None:
    """The system's service below its slices; None for anything else: inside it, users name groups as they like."""
    for part in cgroup.split("/"):
        if part and not part.endswith(".slice"):
            return (part,) if part.endswith(".service") else None
    return None


def _only_protocol(file: TextFile, sockets: list[_Socket]) -> str:
    """Which protocol rows without a Netid are of: ss leaves it out for one alone, and the states tell which."""
    states = {socket.state for socket in sockets if socket.netid is None} - _BOTH
    if not states:
        first = next((socket for socket in sockets if socket.netid is None), None)
        if first is None:
            return ""
        text = "neither a column Netid nor a state tells TCP from UDP; print both, with ss -tunap"
        raise AttributionError(file.path, first.number, text)
    return "udp" if states == {"UNCONN"} else "tcp"
