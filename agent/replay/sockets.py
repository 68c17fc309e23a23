"""What the sources of a run say of sockets, put together as socket records: the chain's answer for each of them.

Knows the order of a conversion. Must not know formats. Where captures are given their clock is the records'.

    for record in socket_records(attribution): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.attribution.chain import Attribution, Source
from agent.attribution.evidence import Rank
from agent.attribution.recorded import same_host
from agent.attribution.values import Owner, SocketRecord
from agent.model.errors import UsageError
from agent.model.subject import UNATTRIBUTED
from agent.model.vocabulary import Confidence


def socket_records(attribution: Attribution) -> list[SocketRecord]:
    """By start. Of several sources that show one socket there is one record, with the facts of all.

    A record whose owner may be one of several is given once for each of them.
    """
    records = [record for source in attribution.sources for record in _records_of(source)]
    records.sort(key=_start)
    found: list[SocketRecord] = []
    last: dict[tuple[Any, ...], tuple[Owner | None, range]] = {}
    for record in records:
        key: tuple[Any, ...] = (record.protocol, record.local, record.remote, record.listening)
        owner = None
        if record.remote is not None and record.local.address is not None:
            owner = _owner(attribution, record)
            if owner is None:
                continue
            if not owner.subject.source:
                if key in last:  # whoever had it has it no longer: nothing is carried on beyond
                    last.pop(key)
                    found.append(record._replace(subject=UNATTRIBUTED, initiated=None))
                continue
        else:
            key = (*key, record.subject)
        known = last.get(key)
        if known is not None and _says(known[0]) == _says(owner) and _goes_on(found[known[1][0]], record):
            for place in known[1]:  # the same socket, shown again: it lives on
                found[place] = found[place]._replace(end=record.end)
            continue
        subjects = (record.subject,) if owner is None else owner.subject.candidates or (owner.subject,)
        last[key] = owner, range(len(found), len(found) + len(subjects))
        initiated = record.initiated if owner is None else owner.initiated
        found += [record._replace(subject=subject, initiated=initiated) for subject in subjects]
    return found


def rank_of(ranks: Mapping[str, Rank], record: SocketRecord) -> Rank:
    """How much the sources of a record are believed: the first's that its subject names. `ranks`: by source.

    A record that nobody owns ends another's: it makes no difference to how much its file is believed.
    """
    if not record.subject.source:
        return min(ranks.values(), default=Rank.RECORDS)
    return ranks.get(record.subject.source.partition("+")[0], Rank.SNAPSHOT)


def require_host(sources: Iterable[Source], name: str) -> None:
    """Raises UsageError if a log shows hosts, but none of that name."""
    known = [host.name for source in sources for host in getattr(source, "hosts", ()) if host.name]
    if known and not any(same_host(one, name) for one in known):
        raise UsageError(f"--host {name}: no log shows it; hosts: {', '.join(sorted(set(known))[:5])}")


def require_one_host(sources: Iterable[Source]) -> None:
    """Raises UsageError for a log of several hosts of which nobody said whose sockets are wanted."""
    for source in sources:
        hosts = getattr(source, "hosts", ())
        if len(hosts) > 1:
            names = ", ".join(sorted(host.name or "(no name)" for host in hosts)[:5])
            raise UsageError(
                f"{getattr(source, 'path', source.name)}: shows {len(hosts)} hosts ({names}): give --host NAME"
            )


def _records_of(source: Source) -> Iterator[SocketRecord]:
    if getattr(source, "witness", False):
        return
    timeline = getattr(source, "timeline", None)
    records = getattr(source, "records", None)
    if records is not None:
        yield from records()
    elif timeline is not None:
        yield from timeline.records()


def _says(owner: Owner | None) -> object:
    """What an owner is told apart by: when a socket is shown twice, how sure each time is no other owner."""
    return None if owner is None else (replace(owner.subject, confidence=Confidence.HIGH, source=""), owner.initiated)


def _goes_on(before: SocketRecord, record: SocketRecord) -> bool:
    """No time lies between them: of a gap nobody knows whose it was."""
    return before.end is None or record.start <= before.end + 1


def _start(record: SocketRecord) -> int:
    return record.start


def _owner(attribution: Attribution, record: SocketRecord) -> Owner | None:
    local, remote = record.local.address, record.remote and record.remote.address
    if local is None or remote is None or record.remote is None:
        return None
    return attribution.resolve(
        record.protocol, local.version, local.value, record.local.port, remote.value, record.remote.port,
        record.start, 0,
    )  # fmt: skip
