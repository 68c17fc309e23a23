"""What several sources say, as socket records: no owner is made to last longer than somebody saw it."""

from __future__ import annotations

from dataclasses import replace

from agent.attribution.chain import Attribution
from agent.attribution.evidence import Rank
from agent.attribution.sockets import SocketRecords
from agent.attribution.timeline import Timeline
from agent.attribution.values import SocketRecord
from agent.model.address import parse_endpoint
from agent.model.moment import SECOND
from agent.model.subject import UNATTRIBUTED, Subject
from agent.replay.sockets import rank_of, socket_records

T0 = 1_600_000_000 * SECOND
AGENT = Subject(image=r"C:\a.exe", canonical_image=r"C:\A.EXE", pid=7, source="sockets")


def converted(*rows: tuple[int, int | None, Subject], remote: str | None = "203.0.113.9:443") -> list[object]:
    """(start, end, pid) of the records that come of (start, end, subject), in seconds."""
    timeline = Timeline(60 * SECOND)
    for start, end, subject in rows:
        local, peer = parse_endpoint("10.0.0.5:50000"), None if remote is None else parse_endpoint(remote)
        stop = None if end is None else T0 + end * SECOND
        timeline.add(SocketRecord(T0 + start * SECOND, stop, 6, local, peer, subject, listening=remote is None))
    timeline.freeze()
    attribution = Attribution()
    attribution.add(SocketRecords(timeline))
    return [
        ((one.start - T0) / SECOND, None if one.end is None else round((one.end - T0) / SECOND), one.subject.pid)
        for one in socket_records(attribution)
    ]


def test_a_socket_that_is_shown_again_lives_on() -> None:
    assert converted((0, None, AGENT), (3600, None, AGENT)) == [(0, None, 7)]
    assert converted((0, 60, AGENT), (60, 90, AGENT)) == [(0, 90, 7)]


def test_between_two_sockets_nobody_is_known() -> None:
    assert converted((0, 60, AGENT), (3600, 3660, AGENT)) == [(0, 60, 7), (3600, 3660, 7)]
    assert converted((0, 60, AGENT), (3600, 3660, AGENT), remote=None) == [(0, 60, 7), (3600, 3660, 7)]


def test_a_record_that_ends_an_owner_stays() -> None:
    rows = (0, None, AGENT), (1800, None, UNATTRIBUTED), (3600, None, AGENT)
    assert converted(*rows) == [(0, 1800, 7), (1800, 3600, None), (3600, None, 7)]


def test_a_record_that_nobody_owns_makes_no_file_less_believed() -> None:
    record = SocketRecord(T0, None, 6, parse_endpoint("10.0.0.5:50000"), parse_endpoint("203.0.113.9:443"), AGENT)
    ranks = {"sockets": Rank.RECORDS, "ss": Rank.SNAPSHOT}
    assert rank_of(ranks, record) is Rank.RECORDS
    assert rank_of(ranks, record._replace(subject=UNATTRIBUTED)) is Rank.RECORDS
    assert rank_of(ranks, record._replace(subject=replace(AGENT, source="ss"))) is Rank.SNAPSHOT
    assert rank_of(ranks, record._replace(subject=replace(AGENT, source="sockets+ss"))) is Rank.RECORDS
