"""The lookup of recorded owners: every rule of semantics.md 8, and a naive resolver that it must always equal."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.attribution import timeline as timeline_module
from agent.attribution.timeline import Timeline
from agent.attribution.values import Owner, SocketRecord
from agent.model.address import Address, Endpoint, parse_endpoint
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

TCP, UDP = 6, 17
UNKNOWN, INBOUND, OUTBOUND = 0, 1, 2
SLACK = 60
TOP = (1 << 64) - 1

ANN = Subject(image="/ann", pid=1, source="test")
BOB = Subject(image="/bob", pid=2, source="test")
EVE = Subject(image="/eve", pid=3, source="test", confidence=Confidence.LOW)
SUBJECTS = (ANN, BOB, EVE)


def record(
    local: str = "10.0.0.5:5000",
    remote: str | None = "203.0.113.9:443",
    start: int = 1000,
    end: int | None = 2000,
    subject: Subject = ANN,
    *,
    protocol: int = TCP,
    initiated: bool | None = None,
    listening: bool = False,
) -> SocketRecord:
    far = None if remote is None else parse_endpoint(remote)
    return SocketRecord(start, end, protocol, parse_endpoint(local), far, subject, initiated, listening)


def frozen(*records: SocketRecord, slack: int = SLACK) -> Timeline:
    timeline = Timeline(slack)
    for one in records:
        timeline.add(one)
    timeline.freeze()
    return timeline


def ask(
    timeline: Timeline,
    now: int,
    local: str = "10.0.0.5:5000",
    remote: str = "203.0.113.9:443",
    *,
    protocol: int = TCP,
    direction: int = UNKNOWN,
) -> Owner | None:
    here, there = parse_endpoint(local), parse_endpoint(remote)
    assert here.address is not None
    assert there.address is not None
    version, value = here.address
    return timeline.find(protocol, version, value, here.port, there.address.value, there.port, now, direction)


def said(owner: Owner | None) -> str | None:
    """`/ann high`: what the tables below compare."""
    return None if owner is None else f"{owner.subject.image} {owner.subject.confidence.label}"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(1000, "/ann high", id="at-its-start"),
        pytest.param(1500, "/ann high", id="inside"),
        pytest.param(2000, "/ann high", id="at-its-end"),
        pytest.param(940, "/ann medium", id="slack-before"),
        pytest.param(2060, "/ann medium", id="slack-after"),
        pytest.param(939, None, id="too-early"),
        pytest.param(2061, None, id="too-late"),
        pytest.param(0, None, id="the-beginning-of-time"),
        pytest.param(TOP, None, id="the-end-of-time"),
    ],
)
def test_one_exact_record_is_used_within_the_slack(now: int, expected: str | None) -> None:
    assert said(ask(frozen(record()), now)) == expected


def test_without_slack_only_the_interval_counts() -> None:
    timeline = frozen(record(), slack=0)
    assert [said(ask(timeline, now)) for now in (999, 1000, 2000, 2001)] == [None, "/ann high", "/ann high", None]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(1500, "/ann high", id="inside-the-first"),
        pytest.param(2500, "/bob high", id="inside-the-second"),
        pytest.param(2040, "/ann medium", id="between-nearer-to-the-first"),
        pytest.param(2070, "/bob medium", id="between-nearer-to-the-second"),
        pytest.param(2050, "/bob low", id="between-equally-near"),
        pytest.param(990, "/ann medium", id="before-both"),
        pytest.param(3010, "/bob medium", id="after-both"),
    ],
)
def test_time_chooses_between_several_of_one_tuple(now: int, expected: str) -> None:
    timeline = frozen(record(), record(start=2100, end=3000, subject=BOB))
    assert said(ask(timeline, now)) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(1999, "/ann high", id="open-until-the-next"),
        pytest.param(2000, "/bob high", id="the-next-begins"),
        pytest.param(2001, "/bob high", id="inside-the-next"),
        pytest.param(TOP, "/bob high", id="the-last-never-ends"),
    ],
)
def test_a_record_without_end_ends_at_the_next_of_its_tuple(now: int, expected: str) -> None:
    others = (
        record("10.0.0.5:5001", start=1200, subject=EVE),
        record(remote="203.0.113.9:80", start=1300, subject=EVE),
    )
    timeline = frozen(record(start=2000, end=None, subject=BOB), *others, record(end=None))
    assert said(ask(timeline, now)) == expected


def test_a_record_that_ends_where_the_next_begins_gives_way() -> None:
    timeline = frozen(record(end=2000), record(start=2000, end=3000, subject=BOB))
    assert said(ask(timeline, 1999)) == "/ann high"
    assert said(ask(timeline, 2000)) == "/bob high"


def test_overlapping_subjects_are_ambiguous() -> None:
    """The one that started last is shown, but LOW: by default it meets no condition."""
    timeline = frozen(record(end=3000), record(start=1500, end=2500, subject=BOB, initiated=True))
    assert said(ask(timeline, 1400)) == "/ann high"
    assert said(ask(timeline, 2000)) == "/bob low"
    assert said(ask(timeline, 2700)) == "/ann high"


@pytest.mark.parametrize("end", [None, 2000], ids=["open", "closed"])
def test_two_owners_at_one_instant_are_ambiguous(end: int | None) -> None:
    """A snapshot shows both holders of a shared socket with one start: neither ends the other."""
    timeline = frozen(record(end=end), record(end=end, subject=BOB))
    assert said(ask(timeline, 1000)) == "/ann low"
    assert said(ask(timeline, 1500)) == "/ann low"


def test_a_long_record_far_back_still_counts() -> None:
    """Short records that start later do not hide one that spans them all."""
    short = [record(start=1000 + 10 * n, end=1005 + 10 * n, subject=BOB) for n in range(100)]
    timeline = frozen(record(start=1000, end=9000, subject=ANN), *short)
    assert said(ask(timeline, 1507)) == "/ann high"
    assert said(ask(timeline, 1503)) == "/bob low"
    assert said(ask(timeline, 8000)) == "/ann high"


def test_of_many_that_may_be_meant_eight_are_kept() -> None:
    """A log of thousands of listeners at one port must not make each decision megabytes long."""
    people = [Subject(image="/a", pid=number, source="test") for number in range(100)]
    owner = ask(frozen(*(record(subject=person) for person in people)), 1500)
    assert owner is not None
    assert len(owner.subject.candidates) == 8
    assert owner.subject.confidence is Confidence.LOW


def test_the_same_subject_twice_is_not_ambiguous() -> None:
    again = Subject(image="/ann", pid=1, source="test")
    timeline = frozen(record(initiated=True), record(start=1500, subject=again, initiated=False))
    owner = ask(timeline, 1600)
    assert said(owner) == "/ann high"
    assert owner is not None
    assert owner.initiated is None, "the records disagree on who opened it"


@pytest.mark.parametrize(
    ("version", "records", "expected"),
    [
        pytest.param(4, ["10.0.0.5:53"], "0", id="local"),
        pytest.param(4, ["0.0.0.0:53"], "0", id="wildcard"),
        pytest.param(4, ["[::]:53"], "0", id="wildcard-ipv6-takes-ipv4"),
        pytest.param(4, ["[::]:53", "0.0.0.0:53"], "1", id="plain-wildcard-before-ipv6-wildcard"),
        pytest.param(4, ["0.0.0.0:53", "10.0.0.5:53"], "1", id="local-before-wildcard"),
        pytest.param(4, ["10.0.0.6:53"], None, id="another-local-address"),
        pytest.param(4, ["0.0.0.0:54"], None, id="another-port"),
        pytest.param(6, ["[::]:53"], "0", id="ipv6-wildcard"),
        pytest.param(6, ["0.0.0.0:53"], None, id="ipv4-wildcard-takes-no-ipv6"),
        pytest.param(6, ["[2001:db8::5]:53", "[::]:53"], "0", id="ipv6-local-before-wildcard"),
    ],
)
def test_less_specific_records_are_medium(version: int, records: list[str], expected: str | None) -> None:
    subjects = [Subject(image=str(n), source="test") for n in range(len(records))]
    timeline = frozen(*(record(local, None, subject=subjects[n], protocol=UDP) for n, local in enumerate(records)))
    local, remote = ("10.0.0.5:53", "203.0.113.9:9") if version == 4 else ("[2001:db8::5]:53", "[2001:db8::9]:9")
    for direction in (UNKNOWN, INBOUND, OUTBOUND):
        owner = ask(timeline, 1500, local, remote, protocol=UDP, direction=direction)
        assert said(owner) == (None if expected is None else f"{expected} medium")


def test_the_tuple_comes_first_and_time_last() -> None:
    """An exact record within the slack beats a listener in force; out of the slack the listener is left."""
    timeline = frozen(record(start=1000), record("10.0.0.5:5000", None, start=0, end=None, subject=BOB))
    assert said(ask(timeline, 950)) == "/ann medium"
    assert said(ask(timeline, 900)) == "/bob medium"


def test_a_remote_end_says_more_than_a_local_address() -> None:
    timeline = frozen(
        record("0.0.0.0:5000", "203.0.113.9:443"),
        record("10.0.0.5:5000", None, subject=BOB),
        record("0.0.0.0:5000", None),
    )
    assert said(ask(timeline, 1500)) == "/ann medium"
    assert said(ask(timeline, 1500, remote="203.0.113.8:443")) == "/bob medium"
    assert said(ask(timeline, 1500, local="10.0.0.6:5000", remote="203.0.113.8:443")) == "/ann medium"


@pytest.mark.parametrize(
    ("direction", "expected"),
    [(UNKNOWN, "/ann medium"), (INBOUND, "/ann medium"), (OUTBOUND, None)],
    ids=["unknown", "inbound", "outbound"],
)
@pytest.mark.parametrize("local", ["10.0.0.5:5000", "0.0.0.0:5000", "[::]:5000"])
def test_a_listener_owns_no_flow_known_to_be_outbound(local: str, direction: int, expected: str | None) -> None:
    timeline = frozen(record(local, None, listening=True))
    owner = ask(timeline, 1500, direction=direction)
    assert said(owner) == expected
    assert owner is None or owner.listening


def test_a_listener_leaves_an_outbound_flow_to_a_bound_socket() -> None:
    timeline = frozen(
        record("0.0.0.0:5000", None, listening=True), record("0.0.0.0:5000", None, start=1001, subject=BOB, end=2000)
    )
    assert said(ask(timeline, 1500, direction=OUTBOUND)) == "/bob medium"
    owner = ask(timeline, 1500, direction=INBOUND)
    assert said(owner) == "/bob low"
    assert owner is not None
    assert not owner.listening, "one of the two does not listen"


def test_a_listener_has_no_say_in_what_is_ambiguous_outbound() -> None:
    """It started last and would be shown, were it a candidate."""
    timeline = frozen(
        record("0.0.0.0:5000", None),
        record("0.0.0.0:5000", None, start=1001, end=1999, subject=BOB),
        record("0.0.0.0:5000", None, start=1002, end=1998, subject=EVE, listening=True),
    )
    assert said(ask(timeline, 1500, direction=OUTBOUND)) == "/bob low"
    assert said(ask(timeline, 1500)) == "/eve low"


def test_who_opened_the_connection_is_passed_on() -> None:
    timeline = frozen(record(initiated=True), record(remote="203.0.113.9:80", initiated=False))
    opened, accepted = ask(timeline, 1500), ask(timeline, 1500, remote="203.0.113.9:80")
    assert opened is not None
    assert opened.initiated is True
    assert accepted is not None
    assert accepted.initiated is False
    assert not accepted.listening


def test_a_source_that_doubts_its_subject_is_not_made_surer() -> None:
    assert said(ask(frozen(record(subject=EVE)), 1500)) == "/eve low"


def test_equal_answers_are_one_object() -> None:
    """Nothing is made for a flow whose answer was given before."""
    timeline = frozen(record(), record("10.0.0.5:5001"))
    first = ask(timeline, 1500)
    assert first is ask(timeline, 1600, "10.0.0.5:5001")
    assert first is not ask(timeline, 2050)
    assert ask(timeline, 2050) is ask(timeline, 950, "10.0.0.5:5001")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"protocol": UDP}, "protocol"),
        ({"local": "10.0.0.6:5000"}, "local address"),
        ({"local": "10.0.0.5:5001"}, "local port"),
        ({"remote": "203.0.113.8:443"}, "remote address"),
        ({"remote": "203.0.113.9:444"}, "remote port"),
        ({"local": "[::a00:5]:5000", "remote": "[::cb00:7109]:443"}, "version, with equal numbers"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_an_exact_record_fits_its_own_tuple_only(asked: dict[str, object], why: str) -> None:
    assert ask(frozen(record()), 1500) is not None
    assert ask(frozen(record()), 1500, **asked) is None, why  # type: ignore[arg-type]


def test_both_halves_of_an_ipv6_address_count() -> None:
    timeline = frozen(record("[2001:db8::1:0:0:5]:1", "[2001:db8::9]:2"))
    assert ask(timeline, 1500, "[2001:db8::1:0:0:5]:1", "[2001:db8::9]:2") is not None
    for local, remote in (
        ("[2001:db8:1::1:0:0:5]:1", "[2001:db8::9]:2"),
        ("[2001:db8::1:0:0:6]:1", "[2001:db8::9]:2"),
        ("[2001:db8::1:0:0:5]:1", "[2001:db9::9]:2"),
        ("[2001:db8::1:0:0:5]:1", "[2001:db8::8]:2"),
    ):
        assert ask(timeline, 1500, local, remote) is None


def test_addresses_that_differ_in_one_half_are_never_taken_for_one_another() -> None:
    """Many of them in one small table: their places collide, whatever the hash."""
    network, far = 0x20010DB8 << 96, Address(6, (0x20010DB8 << 96) | 9)
    for shift in (0, 64):
        locals_ = [network | (n << shift) | (7 << 40) for n in range(1, 1200)]
        timeline = frozen(
            *(
                SocketRecord(0, None, TCP, Endpoint(Address(6, value), 1), Endpoint(far, 2), ANN)
                for value in locals_[::3]
            ),
            *(
                SocketRecord(0, None, TCP, Endpoint(far, 1), Endpoint(Address(6, value), 2), ANN)
                for value in locals_[::3]
            ),
        )
        own = [timeline.find(TCP, 6, value, 1, far.value, 2, 5, OUTBOUND) is not None for value in locals_]
        others = [timeline.find(TCP, 6, far.value, 1, value, 2, 5, OUTBOUND) is not None for value in locals_]
        assert own == others == [n % 3 == 0 for n in range(len(locals_))]


@pytest.mark.parametrize("protocol", [0, 1, 58, 132, 255])
def test_any_protocol_number_has_its_own_records(protocol: int) -> None:
    timeline = frozen(record("10.0.0.5:0", "203.0.113.9:0", protocol=protocol))
    for other in (0, 1, TCP, UDP, 58, 132, 255):
        owner = ask(timeline, 1500, "10.0.0.5:0", "203.0.113.9:0", protocol=other)
        assert (owner is not None) == (other == protocol)


@pytest.mark.parametrize(
    ("start", "end"),
    [(-5, None), (-5, -1), (-5, 3), (TOP, None), (1 << 70, 1 << 80), (5, 1 << 70)],
    ids=["before-1970", "wholly-before", "across-1970", "last-word", "after-2554", "into-2554"],
)
def test_times_beyond_64_bits_count_as_the_nearest_inside(start: int, end: int | None) -> None:
    """A record may hold any time that RFC 3339 can write."""
    timeline = frozen(record(start=start, end=end), slack=1)
    assert ask(timeline, min(max(start, 0), TOP)) is not None


def test_nothing_is_found_in_an_empty_or_unfinished_timeline() -> None:
    assert ask(frozen(), 1500) is None
    unfinished = Timeline(SLACK)
    unfinished.add(record())
    assert ask(unfinished, 1500) is None


def test_adding_to_a_frozen_timeline_is_refused() -> None:
    timeline = frozen(record())
    timeline.freeze()
    assert len(timeline) == 1
    with pytest.raises(RuntimeError, match="frozen"):
        timeline.add(record())


# --- the naive resolver: no index, no order, every rule spelled out over the whole list ---


def tuple_of(one: SocketRecord) -> tuple[object, ...]:
    if one.remote is not None:
        return one.protocol, one.local.address, one.local.port, one.remote
    return one.protocol, one.local, None


def last_moment(one: SocketRecord, records: list[SocketRecord]) -> int:
    later = [other.start for other in records if tuple_of(other) == tuple_of(one) and other.start > one.start]
    if one.end is None:
        return min(later) - 1 if later else TOP
    return one.end - 1 if later and one.end == min(later) else one.end


def distance(one: SocketRecord, records: list[SocketRecord], now: int) -> int:
    end = last_moment(one, records)
    return one.start - now if now < one.start else max(0, now - end)


def naive(
    records: list[SocketRecord], slack: int, protocol: int, local: Endpoint, remote: Endpoint, now: int, direction: int
) -> tuple[object, ...] | None:
    assert local.address is not None
    version = local.address.version
    levels = [
        lambda one: one.local == local and one.remote == remote,
        lambda one: one.local.address is None and one.local.port == local.port and one.remote == remote,
        lambda one: one.local == local and one.remote is None,
        lambda one: one.local == Endpoint(None, local.port, version) and one.remote is None,
        lambda one: version == 4 and one.local == Endpoint(None, local.port, 6) and one.remote is None,
    ]
    for level, fits in enumerate(levels):
        near = [
            (distance(one, records, now), one)
            for one in records
            if one.protocol == protocol and fits(one) and not (one.listening and direction == OUTBOUND)
        ]
        near = [(away, one) for away, one in near if away <= slack]
        if not near:
            continue
        best = min(away for away, _ in near)
        equal = [one for away, one in near if away == best]
        shown = max(equal, key=lambda one: one.start).subject  # max keeps the first of equal ones
        opened = {one.initiated for one in equal}
        confidence = Confidence.HIGH if level == 0 and best == 0 else Confidence.MEDIUM
        if len({one.subject for one in equal}) > 1:
            confidence = Confidence.LOW
        return (
            shown.image,
            min(confidence, shown.confidence),
            opened.pop() if len(opened) == 1 else None,
            all(one.listening for one in equal),
        )
    return None


def answer(owner: Owner | None) -> tuple[object, ...] | None:
    if owner is None:
        return None
    return owner.subject.image, owner.subject.confidence, owner.initiated, owner.listening


V4 = [Address(4, 0x0A000005), Address(4, 0x0A000006)]
V6 = [Address(6, (0x20010DB8 << 96) | 5), Address(6, (0x20010DB8 << 96) | (1 << 64) | 5)]
FAR4, FAR6 = Address(4, 0xCB007109), Address(6, (0x20010DB8 << 96) | 9)


@st.composite
def socket_records(draw: st.DrawFn) -> SocketRecord:
    version = draw(st.sampled_from([4, 6]))
    own, far = (V4, FAR4) if version == 4 else (V6, FAR6)
    port = draw(st.sampled_from([53, 5000]))
    remote = draw(st.sampled_from([None, Endpoint(far, 443), Endpoint(far, 80)]))
    # A socket at [::] may hold a connection to an IPv4 remote.
    wildcard = Endpoint(None, port, draw(st.sampled_from([4, 6])) if version == 4 and remote is not None else version)
    local = draw(st.sampled_from([*(Endpoint(address, port) for address in own), wildcard]))
    start = draw(st.integers(0, 20))
    end = draw(st.one_of(st.none(), st.integers(start, 24)))
    protocol = draw(st.sampled_from([TCP, TCP, UDP, 132]))
    listening = remote is None and draw(st.booleans())
    initiated = draw(st.sampled_from([None, True, False])) if remote is not None else None
    return SocketRecord(start, end, protocol, local, remote, draw(st.sampled_from(SUBJECTS)), initiated, listening)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(socket_records(), max_size=12), st.integers(0, 6))
def test_every_answer_equals_the_naive_resolver(records: list[SocketRecord], slack: int) -> None:
    timeline = frozen(*records, slack=slack)
    for own, far in ((V4[0], FAR4), (V6[1], FAR6)):
        for protocol, local_port, remote_port, direction in (
            (TCP, 5000, 443, UNKNOWN),
            (TCP, 5000, 443, OUTBOUND),
            (TCP, 53, 80, INBOUND),
            (UDP, 53, 443, OUTBOUND),
            (132, 5000, 80, UNKNOWN),
        ):
            local, remote = Endpoint(own, local_port), Endpoint(far, remote_port)
            for now in range(0, 30, 1):
                found = timeline.find(
                    protocol, own.version, own.value, local_port, far.value, remote_port, now, direction
                )
                assert answer(found) == naive(records, slack, protocol, local, remote, now, direction), now


RANDOM_ANSWERS = """
import random, sys
from agent.attribution import timeline as module
from agent.attribution.timeline import Timeline
from agent.attribution.values import SocketRecord
from agent.model.address import Address, Endpoint
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence
dice = random.Random(7)
subjects = [Subject(pid=n, source="x", confidence=Confidence(n % 3)) for n in range(5)]
values = {4: [0, 1, 2**31, 2**32 - 1], 6: [1, 2**63, 2**64 - 1, 2**64, 2**127, 2**128 - 1]}
times = [0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
some = lambda: max(0, min(2**64 - 1, dice.choice(times) + dice.randrange(-3, 4)))
end = lambda version: Endpoint(Address(version, dice.choice(values[version])), dice.choice([0, 1, 65535]))
for slack in (0, 2, 2**40, 2**64 - 1):
    timeline = Timeline(slack)
    for _ in range(400):
        version = dice.choice([4, 6])
        local = end(version) if dice.random() < 0.8 else Endpoint(None, dice.choice([0, 1, 65535]), version)
        remote = end(version) if dice.random() < 0.7 else None
        start = some()
        stop = None if dice.random() < 0.4 else start + dice.choice([0, 1, 2**40, 2**70])
        timeline.add(SocketRecord(start, stop, dice.choice([0, 6, 17, 255]), local, remote, dice.choice(subjects),
                                  dice.choice([None, True, False]), remote is None and dice.random() < 0.5))
    timeline.freeze()
    for _ in range(3000):
        version = dice.choice([4, 6])
        local, remote = end(version), end(version)
        owner = timeline.find(dice.choice([0, 6, 17, 255]), version, local.address.value, local.port,
                              remote.address.value, remote.port, some(), dice.choice([0, 1, 2]))
        print(owner)
print(module.__file__, file=sys.stderr)
"""


def answers_of(tree: Path) -> tuple[str, str]:
    """(answers to thousands of random questions, the file that gave them) with `tree` on the path."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", RANDOM_ANSWERS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tree)
    return done.stdout, done.stderr.strip()


@pytest.mark.slow
def test_compiled_and_interpreted_answer_alike(root: Path, interpreted_tree: Path) -> None:
    """Also at the edges of 32, 64 and 128 bits, where unsigned words wrap and Python's integers do not."""
    if timeline_module.__file__.endswith(".py"):
        pytest.skip("agent.attribution.timeline is not compiled")
    compiled, file = answers_of(root)
    assert not file.endswith(".py")
    interpreted, file = answers_of(interpreted_tree)
    assert file.endswith(".py")
    assert compiled == interpreted
    assert compiled.count("Owner") > 1000


@pytest.mark.slow
def test_many_records_are_each_found_and_nothing_else() -> None:
    """Counts over 200,000 tuples, a fifth of them IPv6 and all at few ports: no two are taken for one another."""
    dice = random.Random(11)
    subjects = [Subject(pid=n, source="test") for n in range(1000)]
    own = {4: Address(4, 0x0A000005), 6: Address(6, (0x20010DB8 << 96) | 5)}
    tuples: dict[tuple[int, int, int, int], int] = {}
    while len(tuples) < 200_000:
        version = 6 if dice.random() < 0.2 else 4
        value = dice.getrandbits(32) | (0x20010DB8 << 96 if version == 6 else 0)
        tuples.setdefault((version, dice.randrange(40000, 40064), value, 443), dice.randrange(1000))
    timeline = Timeline(0)
    for (version, port, value, remote_port), pid in tuples.items():
        local, remote = Endpoint(own[version], port), Endpoint(Address(version, value), remote_port)
        timeline.add(SocketRecord(10, 20, TCP, local, remote, subjects[pid], True))
    timeline.freeze()
    assert len(timeline) == 200_000
    right = strangers = 0
    for (version, port, value, remote_port), pid in tuples.items():
        owner = timeline.find(TCP, version, own[version].value, port, value, remote_port, 15, OUTBOUND)
        right += owner is not None and owner.subject.pid == pid
        if (version, port, value ^ 1, remote_port) not in tuples:
            strangers += timeline.find(TCP, version, own[version].value, port, value ^ 1, 443, 15, OUTBOUND) is not None
    assert (right, strangers) == (200_000, 0)
