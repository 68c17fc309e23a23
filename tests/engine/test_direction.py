"""The table of evidence for a flow's direction, row by row and in its order (semantics.md section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.direction import Directions
from agent.model.vocabulary import DirectionBasis

TCP, UDP, ICMP, ICMPV6, SCTP, GRE = 6, 17, 1, 58, 132, 47
SYN, ACK, RST, FIN = 2, 16, 4, 1
WINDOWS = (49152, 65535)


def decide(
    protocol: int, out: bool = True, source: int = 50000, destination: int = 443, **facts: Any
) -> tuple[str, str]:
    values = {"tcp_flags": 0, "icmp_type": 0, "flag": 0, "initiated": None, "asked": False, **facts}
    outbound, basis = Directions(WINDOWS).decide(protocol, out, source, destination, **values)
    return "outbound" if outbound else "inbound", DirectionBasis(basis).label


OUT, IN = "outbound", "inbound"
TABLE = [
    pytest.param({"tcp_flags": SYN}, (OUT, "tcp_syn"), (IN, "tcp_syn"), id="syn"),
    pytest.param({"tcp_flags": SYN | 0x20}, (OUT, "tcp_syn"), (IN, "tcp_syn"), id="syn-urg"),
    pytest.param({"tcp_flags": SYN, "initiated": False, "flag": 1}, (OUT, "tcp_syn"), (IN, "tcp_syn"), id="syn-first"),
    pytest.param(
        {"tcp_flags": ACK, "initiated": True, "flag": 1}, (OUT, "attribution"), (OUT, "attribution"), id="initiated"
    ),
    pytest.param(
        {"tcp_flags": ACK, "initiated": False, "flag": 2}, (IN, "attribution"), (IN, "attribution"), id="accepted"
    ),
    pytest.param(
        {"tcp_flags": SYN | ACK, "initiated": True, "asked": True},
        (OUT, "attribution"),
        (OUT, "attribution"),
        id="attribution-before-reply",
    ),
    pytest.param({"tcp_flags": ACK, "flag": 2}, (OUT, "capture_flag"), (OUT, "capture_flag"), id="flag-out"),
    pytest.param({"tcp_flags": ACK, "flag": 1}, (IN, "capture_flag"), (IN, "capture_flag"), id="flag-in"),
    pytest.param({"tcp_flags": SYN | ACK, "asked": True}, (IN, "reply_seen"), (OUT, "reply_seen"), id="synack-seen"),
    pytest.param({"tcp_flags": SYN | ACK}, (IN, "unmatched_reply"), (OUT, "unmatched_reply"), id="synack"),
    pytest.param({"tcp_flags": SYN | RST}, (OUT, "ports"), (OUT, "ports"), id="syn-rst-is-no-syn"),
    pytest.param({"tcp_flags": ACK}, (OUT, "ports"), (OUT, "ports"), id="data"),
    pytest.param({"tcp_flags": 0}, (OUT, "ports"), (OUT, "ports"), id="no-flags"),
]


@pytest.mark.parametrize(("facts", "sent", "received"), TABLE)
def test_tcp_row_by_row(facts: dict[str, Any], sent: tuple[str, str], received: tuple[str, str]) -> None:
    """`sent`: the first packet leaves the host from 50000 to 443; `received`: it comes from 443 to 50000."""
    assert decide(TCP, True, **facts) == sent
    assert decide(TCP, False, 443, 50000, **facts) == received


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        (50000, 445, (OUT, "ports")),
        (445, 50000, (IN, "ports")),
        (49151, 65535, (IN, "ports")),
        (49152, 49151, (OUT, "ports")),
        (50001, 50000, (OUT, "lower_port")),
        (50000, 50001, (IN, "lower_port")),
        (8080, 443, (OUT, "lower_port")),
        (443, 8080, (IN, "lower_port")),
        (445, 445, (OUT, "first_sender")),
        (50000, 50000, (OUT, "first_sender")),
    ],
)
def test_guesses_by_ports_fall_to_the_first_sender(source: int, destination: int, expected: tuple[str, str]) -> None:
    """The packet leaves the host; the same packet coming in gives the other direction."""
    assert decide(TCP, True, source, destination, tcp_flags=ACK) == expected
    turned = IN if expected[0] == OUT else OUT
    assert decide(TCP, False, source, destination, tcp_flags=ACK) == (turned, expected[1])


def test_the_ephemeral_range_is_the_devices_own() -> None:
    linux = Directions((32768, 60999))
    arguments = {"tcp_flags": ACK, "icmp_type": 0, "flag": 0, "initiated": None, "asked": False}
    assert linux.decide(TCP, True, 40000, 50500, **arguments) == (False, DirectionBasis.LOWER_PORT)
    assert Directions(WINDOWS).decide(TCP, True, 40000, 50500, **arguments) == (False, DirectionBasis.PORTS)


@pytest.mark.parametrize("out", [True, False], ids=["sent", "received"])
def test_a_udp_flow_is_its_first_senders(out: bool) -> None:
    """WFP's rule."""
    for source, destination in (
        (50000, 53),
        (50000, 50001),
        (5353, 5353),
        (68, 67),
        (137, 137),
        (1024, 50000),
        (0, 50000),
    ):
        assert decide(UDP, out, source, destination) == (OUT if out else IN, "first_packet")


def test_attribution_says_nothing_of_udp() -> None:
    """Sysmon's Initiated is the first sender as it saw it."""
    assert decide(UDP, False, 50000, 4500, initiated=True) == (IN, "first_packet")


def test_udp_that_looks_like_a_reply_is_a_guess() -> None:
    """A service port to an ephemeral one."""
    assert decide(UDP, False, 123, 50000) == (OUT, "ports")
    assert decide(UDP, True, 123, 50000) == (IN, "ports")
    assert decide(UDP, False, 1023, 65535) == (OUT, "ports")
    assert decide(UDP, False, 123, 40000) == (IN, "first_packet")


@given(st.integers(0, 65535), st.sampled_from([0, 1]))
def test_unsolicited_udp_from_port_53_is_never_outbound(port: int, flag: int) -> None:
    """Whatever port it goes to: otherwise anybody could look like a resolver."""
    assert decide(UDP, False, 53, port, flag=flag)[0] == IN


def test_an_answer_to_a_question_that_was_seen_is_outbound() -> None:
    assert decide(UDP, False, 53, 50000, asked=True) == (OUT, "reply_seen")
    assert decide(UDP, False, 53, 50000) == (IN, "unmatched_reply")


@pytest.mark.parametrize("flag", [1, 2])
def test_a_capture_flag_wins_over_every_guess(flag: int) -> None:
    expected = (OUT if flag == 2 else IN, "capture_flag")
    for protocol, kind in ((UDP, 0), (ICMP, 8), (ICMP, 0), (ICMPV6, 129), (SCTP, 0), (GRE, 0)):
        assert decide(protocol, flag == 2, 53, 50000, icmp_type=kind, flag=flag, asked=True) == expected


@pytest.mark.parametrize(
    ("protocol", "request_type", "reply_type"),
    [
        (ICMP, 8, 0),
        (ICMP, 13, 14),
        (ICMP, 15, 16),
        (ICMP, 17, 18),
        (ICMPV6, 128, 129),
        (ICMPV6, 133, 134),
        (ICMPV6, 135, 136),
        (ICMPV6, 130, 131),
    ],
)
def test_icmp_types_tell_requests_from_replies(protocol: int, request_type: int, reply_type: int) -> None:
    for out in (True, False):
        assert decide(protocol, out, 7, 7, icmp_type=request_type) == (OUT if out else IN, "icmp_type")
        assert decide(protocol, out, 7, 7, icmp_type=reply_type) == (IN if out else OUT, "icmp_type")


@pytest.mark.parametrize(("protocol", "kind"), [(ICMP, 3), (ICMP, 11), (ICMP, 5), (ICMPV6, 1), (ICMPV6, 143)])
def test_other_icmp_is_its_senders(protocol: int, kind: int) -> None:
    assert decide(protocol, True, 0, 0, icmp_type=kind) == (OUT, "first_packet")
    assert decide(protocol, False, 0, 0, icmp_type=kind) == (IN, "first_packet")


@pytest.mark.parametrize("protocol", [GRE, 50, 4, 255])
def test_what_has_no_ports_is_its_first_senders(protocol: int) -> None:
    assert decide(protocol, False, 0, 0) == (IN, "first_packet")
    assert decide(protocol, True, 0, 0) == (OUT, "first_packet")


@given(
    protocol=st.sampled_from([TCP, UDP, ICMP, ICMPV6, SCTP, GRE, 136]),
    out=st.booleans(),
    source=st.integers(0, 65535),
    destination=st.integers(0, 65535),
    tcp_flags=st.integers(0, 63),
    icmp_type=st.integers(0, 255),
    flag=st.integers(0, 2),
    initiated=st.sampled_from([None, True, False]),
    asked=st.booleans(),
)
def test_every_first_packet_has_a_direction_by_the_strongest_evidence(protocol: int, out: bool, **facts: Any) -> None:
    """No weaker basis is named while a stronger one exists."""
    source, destination = facts.pop("source"), facts.pop("destination")
    direction, basis = decide(protocol, out, source, destination, **facts)
    evidence = {
        "tcp_syn": protocol == TCP and facts["tcp_flags"] & (SYN | ACK | RST) == SYN,
        "attribution": protocol == TCP and facts["initiated"] is not None,
        "capture_flag": facts["flag"] != 0,
    }
    strongest = next((name for name, there in evidence.items() if there), None)
    assert basis == strongest if strongest else basis not in evidence
    if basis == "capture_flag":
        assert direction == (OUT if facts["flag"] == 2 else IN)
    if basis == "first_packet":
        assert protocol != TCP
