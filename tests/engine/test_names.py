"""DNS messages and the names they teach: only what was asked, only as long as it lasts, and nothing ever raises."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.names import (
    FLOOR,
    MAX_ADDRESSES,
    MAX_NAMES,
    MAX_PENDING,
    PENDING_LIFETIME,
    Answer,
    NameTable,
    Question,
    parse_dns,
    read_addresses,
)
from agent.model.address import Address, parse_address
from tests.support import dns

SECOND = 1_000_000_000
HOST, ALIAS, EDGE = "cloud.example.test", "alias.example.test", "edge.example.test"
ONE, TWO = "192.0.2.1", "2001:db8::1"


def asked(message: bytes) -> Question:
    parsed = parse_dns(message)
    assert isinstance(parsed, Question)
    return parsed


def answered(message: bytes) -> Answer:
    parsed = parse_dns(message)
    assert isinstance(parsed, Answer)
    return parsed


def found(message: bytes) -> list[tuple[str, int]]:
    return [(str(address), seconds) for address, seconds in read_addresses(message, answered(message))]


def learn(table: NameTable, message: bytes, now: int = 0) -> None:
    answer = answered(message)
    table.learn(answer.question.name, read_addresses(message, answer), now)


# Messages ---------------------------------------------------------------------------------------------------------


def test_a_question_is_read_in_lower_case() -> None:
    assert asked(dns.question(0xBEEF, "Cloud.EXAMPLE.test", "AAAA")) == Question(0xBEEF, HOST, 28, True)


def test_edns_hides_nothing_in_its_record() -> None:
    assert asked(dns.question(1, HOST, edns=True)).plain


HIDING = [
    pytest.param(dns.question(1, HOST, tail=b"secret"), id="bytes-behind-it"),
    pytest.param(dns.question(1, HOST, edns=True, tail=b"s"), id="bytes-behind-edns"),
    pytest.param(dns.question(1, HOST)[:6] + b"\0\1" + dns.question(1, HOST)[8:], id="answer-count"),
    pytest.param(dns.question(1, HOST)[:8] + b"\0\1" + dns.question(1, HOST)[10:], id="authority-count"),
    pytest.param(dns.question(1, HOST)[:8] + b"\1\0" + dns.question(1, HOST)[10:], id="many-authorities"),
    pytest.param(dns.question(1, HOST)[:10] + b"\0\2" + dns.question(1, HOST)[12:], id="two-additional"),
    pytest.param(dns.question(1, HOST)[:10] + b"\1\0" + dns.question(1, HOST)[12:], id="many-additional"),
    pytest.param(dns.question(1, HOST)[:10] + b"\0\1" + dns.question(1, HOST)[12:], id="additional-missing"),
    pytest.param(
        dns.question(1, HOST)[:10] + b"\0\1" + dns.question(1, HOST)[12:] + b"\0" + struct.pack(">HHIH", 16, 1, 0, 0),
        id="additional-that-is-no-edns",
    ),
    pytest.param(dns.question(1, HOST)[:3] + b"\x05" + dns.question(1, HOST)[4:], id="error-code"),
]


@pytest.mark.parametrize("message", HIDING)
def test_a_question_with_anything_beside_it_is_not_plain(message: bytes) -> None:
    """An allowed name must not carry data past the filter."""
    assert not asked(message).plain


def test_the_records_of_the_asked_name_are_taken() -> None:
    message = dns.answer(
        1, HOST, [(HOST, "A", 300, ONE), (HOST, "AAAA", 60, TWO), ("other.test", "A", 300, "192.0.2.9")]
    )
    assert found(message) == [(ONE, 300), (TWO, 60)]


def test_an_alias_is_followed_with_the_least_time_on_the_way() -> None:
    records = [
        (HOST, "CNAME", 20, ALIAS),
        (ALIAS, "CNAME", 500, EDGE),
        (EDGE, "A", 300, ONE),
        (ALIAS, "A", 90, "192.0.2.2"),
    ]
    for order in (records, records[::-1]):
        assert sorted(found(dns.answer(1, HOST, order))) == [(ONE, 20), ("192.0.2.2", 20)]


def test_an_alias_of_another_name_leads_nowhere() -> None:
    assert found(dns.answer(1, HOST, [("evil.test", "CNAME", 60, EDGE), (EDGE, "A", 60, ONE)])) == []


def test_a_circle_of_aliases_ends() -> None:
    message = dns.answer(1, HOST, [(HOST, "CNAME", 60, ALIAS), (ALIAS, "CNAME", 60, HOST), (ALIAS, "A", 60, ONE)])
    assert found(message) == [(ONE, 60)]


def test_an_error_answers_without_addresses() -> None:
    assert found(dns.answer(1, HOST, [(HOST, "A", 60, ONE)], code=3)) == []


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert found(dns.answer(1, HOST, [(HOST, "AAAA", 60, "::ffff:192.0.2.1")])) == []
    data = bytes(10) + b"\xff\xff" + parse_address(ONE).packed
    head = dns.answer(1, HOST, [])
    message = head[:6] + b"\0\1" + head[8:] + dns.name(HOST) + struct.pack(">HHIH", 28, 1, 60, 16) + data
    assert found(message) == [(ONE, 60)]


def test_names_by_pointer_are_names() -> None:
    head = dns.answer(1, HOST, [])
    message = head[:6] + b"\0\1" + head[8:] + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + b"\xc0\0\2\1"
    assert found(message) == [(ONE, 60)]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([b"cloud.example", b"test"], id="a-dot-in-a-label"),
        pytest.param([b"cloud", b"example.test"], id="a-dot-in-the-last"),
        pytest.param([b"evil.example", b"test"], id="a-dot-before-a-suffix"),
        pytest.param([b"cloud", b"example", b"test\0"], id="a-zero"),
    ],
)
def test_a_strange_label_never_looks_like_another_name(labels: list[bytes]) -> None:
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    message = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + encoded + struct.pack(">HH", 1, 1)
    assert asked(message).name != HOST
    assert not asked(message).name.endswith("." + HOST.partition(".")[2])


NOT_DNS = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\0" * 12, id="no-question"),
    pytest.param(dns.question(1, HOST)[:-1], id="cut"),
    pytest.param(dns.question(1, HOST)[:20], id="cut-in-the-name"),
    pytest.param(dns.question(1, HOST)[:4] + b"\0\2" + dns.question(1, HOST)[6:], id="two-questions"),
    pytest.param(dns.question(1, HOST)[:4] + b"\1\1" + dns.question(1, HOST)[6:], id="many-questions"),
    pytest.param(dns.question(1, HOST)[:2] + b"\x28" + dns.question(1, HOST)[3:], id="update"),
    pytest.param(dns.question(1, HOST)[:-1] + b"\3", id="chaos-class"),
    pytest.param(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c" + b"\0\1\0\1", id="pointer-to-itself"),
    pytest.param(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\x80a\0" + b"\0\1\0\1", id="reserved-label"),
    pytest.param(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\x3f" + b"a" * 63, id="name-without-end"),
    pytest.param(dns.question(1, ".".join(["a" * 60] * 5)), id="name-too-long"),
]


@pytest.mark.parametrize("message", NOT_DNS)
def test_what_is_neither_question_nor_answer_is_nothing(message: bytes) -> None:
    assert parse_dns(message) is None


def test_a_name_has_at_most_255_bytes() -> None:
    """RFC 1035 section 3.1, the lengths of its labels and the root counted."""
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(dns.name(longest)) == 255
    assert asked(dns.question(1, longest)).name == longest
    assert parse_dns(dns.question(1, longest + "b")) is None
    assert asked(dns.question(1, "")).name == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_without_an_error(message: bytes) -> None:
    parsed = parse_dns(message)
    if isinstance(parsed, Answer):
        read_addresses(message, parsed)


@given(st.data())
def test_any_damage_to_an_answer_is_survived(data: st.DataObject) -> None:
    message = bytearray(
        dns.answer(1, HOST, [(HOST, "CNAME", 20, ALIAS), (ALIAS, "A", 30, ONE), (ALIAS, "AAAA", 40, TWO)])
    )
    for place in data.draw(st.lists(st.integers(0, len(message) - 1), max_size=5)):
        message[place] = data.draw(st.integers(0, 255))
    kept = bytes(message[: data.draw(st.integers(0, len(message)))])
    parsed = parse_dns(kept)
    if isinstance(parsed, Answer):
        assert all(0 <= seconds < 1 << 32 for _, seconds in read_addresses(kept, parsed))


def test_a_message_full_of_pointers_costs_little() -> None:
    """256 records, each a chain of pointers to the next: bounded on both sides."""
    chain = b"".join(struct.pack(">H", 0xC000 | 12 + 2 * number + 2) for number in range(1000))
    message = struct.pack(">HHHHHH", 1, 0x8180, 1, 0xFFFF, 0, 0) + chain
    assert parse_dns(message) is None


# What is known ----------------------------------------------------------------------------------------------------


def known(table: NameTable, address: str, now: int = 0) -> tuple[str, ...]:
    return table.lookup(parse_address(address), now)


def test_names_given_beforehand_never_expire() -> None:
    table = NameTable({parse_address(ONE): ("Cloud.Example.Test.",)})
    assert known(table, ONE, 1 << 62) == (HOST,)
    assert known(table, TWO) == ()


@pytest.mark.parametrize(("seconds", "lasts"), [(0, 60), (5, 60), (60, 60), (61, 61), (86_400, 86_400)])
def test_a_name_lasts_as_long_as_its_record_but_at_least_a_minute(seconds: int, lasts: int) -> None:
    assert FLOOR == 60 * SECOND
    table = NameTable({})
    learn(table, dns.answer(1, HOST, [(HOST, "A", seconds, ONE)]), 10 * SECOND)
    assert known(table, ONE, (10 + lasts) * SECOND) == (HOST,)
    assert known(table, ONE, (10 + lasts) * SECOND + 1) == ()


def test_a_shorter_answer_does_not_shorten_a_longer_one() -> None:
    table = NameTable({})
    for seconds in (1000, 100):
        learn(table, dns.answer(1, HOST, [(HOST, "A", seconds, ONE)]), 0)
    assert known(table, ONE, 1000 * SECOND) == (HOST,)


def test_the_asked_name_is_learned_and_not_the_alias() -> None:
    table = NameTable({})
    learn(table, dns.answer(1, HOST, [(HOST, "CNAME", 90, EDGE), (EDGE, "A", 90, ONE)]), 0)
    assert known(table, ONE) == (HOST,)


def test_names_of_an_address_are_sorted() -> None:
    table = NameTable({})
    for host in ("b.test", "a.test", "c.test"):
        learn(table, dns.answer(1, host, [(host, "A", 90, ONE)]), 0)
    assert known(table, ONE) == ("a.test", "b.test", "c.test")


def test_an_address_keeps_a_bounded_number_of_names() -> None:
    """Those that last longest; names given beforehand are never pushed out."""
    table = NameTable({parse_address(ONE): (HOST,)})
    for number in range(3 * MAX_NAMES):
        host = f"n{number:02}.test"
        learn(table, dns.answer(1, host, [(host, "A", 100 + number, ONE)]), 0)
    names = known(table, ONE)
    assert len(names) == MAX_NAMES
    assert {HOST, "n47.test", "n46.test"} <= set(names)
    assert "n00.test" not in names


def test_what_was_given_beforehand_is_not_forgotten_for_what_was_learned() -> None:
    given = {parse_address(f"192.0.2.{number}"): (HOST,) for number in range(3)}
    table = NameTable(given)
    count = MAX_ADDRESSES + 5
    table.learn("learned.test", [(Address(4, 0x0A000000 + number), 600) for number in range(count)], 0)
    assert all(table.lookup(address, 0) == (HOST,) for address in given)
    assert len(table) == MAX_ADDRESSES + len(given)
    known_now = [bool(table.lookup(Address(4, 0x0A000000 + number), 0)) for number in (0, 4, 5, count - 1)]
    assert known_now == [False, False, True, True]


# Questions --------------------------------------------------------------------------------------------------------


def test_an_answer_needs_its_question_in_the_same_flow() -> None:
    table = NameTable({})
    table.asked(1, asked(dns.question(7, HOST)), True, 0)
    assert table.answers(1, answered(dns.answer(7, HOST, [])), 0) is True
    for flow, message in (
        (2, dns.answer(7, HOST, [])),
        (1, dns.answer(8, HOST, [])),
        (1, dns.answer(7, "other.test", [])),
        (1, dns.answer(7, HOST, [], kind="AAAA")),
    ):
        assert table.answers(flow, answered(message), 0) is None


def test_the_verdict_on_the_question_is_remembered() -> None:
    table = NameTable({})
    table.asked(1, asked(dns.question(7, HOST)), False, 0)
    assert table.answers(1, answered(dns.answer(7, HOST, [])), 0) is False


def test_a_question_stays_open_for_a_while() -> None:
    table = NameTable({})
    table.asked(1, asked(dns.question(7, HOST)), True, 0)
    assert table.answers(1, answered(dns.answer(7, HOST, [])), PENDING_LIFETIME) is True
    assert table.answers(1, answered(dns.answer(7, HOST, [])), PENDING_LIFETIME + 1) is None


def test_open_questions_are_bounded_and_the_oldest_goes() -> None:
    table = NameTable({})
    for number in range(MAX_PENDING + 1):
        table.asked(number, asked(dns.question(7, HOST)), True, 0)
    assert table.answers(0, answered(dns.answer(7, HOST, [])), 0) is None
    assert table.answers(1, answered(dns.answer(7, HOST, [])), 0) is True


def test_addresses_of_both_versions_are_kept_apart() -> None:
    table = NameTable({Address(4, 1): ("four.test",), Address(6, 1): ("six.test",)})
    assert table.lookup(Address(4, 1), 0) == ("four.test",)
    assert table.lookup(Address(6, 1), 0) == ("six.test",)
