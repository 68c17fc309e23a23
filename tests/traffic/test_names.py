"""DNS of the device: asked before the first connection, cached as long as told, in agreement with what follows."""

from __future__ import annotations

import pytest

from agent.model.moment import SECOND
from agent.traffic.generate import Generated
from agent.traffic.scenario import load_scenario
from tests.traffic.builders import DEVICE, EVERY_BUILTIN, HOSTS, play, played
from tests.traffic.parsing import DnsMessage, Segment, dns_message, segments

ALIAS = {"kind": "tls", "process": "tool", "remote": "alias.example.com"}


def dns_packets(generated: Generated) -> list[tuple[Segment, DnsMessage]]:
    return [(packet, dns_message(packet.payload)) for packet in segments(generated.packets) if packet.remote[1] == 53]


def questions(generated: Generated) -> list[str]:
    """Names asked, with the type: `www.example.com A`."""
    kinds = {1: "A", 28: "AAAA"}
    asked = [
        question for _, message in dns_packets(generated) if not message.response for question in message.questions
    ]
    return [f"{name} {kinds[kind]}" for name, kind in asked]


def test_name_is_asked_before_the_connection() -> None:
    generated = play(ALIAS)
    assert questions(generated) == ["alias.example.com A", "alias.example.com AAAA"]
    first_tcp = next(packet for packet in segments(generated.packets) if packet.protocol == 6)
    answers = [packet.time_ns for packet, message in dns_packets(generated) if message.response]
    assert max(answers) < first_tcp.time_ns


def test_answer_holds_the_chain_and_the_address() -> None:
    answers = [message for _, message in dns_packets(play(ALIAS)) if message.response]
    assert [message.answers for message in answers if message.questions[0][1] == 1] == [
        [
            ("alias.example.com", 5, 60, "edge.example.net"),
            ("edge.example.net", 5, 60, "node.example.net"),
            ("node.example.net", 1, 60, "203.0.113.11"),
        ]
    ]


def test_answer_echoes_number_and_question() -> None:
    pairs = dns_packets(play(ALIAS))
    asked = {(message.number, packet.local, *message.questions) for packet, message in pairs if not message.response}
    answered = {(message.number, packet.local, *message.questions) for packet, message in pairs if message.response}
    assert asked == answered
    assert len(asked) == 2


@pytest.mark.parametrize(("period", "lookups"), [("50", 1), ("70", 2)], ids=["cached", "expired"])
def test_answer_is_kept_as_long_as_its_ttl(period: str, lookups: int) -> None:
    generated = play({**ALIAS, "count": "2", "period": period})
    assert questions(generated).count("alias.example.com A") == lookups


def test_device_without_ipv6_asks_for_ipv4_only() -> None:
    generated = play(ALIAS, device={**DEVICE, "addresses": ["10.20.0.15", "fe80::15"]})
    assert questions(generated) == ["alias.example.com A"]


def test_lookup_can_be_left_out() -> None:
    assert questions(play({**ALIAS, "lookup": "off"})) == []


def test_remote_that_calls_in_is_not_looked_up() -> None:
    assert questions(play({**ALIAS, "direction": "inbound", "port": "7000"})) == []


def test_name_that_nobody_has_does_not_exist() -> None:
    answers = [
        message for _, message in dns_packets(play({"kind": "dns", "names": "x.example.org"})) if message.response
    ]
    assert {answer.code for answer in answers} == {3}
    assert [answer.answers for answer in answers] == [[], []]


def test_question_can_stay_unanswered() -> None:
    generated = play({"kind": "dns", "names": ["www.example.com"], "answered": "off"})
    assert not [message for _, message in dns_packets(generated) if message.response]
    assert questions(generated)


def test_resolver_of_the_activity_is_asked() -> None:
    generated = play({"kind": "dns", "names": "www.example.com", "resolver": "198.51.100.53"})
    assert {str(packet.remote[0]) for packet, _ in dns_packets(generated)} == {"198.51.100.53"}


def test_who_asks_is_the_resolver_service() -> None:
    (record, _) = play({**ALIAS, "lookup": "on"}).sockets[:2]
    assert record["services"] == ["Dnscache"]
    assert record["remote"] is None


@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_addresses_of_names_were_answered_before_they_were_used(name: str) -> None:
    """The cloud channel is learned from answers: a connection without one would be denied for no reason."""
    hosts = load_scenario(name).hosts
    known: dict[str, int] = {}
    addresses = {str(address) for host in hosts.values() for address in host.addresses}
    for packet in segments(played(name).packets):
        if packet.protocol == 17 and packet.remote[1] == 53 and packet.inbound:
            known |= {value: packet.time_ns for _, _, _, value in dns_message(packet.payload).answers}
        elif str(packet.remote[0]) in addresses and not packet.inbound:
            assert str(packet.remote[0]) in known, f"{packet.remote} before its answer"


def test_ttl_runs_from_the_answer() -> None:
    start = load_scenario("beacon").start
    generated = play({**ALIAS, "count": "3", "period": "40"})
    times = [packet.time_ns - start for packet, message in dns_packets(generated) if not message.response]
    assert {time // (10 * SECOND) for time in times} == {0, 8}
    assert HOSTS["alias.example.com"]["ttl"] == "60"
