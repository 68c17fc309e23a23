"""Socket records as lines of JSON: contract.md's form, which `sockets.py` reads.

Knows the wire names of a record. Must not know where a record comes from or goes to.

    record_line(SocketRecord(...), parent_pid=640)
"""

from __future__ import annotations

from typing import Any

import orjson

from agent.attribution.evidence import Rank
from agent.attribution.values import SocketRecord
from agent.model.moment import format_time
from agent.model.protocols import TCP, protocol_name
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence


def record_line(
    record: SocketRecord,
    *,
    parent_pid: int | None = None,
    complete: bool = True,
    own: bool = True,
    rank: Rank = Rank.RECORDS,
) -> bytes:
    """One line with its newline. A record without an owner says that whoever had the ports has them no longer.

    `complete`: False if the records come from somebody who did not see every socket; `own`: False if the local address
    is one that others have, too, such as a broadcast address; `rank`: of whoever the record comes from.
    """
    row: dict[str, Any] = {
        "start": format_time(record.start),
        "end": None if record.end is None else format_time(max(record.end, record.start)),
        "protocol": protocol_name(record.protocol),
        "local": str(record.local),
        "remote": None if record.remote is None else str(record.remote),
    }
    if record.protocol == TCP and record.initiated is not None:
        row["initiated"] = record.initiated
    if record.listening:
        row["state"] = "LISTEN"
    if record.subject.source:
        row |= _process(record.subject, parent_pid)
    if not complete:
        row["complete"] = False
    if not own:
        row["own_address"] = False
    if rank is not Rank.RECORDS:
        row["rank"] = rank.name.lower()
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair in a path, which UTF-8 cannot carry
        return orjson.dumps(_encodable(row), option=orjson.OPT_APPEND_NEWLINE)


def _process(subject: Subject, parent_pid: int | None) -> dict[str, Any]:
    created = subject.process_created
    found: dict[str, Any] = {
        "pid": subject.pid,
        "process_created": None if created is None else format_time(created),
        # A path inside a container is another file on the host, and must not meet a rule about that.
        "image": None if subject.container and subject.canonical_image is None else subject.image,
        "services": None if subject.services is None else list(subject.services),
        "user": subject.user,
    }
    if parent_pid is not None:
        found["parent_pid"] = parent_pid
    if subject.package_known:
        found["package_family_name"] = subject.package_family_name
    if subject.container is not None:
        found["container"] = subject.container
    if subject.confidence is not Confidence.HIGH:
        found["confidence"] = subject.confidence.label
    return found


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
