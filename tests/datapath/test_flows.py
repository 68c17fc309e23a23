"""The flow table against a dict, its TCP states, time-outs, eviction, and numbers at their edges."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from agent.datapath import layout
from agent.datapath.flows import FlowTable
from agent.model.vocabulary import FlowEnd

SECOND = 1_000_000_000
TIMEOUTS = {
    "syn_sent": 120 * SECOND,
    "syn_recv": 60 * SECOND,
    "established": 432_000 * SECOND,
    "fin_wait": 120 * SECOND,
    "close_wait": 60 * SECOND,
    "last_ack": 30 * SECOND,
    "time_wait": 120 * SECOND,
    "close": 10 * SECOND,
    "udp_unreplied": 30 * SECOND,
    "udp_replied": 120 * SECOND,
    "other": 600 * SECOND,
}
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ALLOW, DENY = 1, 0
Tuple = tuple[int, int, int, int, int]


class Ended:
    """Keeps which flow ended, how, and what its words said at that moment."""

    def __init__(self, flows: FlowTable) -> None:
        self.flows = flows
        self.ends: list[tuple[int, FlowEnd]] = []
        flows.listener = self

    def ended(self, slot: int, end: int) -> None:
        self.ends.append((self.flows.word(slot, layout.FLOW_ID), FlowEnd(end)))


def make_table(size: int = 64, reserved: int = 0, seed: int = 1) -> tuple[FlowTable, Ended]:
    flows = FlowTable(size, reserved, seed, TIMEOUTS)
    return flows, Ended(flows)


def key(number: int) -> Tuple:
    """Distinct tuples, some of which differ in one word only."""
    return (number & 1, number >> 1 & 3, number >> 3 & 3, number >> 5, 6 << 24 | 4 << 16)


def add(flows: FlowTable, number: int, now: int = 0, verdict: int = ALLOW, *, keep: bool = False) -> int:
    slot = flows.insert(*key(number), now)
    if slot >= 0:
        flows.set_direction(slot, True, 0)
        flows.authorise(slot, verdict, 7, 0, 0, 1, keep)
    return slot


def packet(flows: FlowTable, slot: int, out: bool, length: int, now: int, generation: int, flags: int) -> int:
    """One packet of the flow in `slot`, by its sight."""
    words = [
        flows.word(slot, word)
        for word in (layout.LOCAL_HIGH, layout.LOCAL_LOW, layout.REMOTE_HIGH, layout.REMOTE_LOW, layout.KEY)
    ]
    facts = flows.hash(*words) << 32 | flags << 8 | layout.PLAIN | (layout.OUT if out else 0)
    outcome = flows.packet(facts, *words, length, now, generation)
    assert flows.found == slot
    return outcome


def reply(flows: FlowTable, slot: int, now: int) -> None:
    packet(flows, slot, False, 60, now, 1, ACK)


# The table as a dictionary ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_table_is_a_dictionary(seed: int) -> None:
    """Random insertions, look-ups and deletions: linear probing's deletion must neither lose nor invent a flow."""
    dice = random.Random(seed)
    flows, ended = make_table(size=500, seed=dice.getrandbits(64))
    model: dict[Tuple, int] = {}
    for _ in range(20_000):
        tuple_ = key(dice.randrange(900))
        assert flows.find(*tuple_) == model.get(tuple_, -1)
        if tuple_ in model:
            if dice.random() < 0.7:
                flows.end(model.pop(tuple_), layout.TIMEOUT)
        elif len(model) < 500:
            slot = flows.insert(*tuple_, 0)
            assert slot not in model.values()
            model[tuple_] = slot
        assert flows.live == len(model)
    for tuple_, slot in model.items():
        assert flows.find(*tuple_) == slot
    assert [flows.flow_in(slot) for slot in flows.in_use()] == sorted(flows.flow_in(slot) for slot in model.values())
    assert len(ended.ends) == flows.created - len(model)


def test_tuples_that_differ_in_one_word_are_different_flows() -> None:
    flows, _ = make_table()
    base = (1, 2, 3, 4, 5)
    tuples = [base] + [tuple(v + (1 << 63) * (i == place) for i, v in enumerate(base)) for place in range(5)]
    slots = [flows.insert(*one, 0) for one in tuples]
    assert [flows.find(*one) for one in tuples] == slots
    assert len(set(slots)) == 6


def test_the_table_grows_without_losing_a_flow() -> None:
    """Its index begins at 4,096 flows and doubles: twice here."""
    flows, _ = make_table(size=20_000)
    slots = [add(flows, number) for number in range(17_000)]
    assert [flows.find(*key(number)) for number in range(17_000)] == slots
    assert flows.live == 17_000
    assert [flows.flow_in(slot) for slot in flows.in_use()] == list(range(1, 17_001))


def test_neither_slots_nor_ids_depend_on_the_seed_of_the_hash() -> None:
    seen = []
    for seed in (1, 2**64 - 1, 0x1234_5678_9ABC_DEF0):
        flows, ended = make_table(size=40, seed=seed)
        for number in range(100):
            if flows.find(*key(number * 7 % 64)) < 0:
                add(flows, number * 7 % 64, now=number * SECOND, verdict=number % 2)
        seen.append((ended.ends, [flows.flow_in(slot) for slot in flows.in_use()], flows.in_use()))
    assert seen[0] == seen[1] == seen[2]


def test_flows_are_listed_by_id_when_slots_were_taken_again() -> None:
    flows, _ = make_table()
    slots = [add(flows, number) for number in range(4)]
    flows.end(slots[0], layout.TIMEOUT)
    assert add(flows, 9) == slots[0]
    assert [flows.flow_in(slot) for slot in flows.in_use()] == [2, 3, 4, 5]


def test_the_extremes_of_every_word_are_tuples_like_others() -> None:
    flows, _ = make_table()
    highest = (2**64 - 1,) * 5
    slot = flows.insert(*highest, 2**64 - 1)
    assert flows.find(*highest) == slot
    flows.end(slot, layout.TIMEOUT)
    assert flows.find(*highest) == -1


# Counting ---------------------------------------------------------------------------------------------------------


def test_packets_count_by_their_way() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    for out, size in ((True, 100), (True, 50), (False, 7)):
        assert packet(flows, slot, out, size, 0, 1, ACK) == ALLOW | 7 << 2
    assert (flows.packets(slot), flows.replies(slot)) == (2, 1)
    assert (flows.word(slot, layout.BYTES), flows.word(slot, layout.BYTES_REPLY)) == (150, 7)
    assert flows.attempted(slot) == 2


def test_an_inbound_flows_replies_are_what_leaves_the_host() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    flows.set_direction(slot, False, 0)
    packet(flows, slot, False, 10, 0, 1, ACK)
    packet(flows, slot, True, 20, 0, 1, ACK)
    assert (flows.word(slot, layout.BYTES), flows.word(slot, layout.BYTES_REPLY)) == (10, 20)


def test_bytes_count_beyond_thirty_two_bits() -> None:
    """A frame's length is a 32-bit number, and two of the largest must not wrap."""
    flows, _ = make_table()
    slot = add(flows, 1)
    for _ in range(3):
        packet(flows, slot, True, 0xFFFFFFFF, 0, 1, ACK)
    assert flows.word(slot, layout.BYTES) == 3 * 0xFFFFFFFF


def test_a_byte_count_reaches_two_to_the_sixty_fourth_minus_one() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    flows.count(slot, 0, 2**64 - 2, 0)
    flows.count(slot, 0, 1, 0)
    assert flows.word(slot, layout.BYTES) == 2**64 - 1


@pytest.mark.parametrize("out", [True, False])
def test_packets_count_beyond_thirty_two_bits(out: bool) -> None:
    """Both counts share a word, and what they have no bits for is counted beside it."""
    flows, _ = make_table()
    slot = add(flows, 1)
    packet(flows, slot, True, 60, 0, 1, ACK)
    packet(flows, slot, False, 60, 0, 1, ACK)
    full = 0xFFFFFFFF
    flows.words[slot * layout.WORDS + layout.PACKETS] = full << 32 | full
    counts = {True: full, False: full}
    for _ in range(2):
        packet(flows, slot, out, 60, 0, 1, ACK)
        counts[out] += 1
        assert (flows.packets(slot), flows.replies(slot)) == (counts[True], counts[False])
    assert flows.attempted(slot) == 1


def test_the_attempts_are_those_before_the_first_reply() -> None:
    flows, _ = make_table()
    slot = add(flows, 1, verdict=DENY)
    for out in (True, True, False, True, False):
        packet(flows, slot, out, 60, 0, 1, ACK)
    assert flows.attempted(slot) == 2


def test_a_new_authorisation_counts_from_its_first_packet() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    reply(flows, slot, 0)
    flows.restart_counts(slot, 5 * SECOND)
    assert (flows.packets(slot), flows.replies(slot)) == (0, 0)
    assert flows.word(slot, layout.FIRST_SEEN) == flows.word(slot, layout.AUTHORISED_AT) == 5 * SECOND
    packet(flows, slot, True, 60, 5 * SECOND, 1, ACK)
    assert flows.attempted(slot) == 1


def test_authorisations_are_counted_and_the_count_stands_at_its_end() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    assert flows.authorisations(slot) == 1
    for generation in range(2, 70_000):
        flows.authorise(slot, ALLOW, 7, 0, 0, generation, False)
    assert flows.authorisations(slot) == 0xFFFF
    assert flows.generation(slot) == 69_999
    assert flows.meta(slot) & 0x7F == ALLOW | 7 << 2


def test_the_subject_and_the_names_are_kept_whole() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    flows.set_icmp(slot, 255, 254)
    flows.authorise(slot, ALLOW, 17, 0xFFFFFFFF << 32 | 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFF, False)
    assert flows.word(slot, layout.OWNER) == 0xFFFFFFFF << 32 | 0xFFFFFFFE
    assert flows.extra_word(slot, layout.NAMES) == 0xFFFFFFFF << 32 | 0xFFFE
    assert (flows.meta(slot) >> 2 & 31, flows.generation(slot), flows.authorisations(slot)) == (17, 0xFFFFFF, 2)


# TCP --------------------------------------------------------------------------------------------------------------

OPENING = [(True, SYN), (False, SYN | ACK), (True, ACK)]
CASES = [
    pytest.param([(True, SYN)], "syn_sent", FlowEnd.TIMEOUT, id="syn"),
    pytest.param([(True, SYN), (False, SYN | ACK)], "syn_recv", FlowEnd.TIMEOUT, id="synack"),
    pytest.param(OPENING, "established", FlowEnd.TIMEOUT, id="handshake"),
    pytest.param([(True, ACK)], "established", FlowEnd.TIMEOUT, id="one-side-from-the-middle"),
    pytest.param([(False, PSH | ACK)], "established", FlowEnd.TIMEOUT, id="the-answer-from-the-middle"),
    pytest.param([(False, SYN | ACK)], "syn_recv", FlowEnd.TIMEOUT, id="began-with-synack"),
    pytest.param([*OPENING, (True, FIN | ACK)], "fin_wait", FlowEnd.TIMEOUT, id="half-closed"),
    pytest.param([*OPENING, (True, FIN | ACK), (False, ACK)], "close_wait", FlowEnd.TIMEOUT, id="close-wait"),
    pytest.param([*OPENING, (True, FIN | ACK), (False, FIN | ACK)], "last_ack", FlowEnd.FIN, id="both-fins"),
    pytest.param(
        [*OPENING, (True, FIN | ACK), (False, ACK), (False, FIN | ACK), (True, ACK)],
        "time_wait",
        FlowEnd.FIN,
        id="closed",
    ),
    pytest.param(
        [*OPENING, (False, FIN | ACK), (True, FIN | ACK), (False, ACK)], "time_wait", FlowEnd.FIN, id="closed-by-server"
    ),
    pytest.param([(True, SYN), (False, RST | ACK)], "close", FlowEnd.RST, id="refused"),
    pytest.param([*OPENING, (True, RST)], "close", FlowEnd.RST, id="reset"),
    pytest.param([*OPENING, (True, RST), (False, ACK)], "close", FlowEnd.RST, id="data-behind-a-reset"),
    pytest.param([*OPENING, (True, FIN | ACK), (False, RST)], "close", FlowEnd.RST, id="reset-while-closing"),
    pytest.param([*OPENING, (True, FIN | SYN | RST | ACK)], "close", FlowEnd.RST, id="every-flag-is-a-reset"),
    pytest.param([(True, 0)], "established", FlowEnd.TIMEOUT, id="no-flag-at-all"),
]  # fmt: skip


@pytest.mark.parametrize(("packets", "state", "end"), CASES)
def test_tcp_states_and_how_they_end(packets: list[tuple[bool, int]], state: str, end: FlowEnd) -> None:
    flows, ended = make_table()
    slot = add(flows, 1)
    for number, (out, flags) in enumerate(packets):
        if number == 0 or flags & (SYN | ACK | RST) == SYN:
            flows.count(slot, not out, 60, 0)
            flows.tcp_packet(slot, not out, flags)
        else:
            assert packet(flows, slot, out, 60, 0, 1, flags) >= 0
    assert layout.STATE_NAMES[flows.state(slot)] == state
    assert not flows.expired(slot, TIMEOUTS[state])
    assert flows.expired(slot, TIMEOUTS[state] + 1)
    assert FlowEnd(flows.ending(slot)) is end
    assert ended.ends == []


@pytest.mark.parametrize("state", range(9))
@pytest.mark.parametrize("flags", range(64))
def test_every_combination_of_flags_has_a_next_state(state: int, flags: int) -> None:
    for way in (0, 1):
        flows, _ = make_table(size=16)
        slot = add(flows, 1)
        flows.set_state(slot, state)
        flows.tcp_packet(slot, way, flags)
        assert 0 < flows.state(slot) < 9 or state == 0 == flows.state(slot)
        if state in (layout.LAST_ACK, layout.TIME_WAIT, layout.CLOSE) and not flags & RST:
            assert flows.state(slot) >= state  # nothing but a new connection leaves the end


def test_the_fast_way_says_no_to_what_needs_more_thought() -> None:
    """A SYN, another generation, a flow judged packet by packet, one that timed out: nothing is counted then."""
    flows, _ = make_table()
    slot = add(flows, 1)
    flows.tcp_packet(slot, 0, SYN)
    assert packet(flows, slot, True, 60, 0, 1, SYN) == -1
    assert packet(flows, slot, True, 60, 0, 2, ACK) == -1
    assert packet(flows, slot, True, 60, TIMEOUTS["syn_sent"] + 1, 1, ACK) == -1
    flows.set_flag(slot, layout.INSPECT)
    assert packet(flows, slot, True, 60, 0, 1, ACK) == -1
    assert flows.packets(slot) == flows.word(slot, layout.LAST_SEEN) == 0


def test_a_syn_is_the_flows_own_by_its_initial_sequence_number() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    assert not flows.same_opening(slot, 0)  # it began without one
    flows.opened_with(slot, 0xFFFFFFFF)
    packet(flows, slot, True, 60, 0, 1, ACK)
    reply(flows, slot, 0)
    assert flows.same_opening(slot, 0xFFFFFFFF)
    assert not flows.same_opening(slot, 0)
    assert flows.attempted(slot) == 1  # they share a word


def test_time_runs_on_for_the_last_packet_only_forwards() -> None:
    flows, _ = make_table()
    slot = add(flows, 1, now=100 * SECOND)
    packet(flows, slot, True, 60, 50 * SECOND, 1, ACK)
    assert flows.word(slot, layout.LAST_SEEN) == 100 * SECOND
    assert not flows.expired(slot, 0)


def test_the_clock_may_stand_at_its_end() -> None:
    flows, _ = make_table()
    slot = add(flows, 1, now=2**64 - 1)
    assert not flows.expired(slot, 2**64 - 1)
    other = add(flows, 2, now=0)
    assert flows.expired(other, 2**64 - 1)


def test_a_udp_flow_lasts_longer_once_it_was_answered() -> None:
    flows, _ = make_table()
    slot = add(flows, 1)
    flows.set_state(slot, layout.UDP_UNREPLIED)
    assert flows.expired(slot, 31 * SECOND)
    assert packet(flows, slot, False, 60, 0, 1, 0) >= 0
    assert not flows.expired(slot, 120 * SECOND)
    assert flows.expired(slot, 120 * SECOND + 1)


# Making room ------------------------------------------------------------------------------------------------------


def test_expired_flows_are_found_by_the_flows_that_come() -> None:
    flows, ended = make_table(size=100)
    for number in range(10):
        add(flows, number)
        flows.set_state(flows.find(*key(number)), layout.UDP_UNREPLIED)
    for number in range(10, 20):
        add(flows, number, now=31 * SECOND)
    assert sorted(ended.ends) == [(flow, FlowEnd.TIMEOUT) for flow in range(1, 11)]
    assert flows.live == 10
    assert flows.evicted == 0


def evictions(flows: FlowTable, ended: Ended, count: int, now: int) -> Iterator[int]:
    """Ids of the flows that make room for `count` more."""
    for number in range(count):
        before = len(ended.ends)
        slot = add(flows, 1000 + number, now, keep=True)
        if slot < 0:
            return
        assert len(ended.ends) == before + 1
        assert ended.ends[-1][1] is FlowEnd.EVICTED
        yield ended.ends[-1][0]


def test_denied_flows_make_room_first_then_unreplied_ones_then_the_rest() -> None:
    flows, ended = make_table(size=6)
    add(flows, 1, 1)  # replied
    add(flows, 2, 2)
    add(flows, 3, 3, DENY)
    add(flows, 4, 4)
    add(flows, 5, 5, DENY)
    add(flows, 6, 6)  # replied
    for number in (1, 6):
        reply(flows, flows.find(*key(number)), 6)
    assert list(evictions(flows, ended, 9, 10)) == [3, 5, 2, 4, 1, 6]
    assert flows.evicted == 6


def test_a_reply_to_a_denied_flow_does_not_save_it() -> None:
    """What answers a denied flow is counterfactual."""
    flows, ended = make_table(size=2)
    add(flows, 1, 1)
    add(flows, 2, 2, DENY)
    reply(flows, flows.find(*key(2)), 3)
    assert list(evictions(flows, ended, 1, 10)) == [2]


def test_of_equals_the_one_idle_for_longest_goes_first() -> None:
    flows, ended = make_table(size=3)
    for number in (1, 2, 3):
        add(flows, number, number)
        reply(flows, flows.find(*key(number)), number)
    packet(flows, flows.find(*key(1)), True, 60, 9, 1, ACK)
    assert list(evictions(flows, ended, 3, 10)) == [2, 3, 1]


def test_a_reauthorised_flow_changes_its_place() -> None:
    flows, ended = make_table(size=3)
    for number in (1, 2, 3):
        add(flows, number, number)
    flows.authorise(flows.find(*key(3)), DENY, 12, 0, 0, 2, False)
    assert list(evictions(flows, ended, 1, 10)) == [3]


def test_kept_flows_are_never_evicted() -> None:
    flows, ended = make_table(size=4)
    for number in range(4):
        assert add(flows, number, keep=True) >= 0
    assert add(flows, 9) == -1
    assert add(flows, 10, keep=True) == -1
    assert ended.ends == []
    assert flows.live == flows.kept == 4


def test_reserved_slots_wait_for_kept_flows() -> None:
    flows, ended = make_table(size=10, reserved=3)
    for number in range(10):
        add(flows, number)
    assert (flows.live, flows.evicted) == (7, 3)
    for number in range(10, 13):
        add(flows, number, keep=True)
    assert flows.kept == 3
    before = flows.live
    for number in range(20, 30):
        assert add(flows, number) >= 0
    assert flows.live - flows.kept <= 7
    assert flows.live >= before
    assert all(flows.find(*key(number)) >= 0 for number in range(10, 13))
    assert {end for _, end in ended.ends} == {FlowEnd.EVICTED}


def test_at_most_half_the_table_is_reserved() -> None:
    flows, _ = make_table(size=16, reserved=1024)
    for number in range(30):
        add(flows, number)
    assert flows.live == 8


def test_a_kept_flow_that_is_denied_later_may_go() -> None:
    flows, ended = make_table(size=2)
    add(flows, 1, keep=True)
    add(flows, 2, keep=True)
    flows.authorise(flows.find(*key(1)), DENY, 12, 0, 0, 2, False)
    assert flows.kept == 1
    assert list(evictions(flows, ended, 1, 10)) == [1]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_bounds_hold(seed: int) -> None:
    """Random life: insertions, replies, re-authorisations, ends and jumps of the clock."""
    dice = random.Random(seed)
    flows, ended = make_table(size=50, reserved=10, seed=seed)
    now = 0
    refused = 0
    for _ in range(20_000):
        now = max(0, now + dice.choice([0, 1, SECOND, 40 * SECOND, -20 * SECOND]))
        number = dice.randrange(120)
        slot = flows.find(*key(number))
        action = dice.random()
        if slot < 0:
            refused += add(flows, number, now, dice.randrange(2), keep=dice.random() < 0.1) < 0
        elif action < 0.4:
            packet(flows, slot, dice.random() < 0.5, 60, now, 1, dice.choice([0, ACK, FIN | ACK, RST]))
        elif action < 0.5:
            flows.authorise(slot, dice.randrange(2), 7, 0, 0, 1, dice.random() < 0.1)
        elif action < 0.6:
            flows.end(slot, flows.ending(slot))
        assert 0 <= flows.kept <= flows.live <= 50
        # A kept flow that is re-authorised to be like others may exceed their share until one of them goes.
        assert flows.live == len(flows.in_use())
    assert flows.created == len(ended.ends) + flows.live
    assert len({flow for flow, _ in ended.ends}) == len(ended.ends)
    kept = sum((flows.meta(slot) >> layout.QUEUE_SHIFT) & 3 == layout.KEPT for slot in flows.in_use())
    assert flows.kept == kept
