"""Who waits: the kernel's tables, whatever their byte order and spelling."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from agent.model.address import Address, parse_endpoint
from agent.record.listeners import listeners, owner_of_listener

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINES = {
    "tcp": ["0: 0100007F:1F90 00000000:0000 0A 0", "1: 00000000:0016 00000000:0000 0A 0",
            "2: 0500000A:C350 090071CB:01BB 01 0"],
    "tcp6": ["0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0"],
    "udp": ["0: 00000000:0035 00000000:0000 07 0", "1: 0500000A:0044 0100000A:0043 01 0"],
    "udp6": ["0: 0000000000000000FFFF00000500000A:14E9 00000000000000000000000000000000:0000 07 0"],
}  # fmt: skip


@pytest.mark.skipif(sys.byteorder != "little", reason="the table below is of a little-endian machine")
def test_listening_and_unconnected_sockets_are_told(tmp_path: Path) -> None:
    for name, lines in LINES.items():
        (tmp_path / name).write_text(HEAD + "\n".join(lines) + "\n", "ascii")
    assert [(protocol, str(local)) for protocol, local in listeners(str(tmp_path))] == [
        (6, "127.0.0.1:8080"),
        (6, "0.0.0.0:22"),
        (6, "[::]:22"),
        (17, "0.0.0.0:53"),
        (17, "10.0.0.5:5353"),
    ]


def test_no_tables_are_no_listeners(tmp_path: Path) -> None:
    assert list(listeners(str(tmp_path))) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not Linux")
def test_a_socket_of_this_process_is_among_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        assert (6, parse_endpoint(f"{host}:{port}")) in list(listeners())


@pytest.mark.parametrize(
    ("local", "asked"),
    [
        ("127.0.0.1:80", [(6, 4, 0x7F000001, 80, 0xC0000201, 1, 7, 1)]),
        ("0.0.0.0:80", [(6, 4, 0x0A000005, 80, 0xC0000201, 1, 7, 1)]),
        ("[::]:80", []),
    ],
)
def test_a_wildcard_is_asked_for_by_an_address_of_its_version(local: str, asked: list[tuple[int, ...]]) -> None:
    questions: list[tuple[int, ...]] = []

    class Source:
        def find(self, *question: int) -> None:
            questions.append(question)

    owner_of_listener(Source(), 6, parse_endpoint(local), [Address(4, 0x0A000005)], 7)
    assert questions == asked
