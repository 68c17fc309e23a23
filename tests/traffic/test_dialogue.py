"""Payloads carry what a decoder or a detector would look for: names, versions, lengths that add up."""

from __future__ import annotations

import pytest

from agent.traffic.dialogue import DIALOGUES, application_data, client_hello
from agent.traffic.dice import Dice
from tests.traffic.builders import play
from tests.traffic.parsing import segments


def records(data: bytes) -> list[tuple[int, bytes]]:
    """TLS records: (content type, fragment)."""
    found = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        assert len(data) >= 5 + length
        found.append((data[0], data[5 : 5 + length]))
        data = data[5 + length :]
    return found


def server_name(hello: bytes) -> str:
    """The host name of a ClientHello (RFC 6066 3), found by walking its lengths."""
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    assert int.from_bytes(hello[at : at + 2], "big") == len(hello) - at - 2
    at += 2
    kind, length = int.from_bytes(hello[at : at + 2], "big"), int.from_bytes(hello[at + 2 : at + 4], "big")
    assert kind == 0
    return hello[at + 9 : at + 4 + length].decode()


def test_client_hello_names_the_server() -> None:
    ((kind, hello),) = records(client_hello(Dice("1"), "www.example.com"))
    assert (kind, hello[0]) == (22, 1)
    assert int.from_bytes(hello[1:4], "big") == len(hello) - 4
    assert server_name(hello) == "www.example.com"


@pytest.mark.parametrize(
    ("keys", "name"),
    [({}, "www.example.com"), ({"server_name": "front.example.org"}, "front.example.org")],
    ids=["of the remote", "as given"],
)
def test_session_sends_the_name_it_was_told(keys: dict[str, str], name: str) -> None:
    packets = play({"kind": "tls", "process": "tool", "remote": "www.example.com", **keys}).packets
    first = next(packet for packet in segments(packets) if packet.protocol == 6 and packet.payload)
    assert server_name(records(first.payload)[0][1]) == name


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 100_000])
def test_application_data_splits_into_legal_records(size: int) -> None:
    found = records(application_data(Dice("1"), size))
    assert sum(len(fragment) for _, fragment in found) == size
    assert all(kind == 23 and len(fragment) <= 16_384 for kind, fragment in found)


@pytest.mark.parametrize("name", DIALOGUES)
@pytest.mark.parametrize("by_client", [True, False], ids=["client", "server"])
def test_message_has_about_the_wanted_size(name: str, by_client: bool) -> None:
    sizes = [len(DIALOGUES[name].message(Dice("1"), "a.test", by_client, size)) for size in (1000, 20_000)]
    if name == "http" and by_client:
        assert max(sizes) < 200  # a request says what it wants, and no more
    else:
        assert 1000 <= sizes[0] <= 1200
        assert 20_000 <= sizes[1] <= 20_200


@pytest.mark.parametrize(
    ("name", "client_begins", "server_begins"),
    [
        ("tls", b"\x16\x03\x01", b"\x16\x03\x03"),
        ("smb", b"\x00", b"\x00"),
        ("rdp", b"\x03\x00", b"\x03\x00"),
        ("ssh", b"SSH-2.0-", b"SSH-2.0-"),
    ],
)
def test_opening_is_that_of_the_protocol(name: str, client_begins: bytes, server_begins: bytes) -> None:
    opening = DIALOGUES[name].opening(Dice("1"), "a.test")
    assert opening[0][0] is True
    assert opening[0][1].startswith(client_begins)
    assert next(payload for by_client, payload in opening if not by_client).startswith(server_begins)


def test_smb_negotiates_before_it_encrypts() -> None:
    opening = DIALOGUES["smb"].opening(Dice("1"), "a.test")
    assert [payload[4:8] for _, payload in opening] == [b"\xfeSMB", b"\xfeSMB"]
    assert DIALOGUES["smb"].message(Dice("1"), "a.test", True, 100)[4:8] == b"\xfdSMB"


def test_rdp_asks_for_tls_and_then_speaks_it() -> None:
    opening = DIALOGUES["rdp"].opening(Dice("1"), "a.test")
    assert b"mstshash" in opening[0][1]
    assert records(opening[2][1])[0][0] == 22
