"""Whose capture it is when nobody says: the order of evidence, and the refusal to guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.capture.reader import open_capture
from agent.model.errors import UsageError
from agent.replay.local import LOOK_AHEAD, Sightings, infer, survey
from tests.support import dns
from tests.support import frames as f
from tests.support.captures import Outcome, pcap, pcapng, replay, sockets_file

US, US6, PEER, RESOLVER = "10.0.0.5", "2001:db8::5", "203.0.113.9", "10.0.0.1"


def flow(source: str, destination: str, *, mac: bytes = f.OUR_MAC) -> bytes:
    return f.ethernet(f.ip(source, destination, f.udp(50000, 4500, b"x"), f.UDP), source=mac)


def surveyed(path: Path) -> Sightings:
    with open_capture(str(path)) as reader:
        batches = []
        while (batch := reader.next_batch()) is not None:
            batches.append((0, batch.copy()))
    return survey(batches)


def local_of(outcome: Outcome) -> tuple[list[str], str]:
    device = outcome.summary["device"]
    return device["local"], device["local_basis"]


@pytest.fixture
def conversation(tmp_path: Path) -> Path:
    """10.0.0.5 with ten others, one of them in IPv6."""
    packets = [(0.0, flow(US, f"203.0.113.{number}")) for number in range(1, 20)]
    packets.append((0.0, flow(US6, "2001:db8:1::1")))
    return pcap(tmp_path / "some.pcap", packets)


def test_an_option_wins(tmp_path: Path, conversation: Path) -> None:
    sockets = sockets_file(tmp_path / "s.jsonl", {"local": "10.9.9.9:1"})
    outcome = replay(tmp_path, conversation, local=("10.0.0.6", "10.1.0.0/16"), attribution=(sockets,))
    assert local_of(outcome) == (["10.0.0.6", "10.1.0.0/16"], "option")


def test_the_device_document_comes_with_the_option(tmp_path: Path, conversation: Path) -> None:
    device = tmp_path / "device.yaml"
    device.write_text("version: 1\nplatform: Windows11\nos_version: 24H2\naddresses: [10.0.0.7]\n")
    assert local_of(replay(tmp_path, conversation, local=(), device=device)) == (["10.0.0.7"], "device")
    assert local_of(replay(tmp_path, conversation, device=device)) == (["10.0.0.7", US], "option")


def test_local_ends_of_socket_records_come_before_looking(tmp_path: Path, conversation: Path) -> None:
    records = [{"local": "10.0.0.5:1"}, {"local": "[2001:db8::5]:1"}, {"local": "0.0.0.0:9"}, {"local": "127.0.0.1:9"}]
    sockets = sockets_file(tmp_path / "s.jsonl", *records)
    assert local_of(replay(tmp_path, conversation, local=(), attribution=(sockets,))) == ([US, US6], "attribution")


def test_sources_of_frames_flagged_outbound_come_before_counting(tmp_path: Path) -> None:
    packets = [(0.0, flow(PEER, US), 1), (0.0, flow(US, PEER), 2), (0.0, flow(US6, "2001:db8:1::1"), 2)]
    packets += [(0.0, flow("10.0.0.8", "10.0.0.9"), 0)] * 20
    path = pcapng(tmp_path / "flagged.pcapng", packets)
    assert local_of(replay(tmp_path, path, local=())) == ([US, US6], "outbound_frames")


def test_one_address_in_nine_of_ten_packets_is_the_device_with_what_shares_its_mac(
    tmp_path: Path, conversation: Path
) -> None:
    assert local_of(replay(tmp_path, conversation, local=())) == ([US, US6], "look_ahead")


@pytest.mark.parametrize(("foreign", "enough"), [(2, True), (3, False)])
def test_less_than_nine_of_ten_is_not_enough(tmp_path: Path, foreign: int, enough: bool) -> None:
    packets = [(0.0, flow(US, f"203.0.113.{number}")) for number in range(18)]
    packets += [(0.0, flow("10.0.0.8", "10.0.0.9", mac=f.THEIR_MAC))] * foreign
    path = pcap(tmp_path / "some.pcap", packets)
    if enough:
        assert local_of(replay(tmp_path, path, local=()))[0] == [US]
        return
    with pytest.raises(UsageError, match=r"give --local ADDRESS or --device FILE; candidates .*10\.0\.0\.5 \(85 %\)"):
        replay(tmp_path, path, local=())


def test_two_hosts_talking_to_each_other_only_are_both_candidates(tmp_path: Path) -> None:
    path = pcap(tmp_path / "two.pcap", [(0.0, flow(US, PEER)), (0.0, flow(PEER, US, mac=f.THEIR_MAC))])
    with pytest.raises(UsageError, match=r"candidates by share of the packets: 10\.0\.0\.5 \(100 %\), 203\.0\.113\.9"):
        replay(tmp_path, path, local=())
    assert not list(tmp_path.glob("decisions*"))


def test_groups_loopback_and_nobody_are_no_candidates(tmp_path: Path) -> None:
    packets = [(0.0, flow("0.0.0.0", "255.255.255.255")), (0.0, flow("127.0.0.1", "127.0.0.1"))]
    packets += [(0.0, flow("::", "ff02::1")), (0.0, flow("::1", "::1")), (0.0, flow("224.0.0.1", "239.0.0.1"))]
    seen = surveyed(pcap(tmp_path / "odd.pcap", packets))
    assert (seen.packets, dict(seen.present)) == (5, {})
    with pytest.raises(UsageError, match="candidates by share of the packets: none"):
        infer(seen)


def test_a_capture_without_ip_needs_no_address(tmp_path: Path) -> None:
    path = pcap(tmp_path / "arp.pcap", [(0.0, f.ethernet(b"x" * 46, f.ARP))])
    outcome = replay(tmp_path, path, local=())
    assert local_of(outcome) == ([], "none")
    assert outcome.summary["packets"] == {"total": 1, "allowed": 0, "denied": 0, "ignored": 0, "link": 1}


def test_only_the_first_packets_are_looked_at(tmp_path: Path) -> None:
    packets = [(0.0, flow(US, f"203.0.113.{number % 200}")) for number in range(LOOK_AHEAD)]
    packets += [(0.0, flow("10.0.0.8", "10.0.0.9", mac=f.THEIR_MAC))] * LOOK_AHEAD
    seen = surveyed(pcap(tmp_path / "long.pcap", packets))
    assert seen.packets == LOOK_AHEAD
    assert [str(address) for address in infer(seen)] == [US]


def test_a_wrong_local_is_named(tmp_path: Path, conversation: Path) -> None:
    with pytest.raises(UsageError, match=r"--local 10\.0\.0\.300"):
        replay(tmp_path, conversation, local=("10.0.0.300",))


# Resolvers --------------------------------------------------------------------------------------------------------


def asked(number: int, port: int = 50000, host: str = "a.test", resolver: str = RESOLVER) -> bytes:
    return f.udp_frame(f"{US}:{port}", f"{resolver}:53", dns.question(number, host))


def told(number: int, port: int = 50000, host: str = "a.test", resolver: str = RESOLVER) -> bytes:
    return f.udp_frame(f"{resolver}:53", f"{US}:{port}", dns.answer(number, host, []))


def test_who_answered_a_question_is_taken_for_a_resolver_with_a_warning(tmp_path: Path) -> None:
    packets = [asked(1), told(1), asked(2, resolver="10.0.0.2"), told(3, resolver="10.0.0.3"), told(9)]
    outcome = replay(tmp_path, pcap(tmp_path / "dns.pcap", [(0.0, frame) for frame in packets]))
    [warning] = [one["text"] for one in outcome.summary["warnings"] if one["code"] == "resolvers_inferred"]
    assert warning == f"no resolver is configured: {RESOLVER} answered questions and is taken for one"


def test_resolvers_of_other_hosts_are_not_ours(tmp_path: Path) -> None:
    packets = [asked(1), told(1)]
    outcome = replay(tmp_path, pcap(tmp_path / "dns.pcap", [(0.0, one) for one in packets]), local=("10.0.0.6",))
    assert "resolvers_inferred" not in outcome.codes()


def test_a_host_that_asks_itself_is_no_resolver(tmp_path: Path) -> None:
    frames = [
        f.udp_frame(f"{US}:50000", f"{US}:53", dns.question(1, "a.test")),
        f.udp_frame(f"{US}:53", f"{US}:50000", dns.answer(1, "a.test", [])),
    ]
    outcome = replay(tmp_path, pcap(tmp_path / "dns.pcap", [(0.0, frame) for frame in frames]))
    assert "resolvers_inferred" not in outcome.codes()


def test_a_damaged_packet_is_not_mistaken_for_the_one_before_it(tmp_path: Path) -> None:
    """Headers are read into one object: a packet cut behind its addresses must not inherit ports and message."""
    forged = f.ethernet(f.ipv4("10.0.0.66", US, f.udp(53, 50000), f.UDP, header=16))
    question = f.ethernet(f.ipv4(US, "10.0.0.66", f.udp(50000, 53), f.UDP, header=16))
    frames = [asked(1), question, told(1), forged]
    seen = surveyed(pcap(tmp_path / "dns.pcap", [(0.0, frame) for frame in frames]))
    assert [str(server) for _, server in seen.resolvers] == [RESOLVER]
