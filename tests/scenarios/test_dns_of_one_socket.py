"""DNS is judged question by question: what passes on one socket says nothing of the next question on it.

The generators open a socket for each question, as resolvers do; here a program keeps one, and somebody answers for the
resolver. Frames are formed by scapy; what is expected is semantics.md 6 and 7.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from agent.traffic.stage import Frame
from tests.scenarios.playing import Played, replay, scenario

SCENARIO = str(Path(__file__).resolve().parent / "dns-cloud-names" / "scenario.yaml")
DEVICE, RESOLVER = "10.0.0.5", "10.0.0.1"
CHANNEL, TUNNEL = "unitedstates.x.endpoint.security.microsoft.com", "4d5a9000.t.example.org"
CLOUD, EVIL = "192.0.2.40", "198.51.100.66"
SECOND = 1_000_000_000
AGENT, IMPLANT = 50_100, 50_200


def message(sent: bool, dns: Packet, *, server: str = RESOLVER, port: int = 50_053) -> Packet:
    ends = ((DEVICE, port), (server, 53)) if sent else ((server, 53), (DEVICE, port))
    return IP(src=ends[0][0], dst=ends[1][0]) / UDP(sport=ends[0][1], dport=ends[1][1]) / dns


def question(name: str, number: int, *, port: int = 50_053) -> Packet:
    return message(True, DNS(id=number, rd=1, qd=DNSQR(qname=name, qtype="A")), port=port)


def answer(name: str, number: int, address: str, *, server: str = RESOLVER, port: int = 50_053) -> Packet:
    record = DNSRR(rrname=name, type="A", ttl=60, rdata=address)
    dns = DNS(id=number, qr=1, rd=1, ra=1, qd=DNSQR(qname=name, qtype="A"), an=record)
    return message(False, dns, server=server, port=port)


def syn(remote: str, port: int) -> Packet:
    return IP(src=DEVICE, dst=remote) / TCP(sport=port, dport=443, flags="S", seq=port)


def play(folder: Path, packets: list[Packet], *words: str) -> Played:
    """The packets a second apart. The Defender agent owns port 50100, the implant every other one of the device."""
    base = scenario(SCENARIO)
    frames = []
    for number, packet in enumerate(packets):
        sent = packet.src == DEVICE
        hardware = ("02:00:0a:00:00:05", "02:00:0a:00:00:01")
        link = Ether(src=hardware[not sent], dst=hardware[sent])
        frames.append(Frame(base.packets[0].time_ns + number * SECOND, bytes(link / packet), 2 if sent else 1))
    images = {
        AGENT: r"C:\Program Files\Windows Defender Advanced Threat Protection\MsSense.exe",
        IMPLANT: r"C:\Users\Public\updater.exe",
    }
    sockets: list[dict[str, object]] = [
        {
            "start": "2026-01-05T09:00:00Z", "end": None, "protocol": "tcp", "local": f"{DEVICE}:{port}",
            "remote": f"{remote}:443", "initiated": True, "image": image, "services": [],
        }
        for port, image in images.items()
        for remote in (CLOUD, EVIL)
    ]  # fmt: skip
    return replay(folder, replace(base, packets=frames, sockets=sockets), "--mode", "full", *words)


def dns_flow(played: Played) -> dict[str, object]:
    found = [record for record in played.flows if record["protocol"] == "udp"]
    assert len(found) == 1
    return found[0]


def test_a_flow_of_allowed_and_denied_questions_is_mixed(tmp_path: Path) -> None:
    """The channel's question and its answer pass, the tunnel's do not; the record counts both."""
    packets = [
        question(CHANNEL, 1),
        answer(CHANNEL, 1, CLOUD),
        question(TUNNEL, 2),
        answer(TUNNEL, 2, EVIL),
        question(TUNNEL, 3),
    ]
    played = play(tmp_path, packets)
    record = dns_flow(played)
    assert (record["verdict"], record["reason"], record["mixed"]) == ("mixed", "essential", {"allowed": 2, "denied": 3})
    assert record["packets"] == {"original": 3, "reply": 2}
    assert played.summary["packets"] == {"total": 5, "allowed": 2, "denied": 3, "ignored": 0, "link": 0}
    assert played.summary["flows"] == {"total": 1, "allowed": 0, "denied": 0, "mixed": 1, "cut": 0, "evicted": 0}
    assert played.reason("essential")["packets"] == 2
    assert played.reason("full_isolation")["packets"] == 3


UNSOLICITED: dict[str, tuple[list[Packet], int]] = {
    "nobody asked": ([answer(CHANNEL, 1, EVIL)], 0),
    "another number": ([question(CHANNEL, 1), answer(CHANNEL, 2, EVIL)], 1),
    "another name": ([question(CHANNEL, 1), answer(f"x.{CHANNEL}", 1, EVIL)], 1),
    "another port": ([question(CHANNEL, 1), answer(CHANNEL, 1, EVIL, port=50_054)], 1),
    "another server": ([question(CHANNEL, 1), answer(CHANNEL, 1, EVIL, server="10.0.0.66")], 1),
    "a question that was denied": ([question(TUNNEL, 1), answer(TUNNEL, 1, EVIL)], 0),
    "a minute late": ([question(CHANNEL, 1), *[syn(EVIL, 50_300)] * 61, answer(CHANNEL, 1, EVIL)], 1),
}
"""What arrives, and how many of the packets pass: the question, where it was for the channel."""


@pytest.mark.parametrize(("packets", "passed"), UNSOLICITED.values(), ids=UNSOLICITED.keys())
def test_an_answer_that_nobody_asked_for_teaches_nothing(tmp_path: Path, packets: list[Packet], passed: int) -> None:
    """The agent's own connection to the address stays denied, and so does the forged answer."""
    played = play(tmp_path, [*packets, syn(EVIL, AGENT)])
    last = next(record for record in played.flows if record["local"]["port"] == AGENT)
    assert (last["verdict"], last["reason"], last["remote"]["names"]) == ("deny", "full_isolation", [])
    assert played.summary["packets"]["allowed"] == passed


def test_an_answer_that_was_asked_for_opens_the_channel_to_the_agent_only(tmp_path: Path) -> None:
    """Destination and process: the same address by another program is denied."""
    packets = [question(CHANNEL, 1), answer(CHANNEL, 1, CLOUD), syn(CLOUD, AGENT), syn(CLOUD, IMPLANT)]
    by_port = {record["local"]["port"]: record for record in play(tmp_path, packets).flows}
    assert (by_port[AGENT]["verdict"], by_port[AGENT]["reason"]) == ("allow", "cloud_channel")
    assert by_port[AGENT]["remote"]["names"] == [CHANNEL]
    assert (by_port[IMPLANT]["verdict"], by_port[IMPLANT]["reason"]) == ("deny", "full_isolation")


@pytest.mark.parametrize(("seconds", "verdict"), [(59, "allow"), (61, "deny")])
def test_a_name_is_known_for_a_minute_at_least_and_not_for_ever(tmp_path: Path, seconds: int, verdict: str) -> None:
    """The answer's time to live with a floor of 60 s; a flow after that has no name."""
    waiting = [syn(EVIL, IMPLANT)] * (seconds - 1)
    played = play(tmp_path, [question(CHANNEL, 1), answer(CHANNEL, 1, CLOUD), *waiting, syn(CLOUD, AGENT)])
    by_port = {record["local"]["port"]: record for record in played.flows}
    assert by_port[AGENT]["verdict"] == verdict


def test_data_beside_the_question_is_no_question(tmp_path: Path) -> None:
    """A question for the channel that carries records of its own is denied: it could carry anything."""
    data = DNSRR(rrname="data.example.org", type="TXT", rdata="x")
    played = play(tmp_path, [message(True, DNS(id=1, rd=1, qd=DNSQR(qname=CHANNEL, qtype="A"), an=data))])
    assert dns_flow(played)["verdict"] == "deny"
