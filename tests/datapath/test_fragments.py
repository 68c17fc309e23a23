"""Which first fragment a later one follows: bounded, and hard to deceive."""

from __future__ import annotations

import random

from agent.datapath.fragments import LIFETIME, MAX_PIECES, Datagram, FragmentTable, Key

SECOND = 1_000_000_000
KEY4: Key = b"4, 1 to 2, 77, 17"
KEY6: Key = b"6, 1 to 2, 77"


def datagram(version: int = 4, *, since: int = 0, flow: int = 1, headers: int = 8, outcome: int = -1) -> Datagram:
    return Datagram(0, flow, outcome, since, headers, version == 6)


def test_a_later_fragment_finds_its_first() -> None:
    table = FragmentTable(10)
    first = datagram()
    assert table.first(KEY4, first, 1480)
    assert table.later(KEY4, 0) is first
    assert table.later((4, 0, 1, 0, 2, 78, 17), 0) is None
    assert table.later((4, 0, 1, 0, 2, 77, 6), 0) is None


def test_a_first_fragment_is_waited_on_for_thirty_seconds() -> None:
    table = FragmentTable(10)
    table.first(KEY4, datagram(since=SECOND), 1480)
    assert LIFETIME == 30 * SECOND
    assert table.later(KEY4, 31 * SECOND) is not None
    assert table.later(KEY4, 31 * SECOND + 1) is None
    assert table.later(KEY4, 31 * SECOND) is None  # and forgotten


def test_time_that_goes_backwards_orphans_nobody() -> None:
    table = FragmentTable(10)
    table.first(KEY4, datagram(since=100 * SECOND), 1480)
    assert table.later(KEY4, 50 * SECOND) is not None


def test_an_offset_inside_the_transport_header_is_refused() -> None:
    """RFC 1858: it would rewrite the ports that the first fragment was judged by."""
    first = datagram(headers=60)
    assert [first.admit(start, start + 8) for start in (8, 16, 56, 64)] == [False, False, False, True]


def test_a_repeated_first_fragment_is_admitted() -> None:
    for version, key in ((4, KEY4), (6, KEY6)):
        table = FragmentTable(10)
        assert table.first(key, datagram(version), 1480)
        assert table.first(key, datagram(version), 1480)


def test_a_number_in_use_again_means_the_new_ipv4_datagram() -> None:
    """The old one's outcome must not open the way for fragments of the new one."""
    table = FragmentTable(10)
    table.first(KEY4, datagram(outcome=21), 1480)
    again = datagram(outcome=0)
    table.first(KEY4, again, 1480)
    assert table.later(KEY4, 0) is again


def test_a_repeated_first_fragment_is_the_one_that_counts_in_ipv6() -> None:
    table = FragmentTable(10)
    table.first(KEY6, datagram(6, outcome=21), 1480)
    again = datagram(6)
    table.first(KEY6, again, 1480)
    again.outcome = 0  # as the datapath does, once its packet was judged
    found = table.later(KEY6, 0)
    assert found is not None
    assert found.outcome == 0


def test_a_repeated_first_ipv6_fragment_buys_no_time() -> None:
    table = FragmentTable(10)
    table.first(KEY6, datagram(6), 1480)
    table.first(KEY6, datagram(6, since=20 * SECOND), 1480)
    assert table.later(KEY6, 31 * SECOND) is None


def test_overlapping_ipv6_fragments_poison_their_datagram() -> None:
    """RFC 5722: all of it, also what comes in order afterwards."""
    table = FragmentTable(10)
    first = datagram(6)
    assert table.first(KEY6, first, 1480)
    assert first.admit(1480, 2960)
    assert first.admit(1480, 2960)  # a copy is no overlap
    assert not first.admit(2952, 4000)
    assert not first.admit(4000, 5000)
    assert not first.admit(1480, 2960)
    assert not table.first(KEY6, datagram(6), 1480)


def test_two_first_ipv6_fragments_of_different_flows_overlap() -> None:
    """One number, two sets of ports: whichever the receiver believes, one of the flows was not asked."""
    table = FragmentTable(10)
    assert table.first(KEY6, datagram(6, flow=1), 1480)
    second = datagram(6, flow=2)
    assert not table.first(KEY6, second, 1480)
    assert not second.admit(1480, 2960)


def test_the_same_ipv6_number_is_another_datagram_after_thirty_seconds() -> None:
    table = FragmentTable(10)
    table.first(KEY6, datagram(6, flow=1), 1480)
    assert table.first(KEY6, datagram(6, flow=2, since=31 * SECOND), 1480)


def test_ipv4_fragments_may_overlap_behind_the_header() -> None:
    first = datagram(4)
    assert all(first.admit(start, start + 100) for start in (1480, 1488, 80, 1480))


def test_too_many_pieces_are_an_overlap() -> None:
    first = datagram(6)
    results = [first.admit(8 * number + 8, 8 * number + 16) for number in range(MAX_PIECES + 1)]
    assert results == [True] * MAX_PIECES + [False]


def test_the_table_forgets_the_oldest_datagram_when_it_is_full() -> None:
    table = FragmentTable(2)
    keys: list[Key] = [bytes([number]) for number in range(3)]
    for key in keys:
        table.first(key, datagram(), 1480)
    assert table.overflows == 1
    assert [table.later(key, 0) is None for key in keys] == [True, False, False]


def test_datagrams_whose_time_is_over_make_room_without_a_fault() -> None:
    table = FragmentTable(2)
    for number in range(10):
        table.first((4, 0, 1, 0, 2, number, 17), datagram(since=number * 31 * SECOND), 1480)
    assert table.overflows == 0


def test_overlaps_are_what_a_set_of_bytes_says() -> None:
    """Against a model that marks every byte."""
    dice = random.Random(5)
    for _ in range(300):
        first = datagram(6, headers=0)
        taken: dict[tuple[int, int], None] = {}
        covered: set[int] = set()
        poisoned = False
        for _ in range(12):
            start = dice.randrange(0, 40) * 8
            end = start + dice.randrange(1, 6) * 8
            if (start, end) not in taken and covered & set(range(start, end)):
                poisoned = True
            if not poisoned:
                taken[start, end] = None
                covered |= set(range(start, end))
            assert first.admit(start, end) is not poisoned
