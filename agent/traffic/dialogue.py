"""What TCP connections say: openings and messages that look like the real protocol as far as a dissector reads.

A dialogue is an opening (who says which bytes) and a way to make a message of a wanted size. Encrypted parts are
chance, as they look on the wire. Never: packets, time.

    >>> HTTP.opening(Dice("1"), "www.example.com")
    []
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.traffic.dice import Dice

Opening = list[tuple[bool, bytes]]
"""(said by the client, bytes), in order."""

_RECORD_LIMIT = 16_384
_APPLICATION_DATA, _HANDSHAKE = 23, 22
_CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"


class Dialogue(NamedTuple):
    """How one kind of connection talks."""

    opening: Callable[[Dice, str], Opening]
    """From chance and the server's name."""
    message: Callable[[Dice, str, bool, int], bytes]
    """From chance, the server's name, `by client` and the wanted size; about that long."""


def _vector(width: int, content: bytes) -> bytes:
    """`content` behind its length in `width` bytes."""
    return len(content).to_bytes(width, "big") + content


def _record(kind: int, content: bytes) -> bytes:
    return bytes((kind, 3, 1 if kind == _HANDSHAKE and content[0] == 1 else 3)) + _vector(2, content)


def _extension(number: int, content: bytes) -> bytes:
    return struct.pack(">H", number) + _vector(2, content)


def client_hello(dice: Dice, name: str) -> bytes:
    """A TLS 1.3 ClientHello record with the server's name (RFC 8446 4.1.2, RFC 6066 3)."""
    extensions = b"".join((
        _extension(0, _vector(2, b"\0" + _vector(2, name.encode("ascii")))),
        _extension(10, _vector(2, bytes.fromhex("001d0017"))),
        _extension(13, _vector(2, bytes.fromhex("040308040401"))),
        _extension(16, _vector(2, b"\x02h2\x08http/1.1")),
        _extension(43, _vector(1, b"\x03\x04\x03\x03")),
        _extension(51, _vector(2, b"\x00\x1d" + _vector(2, dice.octets(32)))),
    ))  # fmt: skip
    suites = bytes.fromhex("130113021303c02bc02f")
    body = b"\x03\x03" + dice.octets(32) + _vector(1, dice.octets(32)) + _vector(2, suites) + b"\x01\x00"
    return _record(_HANDSHAKE, b"\x01" + _vector(3, body + _vector(2, extensions)))


def server_hello(dice: Dice) -> bytes:
    """The ServerHello that chooses TLS 1.3."""
    extensions = _extension(43, b"\x03\x04") + _extension(51, b"\x00\x1d" + _vector(2, dice.octets(32)))
    body = b"\x03\x03" + dice.octets(32) + _vector(1, dice.octets(32)) + b"\x13\x01\x00"
    return _record(_HANDSHAKE, b"\x02" + _vector(3, body + _vector(2, extensions)))


def application_data(dice: Dice, size: int) -> bytes:
    """TLS records that hold `size` bytes of ciphertext."""
    records = []
    while size > 0:
        length = min(size, _RECORD_LIMIT)
        records.append(_record(_APPLICATION_DATA, dice.octets(length)))
        size -= length
    return b"".join(records)


def _tls_opening(dice: Dice, name: str) -> Opening:
    certificate = application_data(dice, dice.between(2300, 3900))
    return [
        (True, client_hello(dice, name)),
        (False, server_hello(dice) + _CHANGE_CIPHER_SPEC + certificate),
        (True, _CHANGE_CIPHER_SPEC + application_data(dice, 53)),
    ]


def _http_message(dice: Dice, name: str, by_client: bool, size: int) -> bytes:
    if by_client:
        target = f"/{dice.below(1 << 32):08x}"
        return f"GET {target} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: lab/1.0\r\nAccept: */*\r\n\r\n".encode("ascii")
    head = f"HTTP/1.1 200 OK\r\nServer: lab\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    return head.encode("ascii") + dice.text(size)


def _smb(content: bytes) -> bytes:
    """Direct TCP transport (MS-SMB2 2.1)."""
    return b"\0" + _vector(3, content)


def _smb2_header(command: int, message: int, *, response: bool) -> bytes:
    flags = 1 if response else 0
    return struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 0, 0, command, 1, flags, 0, message, 0xFEFF, 0, 0, b"")


def _smb_opening(dice: Dice, name: str) -> Opening:
    """NEGOTIATE (MS-SMB2 2.2.3, 2.2.4), after which everything is encrypted."""
    request = struct.pack("<HHHHI16sQHH", 36, 2, 1, 0, 0x7F, dice.octets(16), 0, 0x0210, 0x0302)
    response = struct.pack(
        "<HHHH16sIIIIQQHHI", 65, 1, 0x0302, 0, dice.octets(16), 0x7F, 8 << 20, 8 << 20, 8 << 20, 0, 0, 128, 0, 0
    )
    return [
        (True, _smb(_smb2_header(0, 0, response=False) + request)),
        (False, _smb(_smb2_header(0, 0, response=True) + response)),
    ]


def _smb_message(dice: Dice, name: str, by_client: bool, size: int) -> bytes:
    """SMB3 TRANSFORM_HEADER (MS-SMB2 2.2.41) and ciphertext."""
    header = struct.pack("<4s16s16sIHHQ", b"\xfdSMB", dice.octets(16), dice.octets(11), size, 0, 1, 1)
    return _smb(header + dice.octets(size))


def _rdp_opening(dice: Dice, name: str) -> Opening:
    """X.224 connection with the choice of TLS (MS-RDPBCGR 2.2.1.1, 2.2.1.2), then TLS."""
    cookie = b"Cookie: mstshash=ann\r\n" + bytes.fromhex("0100080003000000")
    request = bytes((6 + len(cookie),)) + bytes.fromhex("e00000000000") + cookie
    confirm = bytes.fromhex("0ed00000123400" + "021f080002000000")
    opening = [(True, b"\x03\x00" + struct.pack(">H", 4 + len(request)) + request)]
    opening.append((False, b"\x03\x00" + struct.pack(">H", 4 + len(confirm)) + confirm))
    return opening + _tls_opening(dice, name)


def _ssh_packet(content: bytes) -> bytes:
    """The binary packet of RFC 4253 section 6, unencrypted."""
    padding = 16 - (5 + len(content)) % 8
    return _vector(4, bytes((padding,)) + content + bytes(padding))


def _ssh_opening(dice: Dice, name: str) -> Opening:
    lists = (b"curve25519-sha256", b"ssh-ed25519", *(b"aes128-ctr",) * 2, *(b"hmac-sha2-256",) * 2,
             *(b"none",) * 2, b"", b"")  # fmt: skip

    def key_init() -> bytes:
        return _ssh_packet(b"\x14" + dice.octets(16) + b"".join(_vector(4, item) for item in lists) + bytes(5))

    new_keys, algorithm = _ssh_packet(b"\x15"), _vector(4, b"ssh-ed25519")
    own, theirs, host_key, signature = (_vector(4, dice.octets(size)) for size in (32, 32, 32, 64))
    reply = _vector(4, algorithm + host_key) + theirs + _vector(4, algorithm + signature)
    return [
        (True, b"SSH-2.0-Lab_1.0\r\n"),
        (False, b"SSH-2.0-Lab_1.0\r\n"),
        (True, key_init()),
        (False, key_init()),
        (True, _ssh_packet(b"\x1e" + own)),
        (False, _ssh_packet(b"\x1f" + reply) + new_keys),
        (True, new_keys),
    ]


def _ssh_message(dice: Dice, name: str, by_client: bool, size: int) -> bytes:
    """Whole AES blocks, the length among them, and a MAC of 32 bytes."""
    return dice.octets(max(size, 32) // 16 * 16 + 32)


def _nothing(dice: Dice, name: str) -> Opening:
    return []


def _ciphertext(dice: Dice, name: str, by_client: bool, size: int) -> bytes:
    return application_data(dice, size)


HTTP = Dialogue(_nothing, _http_message)
DIALOGUES: Mapping[str, Dialogue] = {
    "opaque": Dialogue(_nothing, lambda dice, name, by_client, size: dice.text(size)),
    "tls": Dialogue(_tls_opening, _ciphertext),
    "http": HTTP,
    "smb": Dialogue(_smb_opening, _smb_message),
    "rdp": Dialogue(_rdp_opening, _ciphertext),
    "ssh": Dialogue(_ssh_opening, _ssh_message),
}
