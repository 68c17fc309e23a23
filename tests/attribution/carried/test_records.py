"""Records of what packets say: one for a run of equal facts, sources by carrier and rank, bounded memory."""

from __future__ import annotations

import pytest

from agent.attribution.carried import records as module
from agent.attribution.carried.facts import Fact
from agent.attribution.carried.records import CHANGES, CarriedRecords
from agent.attribution.evidence import Claim, Rank
from agent.model.address import parse_address, parse_endpoint
from agent.model.device import Device, Family
from agent.model.vocabulary import Confidence

LINUX = Device(platform="Linux", family=Family.LINUX)
US, THEM = 0x0A000005, 0xCB007109


def fact(pid: int, image: str | None = None, source: str = "pib", **more: object) -> Fact:
    return Fact(source if image else "option8", Claim(pid=pid, image=image)._replace(**more))


def seen(records: CarriedRecords, owner: Fact, time: int, port: int = 50000, opened: int = 0) -> None:
    records.seen(owner, time, 6, 4, 0, US, port, 0, THEM, 443, opened)


def intervals(records: CarriedRecords) -> list[tuple[int | None, int, int | None]]:
    return [(record.subject.pid, record.start, record.end) for record in records.records()]


def test_packets_of_one_process_are_one_record() -> None:
    records, owner = CarriedRecords(LINUX), fact(5, "/bin/a", created=3, services=("s.service",), container="web")
    for time, opened in ((20, 2), (10, 0), (30, 0)):
        seen(records, owner, time, opened=opened)
    (record,) = records.records()
    assert (record.start, record.end, record.protocol, record.initiated) == (10, 30, 6, True)
    assert (record.local, record.remote) == (parse_endpoint("10.0.0.5:50000"), parse_endpoint("203.0.113.9:443"))
    subject = record.subject
    assert (subject.pid, subject.image, subject.canonical_image) == (5, "/bin/a", "/bin/a")
    assert (subject.process_created, subject.services, subject.container) == (3, ("s.service",), "web")
    assert (subject.source, subject.confidence) == ("pib", Confidence.HIGH)


def test_another_process_on_the_same_tuple_is_another_record() -> None:
    records, first, second = CarriedRecords(LINUX), fact(5, "/bin/a"), fact(6, "/bin/b")
    for time, owner in ((1, first), (2, first), (5, second), (9, second)):
        seen(records, owner, time)
    assert intervals(records) == [(5, 1, 2), (6, 5, 9)]


def test_facts_that_say_the_same_are_one() -> None:
    records = CarriedRecords(LINUX)
    seen(records, fact(5, "/bin/a"), 1)
    seen(records, fact(5, "/bin/a"), 2)
    assert intervals(records) == [(5, 1, 2)]


def test_a_fact_that_is_settled_later_changes_the_records_before() -> None:
    records, owner, same = CarriedRecords(LINUX), fact(5), fact(5)
    seen(records, owner, 1)
    seen(records, same, 2, port=50001)
    owner.become("pib", Claim(pid=5, image="/bin/a"))
    assert [record.subject.image for record in records.records()] == ["/bin/a", None]
    assert [(source.name, source.rank, len(source)) for source in records.sources(0)] == [
        ("pib", Rank.CARRIED, 1),
        ("option8", Rank.PID, 1),
    ]


def test_sources_answer_and_say_what_they_know() -> None:
    records = CarriedRecords(LINUX)
    records.information_blocks = True
    records.warnings.append(("carried_truncated", "some"))
    records.note_local(4, 0, US)
    records.note_local(4, 0, 0x7F000001)
    records.note_local(6, 0xFF02 << 48, 1)
    seen(records, fact(5, "/bin/a", services=()), 100)
    seen(records, fact(7, "name", source="apple"), 100, port=50001)
    apple, pib = sorted(records.sources(10), key=lambda source: source.name)
    owner = pib.find(6, 4, US, 50000, THEM, 443, 100, 0)
    assert owner is not None
    assert (owner.subject.pid, owner.subject.confidence) == (5, Confidence.HIGH)
    assert pib.find(6, 4, US, 50000, THEM, 443, 111, 0) is None
    assert (pib.complete, apple.complete) == (True, False)
    assert (pib.facts, apple.facts) == (frozenset({"image", "services"}), frozenset())
    assert pib.local_addresses() == (parse_address("10.0.0.5"),)
    codes = [code for source in (pib, apple) for code, _ in source.warnings]
    assert sorted(codes) == ["carried_truncated", "image_not_comparable"]


def test_a_low_confidence_stays_low() -> None:
    records = CarriedRecords(LINUX)
    seen(records, Fact("etl2pcapng", Claim(pid=4)), 1)
    (source,) = records.sources(0)
    owner = source.find(6, 4, US, 50000, THEM, 443, 1, 0)
    assert owner is not None
    assert (source.rank, owner.subject.confidence) == (Rank.PID, Confidence.LOW)


def test_a_tuple_that_goes_to_and_fro_has_bounded_records_and_is_ambiguous() -> None:
    records, owners = CarriedRecords(LINUX), (fact(5, "/bin/a"), fact(6, "/bin/b"))
    for time in range(10 * CHANGES):
        seen(records, owners[time % 2], time)
    assert len(records) <= CHANGES + 3
    (source,) = records.sources(0)
    owner = source.find(6, 4, US, 50000, THEM, 443, 5 * CHANGES, 0)
    assert owner is not None
    assert owner.subject.confidence is Confidence.LOW


def test_open_tuples_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 4)
    records, owner = CarriedRecords(LINUX), fact(5, "/bin/a")
    for port in (1, 2, 3, 4, 5, 1, 5):
        seen(records, owner, port, port=port)
    assert [record.local.port for record in records.records()] == [1, 2, 3, 4, 5, 1]


def test_records_are_bounded_and_what_is_left_out_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    records, owner = CarriedRecords(LINUX), fact(5, "/bin/a")
    for port in (1, 2, 3, 1):
        seen(records, owner, port, port=port)
    assert len(records) == 2
    assert records.misses == {"records_full": 1}


@pytest.mark.parametrize(("limit", "value"), [("MAX_FACTS", 2), ("MAX_TEXT", 13)])
def test_facts_are_bounded(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(module, limit, value)
    records = CarriedRecords(LINUX)
    for pid in (5, 6, 7, 5):
        seen(records, fact(pid, "/bin/a"), pid, port=pid)
    assert [record.subject.pid for record in records.records()] == [5, 6]
    assert records.misses == {"facts_full": 1}
