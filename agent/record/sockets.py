"""Socket records of a recording: one line for each owner of each conversation.

Must not know packets, when an owner changes, or how a record is spelled (attribution/written.py does). A line is
written when its end is known, and lines are whole: what a killed recording leaves behind can be read.

    book = SocketBook("out.jsonl")
    book.add(conversation, end_ns)
"""

from __future__ import annotations

from dataclasses import replace

from agent.attribution.values import Owner, SocketRecord
from agent.attribution.written import record_line
from agent.model.address import Address, Endpoint
from agent.model.protocols import TCP
from agent.model.subject import UNATTRIBUTED, Subject
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
        self._pending: list[bytes] = []
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
            written = UNATTRIBUTED if subject is None else _comparable(subject)
            record = SocketRecord(start, end, protocol, local, remote, written, initiated, listening)
            line = record_line(record, parent_pid=parent)
            self._pending.append(line)
            self._held += len(line)
            if self._held >= _FLUSH:
                self.flush()

    def flush(self) -> None:
        """Hands what is pending to the file. Raises EnvironmentFailure; what was written before stays."""
        if self._file is not None and self._pending:
            data = b"".join(self._pending)
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


def _comparable(subject: Subject) -> Subject:
    """Without a path that is another file on the host: any user can make a mount namespace; it must meet no rule."""
    return subject if subject.canonical_image is not None else replace(subject, image=None)
