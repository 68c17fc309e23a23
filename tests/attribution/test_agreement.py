"""What several sources of one rank come to."""

from __future__ import annotations

import pytest

from agent.attribution.agreement import agree, same_process
from agent.attribution.values import Owner
from agent.model.moment import SECOND
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence

SVCHOST = r"C:\Windows\System32\svchost.exe"
DEVICE = r"\device\harddiskvolume2\windows\system32\svchost.exe"


def subject(image: str | None, pid: int | None = None, source: str = "a", **facts: object) -> Subject:
    canonical = None if image is None else image.upper()
    return Subject(image=image, canonical_image=canonical, pid=pid, source=source, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(subject(SVCHOST, 9), subject(DEVICE, 9), True, id="one path, by letter and by device"),
        pytest.param(subject(SVCHOST, 9), subject(SVCHOST, 8), False, id="two pids of one program"),
        pytest.param(subject(SVCHOST), subject(DEVICE, 9), True, id="one source has no pid"),
        pytest.param(subject(SVCHOST, 9), subject(r"C:\Temp\svchost.exe", 9), False, id="a pid used again"),
        pytest.param(subject(r"D:\a\b.exe", 9), subject(r"c:\a\b.exe", 9), False, id="one path on two drives"),
        pytest.param(subject(r"C:\a\b.exe", 9), subject(r"c:\A\b.exe", 9), True, id="one drive"),
        pytest.param(subject("System", 4), subject("System", 4), True, id="the kernel"),
        pytest.param(subject("firefox", 9), subject("/usr/lib/firefox", 9), True, id="a name and a path"),
        pytest.param(subject("com.apple.WebKi", 9), subject("/a/com.apple.WebKit.Networking", 9), True, id="cut short"),
        pytest.param(subject("fire", 9), subject("/usr/lib/firefox", 9), False, id="a short name is not cut short"),
        pytest.param(subject("/a/B", 9), subject("/a/b", 9), False, id="POSIX paths have case"),
        pytest.param(subject(None, 9), subject(SVCHOST, 9), True, id="a bare pid, the same"),
        pytest.param(subject(None, 9), subject(SVCHOST), False, id="nothing in common"),
        pytest.param(
            subject(None, 9, process_created=5 * SECOND), subject(SVCHOST, 9, process_created=50 * SECOND), False,
            id="a pid of two processes",
        ),
    ],
)  # fmt: skip
def test_two_subjects_are_one_process_unless_a_known_fact_differs(one: Subject, other: Subject, same: bool) -> None:
    assert same_process(one, other) is same
    assert same_process(other, one) is same


def test_sources_that_agree_put_their_facts_together() -> None:
    """A path that can be compared is taken, wherever it comes from; the better confidence counts."""
    security = Subject(image=DEVICE, pid=9, source="security", confidence=Confidence.MEDIUM)
    sysmon = subject(SVCHOST, 9, "sysmon", services=("bits",), user="SYSTEM")
    owner = agree([Owner(security, initiated=None), Owner(sysmon, initiated=True)])
    assert owner.subject.image == SVCHOST
    assert owner.subject.canonical_image == SVCHOST.upper()
    assert (owner.subject.pid, owner.subject.services, owner.subject.user) == (9, ("bits",), "SYSTEM")
    assert owner.subject.source == "security+sysmon"
    assert owner.subject.confidence is Confidence.HIGH
    assert owner.initiated is True
    assert not owner.subject.ambiguous


def test_what_is_put_together_is_as_sure_as_the_least_sure_fact() -> None:
    sure = subject(None, 9, "a", confidence=Confidence.HIGH)
    unsure = subject(SVCHOST, 9, "b", services=("bits",), confidence=Confidence.LOW)
    made = agree([Owner(sure), Owner(unsure)]).subject
    assert (made.services, made.confidence, made.source) == (("bits",), Confidence.LOW, "a+b")


@pytest.mark.parametrize("surest_first", [True, False])
def test_the_surest_source_of_a_fact_is_believed(surest_first: bool) -> None:
    sure = subject(SVCHOST, 9, "a", services=("dnscache",), confidence=Confidence.HIGH)
    unsure = subject(SVCHOST, 9, "b", services=("bits",), confidence=Confidence.MEDIUM)
    made = agree([Owner(one) for one in ((sure, unsure) if surest_first else (unsure, sure))]).subject
    assert (made.services, made.confidence) == (("dnscache",), Confidence.HIGH)


def test_sources_that_disagree_make_candidates_of_low_confidence() -> None:
    one, other = subject(SVCHOST, 9, "sysmon"), subject(r"C:\a.exe", 10, "hunting")
    owner = agree([Owner(one, initiated=True), Owner(other, initiated=False)])
    assert owner.subject.candidates == (one, other)
    assert owner.subject.ambiguous
    assert owner.subject.confidence is Confidence.LOW
    assert owner.subject.pid == 9
    assert owner.initiated is None


def test_a_subject_that_is_ambiguous_already_stands_for_all_it_may_be() -> None:
    one, other = subject(SVCHOST, 9), subject(r"C:\a.exe", 10)
    doubtful = agree([Owner(one), Owner(other)]).subject
    assert agree([Owner(doubtful), Owner(one)]).subject.candidates == (one, other)


def test_a_witness_adds_who_opened_the_connection_and_no_owner() -> None:
    known = Owner(subject(SVCHOST, 9))
    assert agree([known, Owner(UNATTRIBUTED, initiated=False)]).initiated is False
    assert agree([known, Owner(UNATTRIBUTED, initiated=False)]).subject == known.subject
    nobody = agree([Owner(UNATTRIBUTED, initiated=True)])
    assert nobody.subject is UNATTRIBUTED
    assert nobody.initiated is True
