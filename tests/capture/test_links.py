"""Names and numbers of link types."""

from __future__ import annotations

import pytest

from agent.capture.links import link_name, link_number, registered_name
from agent.datapath.links import SUPPORTED_LINKS


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "null"), (1, "ethernet"), (101, "raw"), (108, "loop"), (113, "sll"), (276, "sll2"), (4000, "link-4000")],
)
def test_a_name_leads_back_to_its_number(number: int, name: str) -> None:
    assert link_name(number) == name
    assert link_number(name) == number


def test_every_number_has_one_name_that_leads_to_the_same_link_header() -> None:
    """12 and 14 are raw IP, too: 101 is the number that is written."""
    for number in range(1 << 16):
        again = link_number(link_name(number))
        assert again == (101 if number in (12, 14) else number)


@pytest.mark.parametrize("name", ["", "Ethernet", "link-", "link-65536", "link--1", "link-٣", "99"])
def test_an_unknown_name_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ValueError, match="ethernet"):
        link_number(name)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "LINKTYPE_ETHERNET (1)"),
        (195, "LINKTYPE_IEEE802_15_4_WITHFCS (195)"),
        (147, "LINKTYPE_USER0 (147)"),
        (162, "LINKTYPE_USER15 (162)"),
        (4000, "LINKTYPE 4000"),
    ],
)
def test_a_message_has_the_registrys_name_and_the_number(number: int, text: str) -> None:
    assert registered_name(number) == text


def test_every_link_type_that_is_read_has_a_name_of_both_kinds() -> None:
    for number in SUPPORTED_LINKS:
        assert not link_name(number).startswith("link-")
        assert registered_name(number).endswith(f" ({number})")
