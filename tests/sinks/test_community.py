"""Community ids against the reference package."""

from __future__ import annotations

import communityid
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sinks.community import community_id
from tests.sinks.interpreted import interpreted

PORTS = st.integers(0, 65535)
ADDRESSES = st.sampled_from([4, 16]).flatmap(
    lambda length: st.tuples(st.binary(min_size=length, max_size=length), st.binary(min_size=length, max_size=length))
)
WITH_PORTS = (6, 17, 132)


def reference(protocol: int, source: bytes, destination: bytes, *ports: int) -> str:
    """What the package says. Ports only for the protocols of the specification."""
    flow = communityid.FlowTuple(protocol, source, destination, *ports)
    answer = communityid.CommunityID().calc(flow)
    assert answer is not None
    return str(answer)


@given(protocol=st.sampled_from(WITH_PORTS), addresses=ADDRESSES, first=PORTS, second=PORTS)
def test_ports_are_hashed_as_the_reference_does(
    protocol: int, addresses: tuple[bytes, bytes], first: int, second: int
) -> None:
    source, destination = addresses
    assert community_id(protocol, source, destination, first, second) == reference(
        protocol, source, destination, first, second
    )


@given(addresses=ADDRESSES, first=PORTS, second=PORTS)
def test_both_ways_of_a_flow_have_one_id(addresses: tuple[bytes, bytes], first: int, second: int) -> None:
    source, destination = addresses
    assert community_id(6, source, destination, first, second) == community_id(6, destination, source, second, first)


@given(first=PORTS, second=PORTS)
def test_a_host_talking_to_itself_is_ordered_by_port(first: int, second: int) -> None:
    own = bytes([10, 0, 0, 5])
    assert community_id(17, own, own, first, second) == reference(17, own, own, first, second)


@pytest.mark.parametrize("protocol", [1, 58], ids=["icmp", "icmpv6"])
@given(addresses=ADDRESSES, icmp_type=st.integers(0, 255), code=st.integers(0, 255))
def test_icmp_types_are_folded_into_ports(
    protocol: int, addresses: tuple[bytes, bytes], icmp_type: int, code: int
) -> None:
    """All types: those that come in pairs share an id with their answer, the others keep their direction."""
    source, destination = addresses
    assert community_id(protocol, source, destination, icmp_type, code) == reference(
        protocol, source, destination, icmp_type, code
    )


@given(protocol=st.integers(0, 255).filter(lambda number: number not in (1, 6, 17, 58, 132)), addresses=ADDRESSES)
def test_other_protocols_are_hashed_without_ports(protocol: int, addresses: tuple[bytes, bytes]) -> None:
    source, destination = addresses
    assert community_id(protocol, source, destination) == reference(protocol, source, destination)


def test_udp_lite_has_no_ports_in_the_specification() -> None:
    """We know its ports; a tool that follows the specification does not hash them."""
    source, destination = bytes([10, 0, 0, 5]), bytes([203, 0, 113, 9])
    assert community_id(136, source, destination, 5000, 53) == reference(136, source, destination)


@given(protocol=st.integers(0, 255), addresses=ADDRESSES, first=PORTS, second=PORTS)
def test_compiled_and_interpreted_ids_are_equal(
    protocol: int, addresses: tuple[bytes, bytes], first: int, second: int
) -> None:
    """The rounds written by hand, and hashlib."""
    by_hashlib = interpreted()["community"].community_id
    assert community_id(protocol, *addresses, first, second) == by_hashlib(protocol, *addresses, first, second)
