"""The chain: first source that knows wins, subjects are interned, a broken source is counted and passed over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.attribution.chain import Attribution, Failing
from agent.attribution.evidence import Rank
from agent.attribution.values import Owner
from agent.model.address import Address
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence

QUESTION = (6, 4, 0x0A000005, 50123, 0xCB007109, 443, 1_000, 2)
ANN = Subject(image="/ann", source="first")
BOB = Subject(image="/bob", source="second")


class Fake:
    """A source that knows the local ports it is given."""

    def __init__(
        self,
        name: str,
        owners: dict[int, Owner],
        *,
        complete: bool = False,
        facts: frozenset[str] = frozenset(),
        addresses: Sequence[Address] = (),
        rank: Rank | None = None,
    ) -> None:
        self.name, self.complete, self.facts = name, complete, facts
        self.rank = rank
        self.misses: dict[str, int] = {}
        self.warnings: Sequence[tuple[str, str]] = [("seen", name)]
        self._owners, self._addresses = owners, addresses
        self.asked: list[tuple[int, ...]] = []

    def find(self, *question: int) -> Owner | None:
        self.asked.append(question)
        return self._owners.get(question[3])

    def local_addresses(self) -> Sequence[Address]:
        return self._addresses


class Broken(Fake):
    def find(self, *question: int) -> Owner | None:
        self.asked.append(question)
        raise KeyError(f"gone {len(self.asked)}")


def chain(*sources: Fake | Failing) -> Attribution:
    """Sources without a rank are believed in the order they are given."""
    attribution = Attribution()
    for source, rank in zip(sources, Rank, strict=False):
        source.rank = source.rank or rank
        attribution.add(source)
    return attribution


def test_the_first_source_that_knows_wins() -> None:
    first = Fake("first", {1: Owner(ANN)})
    second = Fake("second", {1: Owner(BOB), 2: Owner(BOB)})
    attribution = chain(first, second)
    both, only_second = attribution.resolve(6, 4, 5, 1, 9, 443, 0, 0), attribution.resolve(6, 4, 5, 2, 9, 443, 0, 0)
    assert both is not None
    assert only_second is not None
    assert (both.subject, only_second.subject) == (ANN, BOB)
    assert attribution.resolve(6, 4, 5, 3, 9, 443, 0, 0) is None
    assert [question[3] for question in second.asked] == [2, 3], "it is not asked what the first knew"


def test_a_question_reaches_the_source_unchanged() -> None:
    source = Fake("first", {})
    chain(source).resolve(*QUESTION)
    assert source.asked == [QUESTION]


def test_nobody_knows_in_an_empty_chain() -> None:
    attribution = Attribution()
    assert attribution.resolve(*QUESTION) is None
    assert attribution.subjects == [UNATTRIBUTED]
    assert not attribution.complete
    assert attribution.facts == frozenset()
    assert attribution.source_names == []
    assert attribution.local_addresses() == []


def test_subjects_are_interned_across_sources() -> None:
    """Equal subjects have one number and are one object; another confidence is another subject."""
    same = Subject(image="/ann", source="first")
    doubted = Subject(image="/ann", source="first", confidence=Confidence.LOW)
    attribution = chain(Fake("a", {1: Owner(ANN), 2: Owner(doubted)}), Fake("b", {3: Owner(same, initiated=True)}))
    subjects = attribution.subjects
    owners = [attribution.resolve(6, 4, 5, port, 9, 443, 0, 0) for port in (1, 2, 3, 1)]
    assert [owner and owner.subject_id for owner in owners] == [1, 2, 1, 1]
    assert attribution.subjects is subjects, "the engine holds this list"
    assert subjects == [UNATTRIBUTED, ANN, doubted]
    assert owners[2] is not None
    assert owners[2].subject is ANN
    assert owners[2].initiated is True
    assert owners[0] is owners[3]


def test_a_source_that_knows_nobody_is_unattributed() -> None:
    """A source may answer with UNATTRIBUTED itself: that is number 0 and no new subject."""
    attribution = chain(Fake("a", {1: Owner(UNATTRIBUTED, listening=True)}))
    owner = attribution.resolve(6, 4, 5, 1, 9, 443, 0, 0)
    assert owner is not None
    assert (owner.subject_id, owner.listening) == (0, True)
    assert len(attribution.subjects) == 1


def test_a_source_in_two_chains_is_refused() -> None:
    """Its owners carry the first chain's numbers: silently wrong subjects would be worse."""
    source = Fake("a", {1: Owner(ANN)})
    first, second = chain(source), chain(source)
    assert first.resolve(6, 4, 5, 1, 9, 443, 0, 0) is not None
    with pytest.raises(RuntimeError, match="one chain"):
        second.resolve(6, 4, 5, 1, 9, 443, 0, 0)


def test_what_the_chain_says_of_its_sources() -> None:
    one, two, three = Address(4, 1), Address(4, 2), Address(6, 3)
    attribution = chain(
        Fake("sysmon", {}, facts=frozenset({"image"}), addresses=[two, one]),
        Fake("sockets", {}, complete=True, facts=frozenset({"image", "services"}), addresses=[three, one]),
        Fake("sysmon", {}),
    )
    assert attribution.complete
    assert attribution.facts == {"image", "services"}
    assert attribution.source_names == ["sysmon", "sockets"]
    assert attribution.local_addresses() == [two, one, three]
    assert attribution.warnings == [("seen", "sysmon"), ("seen", "sockets"), ("seen", "sysmon")]


def test_a_source_that_raises_is_counted_and_knows_nothing() -> None:
    attribution = chain(Broken("broken", {}), Fake("second", {50123: Owner(BOB)}))
    for _ in range(3):
        owner = attribution.resolve(*QUESTION)
        assert owner is not None
        assert owner.subject == BOB
    assert attribution.failures == 3
    assert attribution.first_failure == "broken: KeyError: 'gone 1'"


def test_a_broken_complete_source_stays_complete() -> None:
    """Fail closed: what it does not say must not turn `unknown process` into `judged by destination alone`."""
    attribution = chain(Broken("broken", {}, complete=True))
    assert attribution.resolve(*QUESTION) is None
    assert attribution.complete
    assert attribution.failures == 1


def test_failing_breaks_after_its_number_of_answers() -> None:
    source = Fake("a", {1: Owner(ANN)}, complete=True, facts=frozenset({"image"}), addresses=[Address(4, 1)])
    attribution = chain(Failing(source, answers=2))
    found = [attribution.resolve(6, 4, 5, 1, 9, 443, 0, 0) is not None for _ in range(4)]
    assert found == [True, True, False, False]
    assert attribution.failures == 2
    assert attribution.first_failure == "a: RuntimeError: simulated: attribution_failed"
    assert (attribution.complete, attribution.facts, attribution.source_names) == (True, {"image"}, ["a"])
    assert attribution.local_addresses() == [Address(4, 1)]
    assert attribution.warnings == [("seen", "a")]
