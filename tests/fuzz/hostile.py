"""Inputs made to be hostile: whole files and single frames, each with a name. Seeds of the fuzzing, cases of the tests.

    FILES["block of 4 GiB"], FRAMES["nested tags"]

Never: what becomes of them; `invariant.py` says what must not.
"""

from __future__ import annotations

import gzip
import lzma
import random
import struct

import zstandard

from tests.support import dns
from tests.support import frames as f

PEER, US, RESOLVER = "203.0.113.9", "10.0.0.5", "10.0.0.1"
US6, PEER6 = "2001:db8::5", "2001:db8:1::9"
TCP_FRAME = f.tcp_frame(f"{US}:50000", f"{PEER}:443", b"hello", flags=f.SYN)


# Containers -------------------------------------------------------------------------------------------------------


def pcap(*packets: bytes, link: int = 1, order: str = "<", magic: int = 0xA1B23C4D, snaplen: int = 262_144) -> bytes:
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)
    return head + b"".join(record(packet, order=order, seconds=n) for n, packet in enumerate(packets))


def record(frame: bytes, *, order: str = "<", seconds: int = 0, captured: int | None = None) -> bytes:
    captured = len(frame) if captured is None else captured
    return struct.pack(order + "IIII", 1_767_603_600 + seconds, 0, captured, captured) + frame


def block(kind: int, body: bytes, order: str = "<", *, length: int | None = None) -> bytes:
    size = 12 + len(body) if length is None else length
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def section(order: str = "<", major: int = 1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(link: int = 1, order: str = "<", options: bytes = b"", snaplen: int = 0) -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def packet(
    frame: bytes, order: str = "<", *, number: int = 0, stamp: int = 1_767_603_600_000_000, options: bytes = b""
) -> bytes:
    head = struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame + bytes(-len(frame) % 4) + options, order)


def simple(frame: bytes, order: str = "<", *, original: int | None = None) -> bytes:
    original = len(frame) if original is None else original
    return block(3, struct.pack(order + "I", original) + frame + bytes(-len(frame) % 4), order)


def zstd_blocks(content: bytes, size: int) -> bytes:
    """A zstd frame of raw blocks of `size` bytes, as no compressor writes it."""
    parts = [struct.pack("<IBB", 0xFD2FB528, 0, 0x58)]
    for start in range(0, len(content), size):
        piece = content[start : start + size]
        last = start + size >= len(content)
        parts.append((len(piece) << 3 | int(last)).to_bytes(3, "little") + piece)
    return b"".join(parts)


def tiny_sections(count: int) -> bytes:
    """One packet in each section: a reader gives them one by one."""
    return b"".join(
        section() + interface() + packet(f.tcp_frame(f"{US}:50000", f"198.51.{n >> 8}.{n & 255}:443"))
        for n in range(count)
    )


def _bomb(size: int) -> bytes:
    """Nothing but padding behind an honest packet: it compresses a thousandfold."""
    return section() + interface() + packet(TCP_FRAME) + block(0x0BAD, bytes(size))


def files() -> dict[str, bytes]:
    pair = pcap(TCP_FRAME, f.tcp_frame(f"{PEER}:443", f"{US}:50000", flags=f.SYN | f.ACK))
    ng = section() + interface() + packet(TCP_FRAME) + simple(TCP_FRAME)
    late = interface(1, options=option(9, b"\x00") + option(14, struct.pack("<q", (1 << 63) - 1)))
    near_the_end = interface(1, options=option(9, b"\x09"))
    addresses = b"".join(option(4, struct.pack(">II", 0x0A000000 + n, 0xFFFFFF00)) for n in range(500))
    return {
        "empty": b"",
        "pcap": pair,
        "pcap big-endian": pcap(TCP_FRAME, order=">"),
        "pcap microseconds, modified": pcap(magic=0xA1B2CD34) + record(TCP_FRAME),
        "pcap with check sequences": pcap(TCP_FRAME, link=1 | 0x24000000),
        "pcap cut": pair[:-7],
        "pcap record longer than the file": pcap() + record(TCP_FRAME, captured=200_000),
        "pcap record of 4 GiB": pcap() + record(TCP_FRAME, captured=0xFFFFFFFF),
        "pcap snaplen of 4 GiB": pcap(TCP_FRAME, snaplen=0xFFFFFFFF) + record(TCP_FRAME, captured=15 << 20),
        "pcapng": ng,
        "pcapng big-endian": section(">") + interface(101, ">") + packet(TCP_FRAME[14:], ">"),
        "pcapng of two orders": ng + section(">") + interface(113, ">") + simple(f.sll(TCP_FRAME[14:]), ">"),
        "block of 4 GiB": section() + interface() + block(6, TCP_FRAME, length=0xFFFFFFFC),
        "block of 16 MiB that is not there": section() + block(99, b"", length=16 << 20),
        "block of 12 bytes": section() + interface() + block(6, b"") + ng,
        "block without trailer": section() + interface()[:-4] + b"\0\0\0\0",
        "packet longer than its block": section() + interface() + packet(TCP_FRAME)[:20] + b"\xff\xff\0\0" + bytes(80),
        "packet of an undeclared interface": section() + packet(TCP_FRAME, number=9) + interface() + packet(TCP_FRAME),
        "section of another version": section(major=7) + interface() + packet(TCP_FRAME) + ng,
        "section cut": section()[:20],
        "obsolete packet block": section()
        + interface()
        + block(2, struct.pack("<HHIIII", 0, 9, 0, 0, len(TCP_FRAME), len(TCP_FRAME)) + TCP_FRAME + bytes(2)),
        "option that overruns": section() + interface(options=struct.pack("<HH", 2, 60_000) + b"eth0"),
        "packet option that overruns": section()
        + interface()
        + packet(TCP_FRAME, options=struct.pack("<HH", 1, 60_000) + bytes(4)),
        "thousands of packet options": section() + interface() + packet(TCP_FRAME, options=option(1, b"") * 5000),
        "hundreds of addresses": section() + interface(options=addresses) + packet(TCP_FRAME),
        "thousands of interfaces": section() + interface() * 2000 + packet(TCP_FRAME, number=1999),
        "time behind the end of time": section() + late + packet(TCP_FRAME) * 3,
        "time at the end of time": section() + near_the_end + _last_moments(),
        "time of 2 to the minus 127": section() + interface(options=option(9, b"\xff")) + packet(TCP_FRAME),
        "gzip": gzip.compress(ng, mtime=0),
        "gzip cut": gzip.compress(ng, mtime=0)[:-9],
        "gzip of nothing, many times": gzip.compress(ng, mtime=0) + gzip.compress(b"", mtime=0) * 200,
        "gzip damaged": gzip.compress(ng * 50, mtime=0)[:60] + b"\xff" * 60,
        "xz": lzma.compress(ng),
        "xz cut": lzma.compress(ng)[:-30],
        "zstd": zstandard.compress(ng),
        "zstd bytes one by one": zstd_blocks(ng, 1),
        "zstd frames to skip": zstandard.compress(ng) + b"\x50\x2a\x4d\x18\0\0\0\0" * 200,
        "zstd of a window of 2 GiB": b"\x28\xb5\x2f\xfd\0\xa8" + bytes(20),
        "bomb of gzip": gzip.compress(_bomb(1 << 20), mtime=0),
        "bomb of xz": lzma.compress(_bomb(1 << 20)),
        "bomb of zstd": zstandard.compress(_bomb(1 << 20)),
        "bomb in a bomb": gzip.compress(gzip.compress(bytes(1 << 20), mtime=0), mtime=0),
        "a packet in each section": tiny_sections(50),
        "syn flood": pcap(*syn_flood(200)),
        "fragment flood": pcap(*fragment_flood(200)),
    }


def _last_moments() -> bytes:
    """What was sent to a group, and its answer, where an answer's last moment lies behind 64 bits."""
    end = (1 << 64) - 1
    asked = f.udp_frame(f"{US}:40000", "224.0.0.251:5353")
    answered = f.udp_frame("10.0.0.77:5353", f"{US}:40000")
    return packet(asked, stamp=end - 10) + packet(answered, stamp=end - 5) + packet(answered, stamp=end)


# Frames -----------------------------------------------------------------------------------------------------------


def syn_flood(count: int) -> list[bytes]:
    return [
        f.tcp_frame(f"198.51.{n >> 8 & 255}.{n & 255}:{1024 + n % 60000}", f"{US}:443", flags=f.SYN)
        for n in range(count)
    ]


def fragment_flood(count: int) -> list[bytes]:
    """Pieces of one IPv6 datagram, none touching another, and copies of the last."""
    first = f.fragment6(f.UDP, more=True) + f.udp(50000, 443, bytes(8))
    pieces = [f.ethernet(f.ipv6(US6, PEER6, first, f.FRAGMENT))]
    for n in range(count):
        offset = 64 + 16 * min(n, 120)
        later = f.fragment6(f.UDP, offset=offset, more=True) + bytes(8)
        pieces.append(f.ethernet(f.ipv6(US6, PEER6, later, f.FRAGMENT)))
    return pieces


def pointer_loop() -> bytes:
    """A question whose name points at itself."""
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack(">HH", 1, 1)


def pointer_chain() -> bytes:
    """A name of 127 labels at the end of 31 pointers."""
    head = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    pointers = b"".join(struct.pack(">H", 0xC000 | 12 + 4 + 2 + 2 * n + 2) for n in range(31))
    return head + struct.pack(">H", 0xC000 | 18) + struct.pack(">HH", 1, 1) + pointers + b"\x01a" * 126 + b"\0"


def costly_answer(records: int = 256) -> bytes:
    """Each record names its owner by a pointer to the longest name there is, and an alias likewise."""
    longest = b"\x01a" * 126 + b"\0"
    head = struct.pack(">HHHHHH", 7, 0x8180, 1, records, 0, 0) + longest + struct.pack(">HH", 1, 1)
    return head + (b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 9, 2) + b"\xc0\x0c") * records


def udp_to_resolver(message: bytes) -> bytes:
    return f.udp_frame(f"{US}:50053", f"{RESOLVER}:53", message)


def frames() -> dict[str, tuple[int, bytes]]:
    """Name -> (link type, frame)."""
    syn = f.tcp(50000, 443, flags=f.SYN)
    chain = b"".join(f.extension(f.DESTINATION) for _ in range(40))
    quoted = f.ipv4(US, PEER, f.udp(50000, 443, b"x"), f.UDP)
    long_header = bytes([f.TCP, 255]) + bytes(2046)
    ethernet = {
        "tcp": TCP_FRAME,
        "cut everywhere": TCP_FRAME[:33],
        "nested tags": f.ethernet(f.ipv4(US, PEER, syn), tags=(0x8100, 0x88A8, 0x9100) * 4),
        "tags and nothing": f.ethernet(b"", 0x8100),
        "extension headers without end": f.ethernet(f.ipv6(US6, PEER6, chain, f.HOP_BY_HOP)),
        "extension header of 2 kB": f.ethernet(f.ipv6(US6, PEER6, long_header + syn, f.HOP_BY_HOP)),
        "jumbogram": f.ethernet(f.ipv6(US6, PEER6, b"\x06\x00\xc2\x04\x00\x02\x00\x00" + syn, f.HOP_BY_HOP, length=0)),
        "authentication header of 1 kB": f.ethernet(f.ipv6(US6, PEER6, f.authentication(f.TCP, 1028) + syn, f.AH)),
        "two fragment headers": f.ethernet(
            f.ipv6(US6, PEER6, f.fragment6(f.FRAGMENT, more=True) + f.fragment6(f.TCP, more=True) + syn, f.FRAGMENT)
        ),
        "first fragment": f.ethernet(f.ipv4(US, PEER, syn, more=True)),
        "later fragment": f.ethernet(f.ipv4(US, PEER, syn, offset=8, more=True)),
        "fragment at the end": f.ethernet(f.ipv4(US, PEER, syn, offset=65528)),
        "ipv4 options of 40 bytes": f.ethernet(f.ipv4(US, PEER, syn, options=b"\x01" * 40)),
        "ipv4 header longer than the packet": f.ethernet(f.ipv4(US, PEER, b"", header=60)),
        "ipv4 length 0": f.ethernet(f.ipv4(US, PEER, syn, total=0)),
        "ipv4 length of 64 kB": f.ethernet(f.ipv4(US, PEER, syn, total=65535)),
        "tcp header of 60 bytes": f.ethernet(f.ipv4(US, PEER, f.tcp(1, 2, header=60))),
        "udp length 0": f.ethernet(f.ipv4(US, PEER, f.udp(1, 53, b"xx", length=0), f.UDP)),
        "udp length of 64 kB": f.ethernet(f.ipv4(US, PEER, f.udp(1, 53, b"xx", length=65535), f.UDP)),
        "icmp error": f.icmp_frame(PEER, US, f.icmp(3, 1, 0, quoted)),
        "icmp error about an icmp error": f.icmp_frame(PEER, US, f.icmp(3, 1, 0, f.ipv4(US, PEER, f.icmp(3), f.ICMP))),
        "icmp error cut": f.icmp_frame(PEER, US, f.icmp(3, 1, 0, quoted[:19])),
        "neighbour advertisement": f.icmp_frame("fe80::1", "fe80::5", f.icmp(136, 0, 0, bytes(16)), hop_limit=255),
        "martian": f.tcp_frame("127.0.0.1:1", "10.0.0.5:2"),
        "from nowhere": f.udp_frame("0.0.0.0:68", "255.255.255.255:67", dns.dhcp4(1, 7)),
        "dhcp": f.udp_frame("10.0.0.1:67", f"{US}:68", dns.dhcp4(5, 7, reply=True, resolvers=("10.0.0.1",) * 60)),
        "dhcp6": f.udp_frame("[fe80::1]:547", "[fe80::5]:546", dns.dhcp6(7, 7, resolvers=("2001:db8::53",) * 60)),
        "dns": udp_to_resolver(dns.question(7, "cloud.example.test", edns=True)),
        "dns pointer loop": udp_to_resolver(pointer_loop()),
        "dns pointer chain": udp_to_resolver(pointer_chain()),
        "dns costly answer": f.udp_frame(f"{RESOLVER}:53", f"{US}:50053", costly_answer()),
        "sctp": f.ethernet(f.ipv4(US, PEER, f.sctp(1, 2), f.SCTP)),
        "arp": f.ethernet(bytes(28), f.ARP),
        "length instead of a type": f.ethernet(b"\xaa\xaa\x03\0\0\0\x08\0" + f.ipv4(US, PEER, syn), 40),
        "pppoe": f.ethernet(b"\x11\0\0\1\0\x30\0\x21" + f.ipv4(US, PEER, syn), 0x8864),
        "mpls without end": f.ethernet(b"\0\0\x10\x40" * 60, 0x8847),
        "mpls": f.ethernet(b"\0\0\x11\x40" + f.ipv4(US, PEER, syn), 0x8847),
    }
    inner = f.ipv4(US, PEER, syn)
    others = {
        "null": (0, f.null(inner)),
        "loop": (108, f.null(inner, order=">")),
        "raw": (101, inner),
        "raw of old": (12, inner),
        "ipv4 only": (228, inner),
        "ipv6 only": (229, f.ipv6(US6, PEER6, syn)),
        "sll": (113, f.sll(inner, packet_type=4)),
        "sll2": (276, f.sll2(inner, packet_type=4)),
        "ppp": (9, b"\xff\x03\0\x21" + inner),
        "ppp short": (9, b"\x21" + inner),
        "hdlc": (50, b"\x0f\0\x08\0" + inner),
        "802.11": (105, b"\x08\x01" + bytes(22) + b"\xaa\xaa\x03\0\0\0\x08\0" + inner),
        "radiotap": (127, b"\0\0\x08\0\0\0\0\0\x08\x02" + bytes(22) + b"\xaa\xaa\x03\0\0\0\x08\0" + inner),
        "radiotap without end": (127, b"\0\0\xff\xff" + b"\0\0\0\x80" * 64),
        "ppi": (192, b"\0\0\x08\0\x01\0\0\0" + TCP_FRAME),
        "nflog": (239, b"\x02\0\0\0" + struct.pack("<HH", 4 + len(inner), 9) + inner),
        "nflog of empty values": (239, b"\x02\0\0\0" + b"\0\0\x01\0" * 80),
        "pktap": (258, struct.pack("<IIII", 108, 0, 1, 0).ljust(108, b"\0") + TCP_FRAME),
        "netlink": (253, bytes(16) + inner),
    }
    return {name: (1, frame) for name, frame in ethernet.items()} | others


FILES = files()
FRAMES = frames()
UNUSUAL = {6, 14, 51, 104, 107, 117, 119, 149, 163, 195, 220, 249, 256, 266, 4000}
LINKS = tuple(sorted({link for link, _ in FRAMES.values()} | UNUSUAL))


# Made by dice -----------------------------------------------------------------------------------------------------


def container(dice: random.Random, frames: list[tuple[int, bytes]]) -> bytes:
    """A capture of some of `frames` (link type, frame), in any framing, sometimes compressed."""
    order = dice.choice("<>")
    chosen = [dice.choice(frames) for _ in range(dice.randrange(1, 12))]
    if dice.random() < 0.4:
        link = chosen[0][0]
        content = pcap(
            *[frame for _, frame in chosen], link=link, order=order, magic=dice.choice([0xA1B23C4D, 0xA1B2C3D4])
        )
    else:
        content = b"".join(_pieces(dice, order, chosen))
    packer = dice.randrange(10)
    if packer == 0:
        return gzip.compress(content, mtime=0)
    if packer == 1:
        return lzma.compress(content, preset=0)
    if packer == 2:
        return zstandard.compress(content)
    if packer == 3:
        return zstd_blocks(content, dice.randrange(1, 40))
    return content


def _pieces(dice: random.Random, order: str, chosen: list[tuple[int, bytes]]) -> list[bytes]:
    pieces = [section(order)]
    declared = 0
    for link, frame in chosen:
        kind = dice.randrange(12)
        if kind == 0:
            order = dice.choice("<>")
            pieces.append(section(order, major=dice.choice([1, 1, 1, 2])))
            declared = 0
        elif kind == 1:
            pieces.append(block(dice.choice([4, 5, 10, 0x0BAD, 0x40000BAD]), bytes(4 * dice.randrange(9)), order))
        if declared == 0 or kind == 2:
            resolution = option(9, bytes([dice.choice([0, 3, 6, 9, 12, 20, 127, 128, 160, 255])]), order)
            offset = option(14, struct.pack(order + "q", dice.choice([0, 1, -1, 1 << 33, -(1 << 63)])), order)
            chosen_options = dice.choice([b"", resolution, resolution + offset, option(13, b"\4", order)])
            pieces.append(interface(link, order, chosen_options, dice.choice([0, 0, 96, 262144])))
            declared += 1
        if kind == 3:
            pieces.append(simple(frame, order, original=dice.choice([None, 0, 1 << 31])))
            continue
        flags = option(2, struct.pack(order + "I", dice.choice([1, 2, 3, 0x80, 0xFFFFFFFF])), order)
        stamp = dice.choice([0, 1_767_603_600_000_000, (1 << 64) - 1, dice.getrandbits(64)])
        number = dice.choice([declared - 1, 0, 0, 70_000])
        options = dice.choice([b"", flags, option(1, b"why", order) + flags + option(0, b"", order)])
        pieces.append(packet(frame, order, number=number, stamp=stamp, options=options))
    return pieces
