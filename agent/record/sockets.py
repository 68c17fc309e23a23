"""Socket records of a recording, as contract.md has them: one line for each owner of each conversation.

Knows the wire names of a record, which stand in `_line` only. Must not know packets or when an owner changes. A line
is written when its end is known, and lines are whole: what a killed recording leaves behind can be read.

    book = SocketBook("out.jsonl")
    book.add(conversation, end_ns)
"""

from __future__ import annotations

import json

from agent.attribution.values import Owner
from agent.model.address import Address, Endpoint
from agent.model.moment import format_time
from agent.model.protocols import TCP, protocol_name
from agent.model.subject import Subject
from agent.record.kept import KeptFile
from agent.record.owners import Conversation
from agent.record.processes import ProcessFacts, members

_FLUSH = 256 << 10


class SocketBook:
    """The file of records. Mutable."""

    def __init__(self, path: str | None, facts: ProcessFacts) -> None:
        """`path` None: nothing is written, records are only counted. Raises EnvironmentFailure."""
        self.count = 0
        self._facts = facts
        self._file = KeptFile(path) if path is not None else None
        self._pending: list[str] = []
        self._held = 0

    def add(self, known: Conversation, end: int | None) -> None:
        """The record of the conversation's present owner; `end` None: it outlives the recording."""
        local = Endpoint(Address(known.version, known.local), known.local_port)
        remote = Endpoint(Address(known.version, known.remote), known.remote_port)
        initiated = known.initiated if known.protocol == TCP else None
        self._add(known.start, end, known.protocol, local, remote, known.owner, initiated, listening=False)

    def listener(self, start: int, protocol: int, local: Endpoint, owner: Owner) -> None:
        """A socket that waits on `local` when the recording starts."""
        self._add(start, None, protocol, local, None, owner, None, listening=protocol == TCP)

    def _add(
        self,
        start: int,
        end: int | None,
        protocol: int,
        local: Endpoint,
        remote: Endpoint | None,
        owner: Owner | None,
        initiated: bool | None,
        *,
        listening: bool,
    ) -> None:
        # Several that it may be: a line for each, from the same moment on, which readers take for what it is.
        for subject in (None,) if owner is None else members(owner.subject):
            self.count += 1
            if self._file is None:
                continue
            parent = None if subject is None else self._facts.of(subject).ppid
            line = _line(start, end, protocol, local, remote, subject, parent, initiated, listening=listening)
            self._pending.append(line)
            self._held += len(line)
            if self._held >= _FLUSH:
                self.flush()

    def flush(self) -> None:
        """Hands what is pending to the file. Raises EnvironmentFailure; what was written before stays."""
        if self._file is not None and self._pending:
            data = "".join(self._pending).encode(errors="surrogateescape")
            self._pending.clear()
            self._held = 0
            self._file.write(data)

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()

    def keep(self) -> None:
        """Ends without another write: something failed. What was written has its name."""
        if self._file is not None:
            self._file.keep()


def _line(
    start: int,
    end: int | None,
    protocol: int,
    local: Endpoint,
    remote: Endpoint | None,
    subject: Subject | None,
    parent: int | None,
    initiated: bool | None,
    *,
    listening: bool,
) -> str:
    """One record. Without a subject it says that whoever had the ports before has them no longer."""
    record: dict[str, object] = {
        "start": format_time(start),
        "end": None if end is None else format_time(max(end, start)),
        "protocol": protocol_name(protocol),
        "local": str(local),
        "remote": None if remote is None else str(remote),
    }
    if protocol == TCP and initiated is not None:
        record["initiated"] = initiated
    if listening:
        record["state"] = "LISTEN"
    if subject is not None:
        created = subject.process_created
        record |= {
            "pid": subject.pid,
            "process_created": None if created is None else format_time(created),
            # An image that is not that file on this host (a container's) must not meet a rule elsewhere, either.
            "image": subject.image if subject.canonical_image is not None else None,
            "services": None if subject.services is None else list(subject.services),
            "user": subject.user,
            "parent_pid": parent,
        }
        if subject.package_known:
            record["package_family_name"] = subject.package_family_name
        if subject.container is not None:
            record["container"] = subject.container
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
