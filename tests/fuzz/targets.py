"""What is fuzzed: by name, a function that takes any bytes, the seeds to begin with, and how to make and to mutate.

    TARGETS["frame"].run(b"\x01\x00..."), TARGETS["dns"].seeds(), TARGETS["flows"].make(dice)

`run` judges by `invariant.py`; an input is bytes for every target, so that one mutator serves all.
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.model.device import Device
from agent.model.errors import AgentError
from agent.model.settings import Settings
from agent.model.vocabulary import Confidence, Mode
from agent.replay import run as replay_run
from agent.replay.carried import carried_records
from agent.replay.options import ReplayOptions
from agent.replay.run import run
from agent.sinks.summary import disagreements, dump_json
from tests.attribution.carried.crafted import apple_body, hone_body, pib, section_options, start, thread, word
from tests.attribution.carried.test_pktap import first as pktap
from tests.capture import crafted
from tests.differential.test_compiled_is_interpreted import Maker
from tests.fuzz import hostile
from tests.fuzz.invariant import Frame, Outcome, _fast_folder, check, check_frame, check_frames
from tests.support import dns
from tests.support import frames as f

SECOND = 1_000_000_000
US, RESOLVER = hostile.US, hostile.RESOLVER


# One input --------------------------------------------------------------------------------------------------------


def run_container(data: bytes) -> Outcome:
    """A whole file."""
    return check(data, read=8 << 20)


def run_frame(data: bytes) -> Outcome:
    """A frame behind one byte that chooses its link type."""
    if not data:
        return check_frame(1, b"")
    return check_frame(hostile.LINKS[data[0] % len(hostile.LINKS)], data[1:])


def run_dns(data: bytes) -> Outcome:
    """Messages to and from a resolver or a DHCP server. The first byte says which, the others are the message."""
    kind, message = (data[0], data[1:]) if data else (0, b"")
    out = f"{US}:50053", f"{RESOLVER}:53"
    host = "cloud.example.test"
    ask = f.udp_frame(*out, dns.question(7, host))
    asked_all = f.udp_frame(*out, message)
    heard = f.udp_frame(out[1], out[0], message)
    if kind % 4 == 0:  # any question, then the same bytes as its answer
        answer = message[:2] + bytes([message[2] | 0x80]) + message[3:] if len(message) > 2 else message
        frames = [asked_all, heard, f.udp_frame(out[1], out[0], answer)]
    elif kind % 4 == 1:  # any records in the answer to an honest question
        head = dns.answer(7, host, [])
        frames = [ask, f.udp_frame(out[1], out[0], head[:6] + (256).to_bytes(2, "big") + head[8:] + message)]
    elif kind % 4 == 2:
        discover = f.udp_frame("0.0.0.0:68", "255.255.255.255:67", dns.dhcp4(1, 7))
        head = dns.dhcp4(5, 7, reply=True)[:240]
        frames = [discover, f.udp_frame(f"{RESOLVER}:67", f"{US}:68", head + message)]
        frames.append(f.udp_frame("0.0.0.0:68", "255.255.255.255:67", message))
    else:
        solicit = f.udp_frame("[fe80::5]:546", "[ff02::1:2]:547", dns.dhcp6(1, 7))
        frames = [solicit, f.udp_frame("[fe80::1]:547", "[fe80::5]:546", dns.dhcp6(7, 7) + message)]
        frames.append(f.udp_frame("[fe80::5]:546", "[ff02::1:2]:547", message))
    # What was learned is asked for: names lead to the channel, resolvers are resolvers.
    frames.append(f.tcp_frame(f"{US}:50001", "192.0.2.77:443", flags=f.SYN))
    frames.append(asked_all)
    return check_frames((n, 0, 1, 0, frame) for n, frame in enumerate(frames))


def run_flows(data: bytes) -> Outcome:
    """Packets of a few conversations, five bytes each: kind, ends, ports, flags, time."""
    frames: list[Frame] = []
    now = 0
    for at in range(0, min(len(data), 5 * 400) - 4, 5):
        kind, ends, ports, flags, wait = data[at : at + 5]
        now = max(0, now + _WAITS[wait & 15])
        frames.append((now, wait >> 4 & 3, 1, 0, _flow_frame(kind, ends, ports, flags)))
    return check_frames(frames)


_WAITS = (0, 0, 0, 1, 1000, SECOND, 5 * SECOND, 31 * SECOND, 61 * SECOND, 200 * SECOND, 10**14, 1 << 62, -SECOND)
_WAITS += (-100 * SECOND, -(1 << 61), -(10**14))
_PEERS4 = ("203.0.113.9", "198.51.100.7", RESOLVER, "192.0.2.250", "10.9.0.1", "10.0.0.5", "224.0.0.251", "127.0.0.1")
_PEERS6 = ("2001:db8:1::9", "8000::1", "2001:db8::1", "fe80::1", "fe80::5", "2001:db8::5", "ff02::fb", "::1")
_PORTS = (443, 53, 5353, 80, 50000, 50001, 68, 67, 546, 547, 1, 0, 65535, 445, 3389, 123)


def _flow_frame(kind: int, ends: int, ports: int, flags: int) -> bytes:
    version6, back = ends & 8, ends & 16
    peer = (_PEERS6 if version6 else _PEERS4)[ends & 7]
    # The other four bits of the ends widen the universe, or no table would ever be full.
    local = (hostile.US6 if version6 else US) if not ends & 32 else ("fe80::5" if version6 else "10.9.7.7")
    source, destination = (peer, local) if back else (local, peer)
    port, other = _PORTS[ports & 15], _PORTS[ports >> 4]
    sport, dport = (other, port) if back else (port, other)
    body, protocol = _body(kind, sport, dport, flags, ends), _PROTOCOLS[kind & 7]
    if protocol == f.ICMP and version6:
        protocol = f.ICMPV6
    if kind & 8 and version6:
        head = f.fragment6(protocol, offset=8 * (flags >> 2), more=bool(flags & 1), identifier=ends >> 6)
        return f.ethernet(f.ipv6(source, destination, head + body, f.FRAGMENT, hop_limit=255 - (flags & 1)))
    if version6:
        return f.ethernet(f.ipv6(source, destination, body, protocol, hop_limit=255 - (flags & 1)))
    if kind & 8:
        offset, more = 8 * (flags >> 2), bool(flags & 1)
        return f.ethernet(f.ipv4(source, destination, body, protocol, offset=offset, more=more, identifier=ends >> 6))
    return f.ethernet(f.ipv4(source, destination, body, protocol))


_PROTOCOLS = (f.TCP, f.TCP, f.UDP, f.UDP, f.ICMP, f.SCTP, 47, f.ICMP)


def _body(kind: int, sport: int, dport: int, flags: int, ends: int) -> bytes:
    protocol = _PROTOCOLS[kind & 7]
    if protocol == f.TCP:
        return f.tcp(sport, dport, bytes(kind >> 4), flags=flags & 63, sequence=flags >> 6)
    if protocol == f.UDP:
        host = ("cloud.example.test", "evil.example.net")[kind >> 4 & 1]
        if kind & 32:
            address = ("192.0.2.250", "203.0.113.9")[kind >> 6 & 1]
            return f.udp(sport, dport, dns.answer(flags & 3, host, [(host, "A", flags, address)]))
        return f.udp(sport, dport, dns.question(flags & 3, host))
    if protocol == f.ICMP:
        if kind & 16:
            quoted = f.ip(US, _PEERS4[ends & 7], f.udp(sport, dport, b"x"), f.UDP)
            return f.icmp((3, 11, 12, 5, 1, 2, 137, 4)[flags & 7], 0, 0, quoted)
        return f.icmp((8, 0, 128, 129, 135, 136, 134, 143)[flags & 7], 0, flags >> 6 << 16, bytes(16))
    return f.sctp(sport, dport) if protocol == f.SCTP else bytes(12)


def run_replay(data: bytes) -> Outcome:
    """A whole run with every output, on a file nothing is known of; the second one read ahead where it is compiled."""
    replay_run.WORTH_A_THREAD = 0
    replay_run._cores = lambda: 2
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as name:
        folder = Path(name)
        (folder / "any").write_bytes(data)
        said: list[bytes] = []
        for mode, local in ((Mode.FULL, ()), (Mode.SELECTIVE, ("10.0.0.5",))):
            outputs = {one: str(folder / f"{mode}.{one}") for one in ("decisions", "allowed", "denied")}
            suffixes = {"decisions": ".jsonl", "allowed": ".pcapng", "denied": ".pcapng"}
            options = ReplayOptions(
                captures=(str(folder / "any"),),
                mode=mode,
                local=local,
                settings=Settings({"flow_table.size": 16}),
                limit=5000 if mode is Mode.FULL else None,  # which leaves out the second thread
                events="all",
                **{one: path + suffixes[one] for one, path in outputs.items()},
            )
            try:
                result = run(options)
            except AgentError as error:
                text = str(error).replace(name, "")
                assert "\n" not in text, text
                said.append(text.encode())
                continue
            assert disagreements(result.summary) == [], disagreements(result.summary)
            assert not any(name == "policy_error" for name, *_ in _faults(result.faults)), result.faults
            said.append(dump_json(result.summary).replace(name.encode(), b""))
            said.append((folder / f"{mode}.decisions.jsonl").read_bytes())
            for line in said[-1].splitlines():
                json.loads(line)
    return Outcome(None, 0, hashlib.blake2b(b"\0".join(said), digest_size=16).hexdigest())


def run_carried(data: bytes) -> Outcome:
    """A whole file, for what it says of processes: records that are whole, or nothing."""
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as name:
        path = Path(name) / "any"
        path.write_bytes(data)
        found = carried_records([str(path)], Device(assumed=True))
    rows = []
    for record in found.records():
        assert record.end is not None
        assert record.start <= record.end
        assert record.subject.pid is not None
        assert (record.subject.confidence is Confidence.LOW) == (record.subject.source == "etl2pcapng")
        rows.append(repr(record))
    assert sum(len(source) for source in found.sources(0)) == len(rows)
    digest = hashlib.blake2b("\n".join(rows).encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return Outcome(None, len(rows), digest)


def _faults(faults: object) -> list[tuple[str, ...]]:
    return [tuple(str(part) for part in one) if isinstance(one, tuple) else (str(one),) for one in faults]  # type: ignore[attr-defined]


# Seeds and made inputs --------------------------------------------------------------------------------------------


def all_frames() -> list[tuple[int, bytes]]:
    return list(hostile.FRAMES.values())


def made_frames(dice: random.Random, count: int) -> list[tuple[int, bytes]]:
    """Frames of every kind, many of them wrong: those of the differential tests, and the hostile ones, mutated."""
    maker = Maker(dice.getrandbits(32))
    link = dice.choice([1, 1, 113, 276, 0, 101])
    made = [(link, frame) for _, frame, _ in maker.packets(count, link)]
    for link, frame in (dice.choice(all_frames()) for _ in range(count)):
        made.append((link, mutate(dice, frame) if dice.random() < 0.5 else frame))
    return made


def make_container(dice: random.Random) -> bytes:
    return hostile.container(dice, made_frames(dice, 8))


def make_frame(dice: random.Random) -> bytes:
    link, frame = dice.choice(made_frames(dice, 4))
    if dice.random() < 0.2:
        link = dice.choice(hostile.LINKS)
    return bytes([hostile.LINKS.index(link)]) + frame


def make_dns(dice: random.Random) -> bytes:
    maker = Maker(dice.getrandbits(32))
    message = dice.choice([maker.message(), hostile.pointer_loop(), hostile.pointer_chain(), hostile.costly_answer(9)])
    return bytes([dice.randrange(4)]) + message


def make_flows(dice: random.Random) -> bytes:
    return dice.randbytes(5 * dice.randrange(1, 200))


def frame_seeds() -> list[bytes]:
    return [bytes([hostile.LINKS.index(link)]) + frame for link, frame in hostile.FRAMES.values()]


def dns_seeds() -> list[bytes]:
    alias = [("cloud.example.test", "CNAME", 9, "a.test"), ("a.test", "A", 60, "192.0.2.77")]
    messages = [dns.question(7, "cloud.example.test", edns=True), dns.answer(7, "cloud.example.test", alias)]
    messages += [hostile.pointer_loop(), hostile.pointer_chain(), hostile.costly_answer(20)]
    seeds = [b"\0" + message for message in messages]
    seeds.append(b"\1" + dns.answer(7, "", alias)[12 + 5 :])
    seeds.append(b"\1" + (b"\xc0\x0c" + b"\0\5\0\1\0\0\0\x09\0\2\xc0\x0c") * 30)
    seeds.append(b"\2" + dns.dhcp4(5, 7, reply=True, resolvers=("10.0.0.1", "9.9.9.9"))[240:])
    seeds.append(b"\3" + dns.dhcp6(7, 7, resolvers=("2001:db8::53",))[4:])
    return seeds


def flow_seeds() -> list[bytes]:
    dice = random.Random(1)
    return [dice.randbytes(5 * count) for count in (1, 5, 20, 80, 300)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing that is fuzzed."""

    run: Callable[[bytes], Outcome]
    seeds: Callable[[], list[bytes]]
    make: Callable[[random.Random], bytes]
    longest: int
    """Bytes of a mutated input at most; seeds may be longer."""


def container_seeds() -> list[bytes]:
    return list(hostile.FILES.values())


def make_carried(dice: random.Random) -> bytes:
    """Sections of every writer, blocks and packets that name a few processes in every way, many of them wrong."""
    order, link = dice.choice("<>"), dice.choice((1, 1, 1, 149, 258))
    frames = [frame for kind, frame in made_frames(dice, 4) if kind == 1] or [b""]
    parts = []
    for _ in range(dice.randrange(1, 30)):
        pid, text = dice.randrange(4), dice.choice((b"/bin/a", b"b", b"C:\\c.exe", b"", dice.randbytes(9)))
        ways = [
            pib(pid, (2, text), (3, text), (1, b"services=" + text), start(dice.choice((0, 1, 1 << 60))), order=order),
            crafted.block(0x80000001, apple_body(pid, (2, text), order=order), order),
            crafted.block(0x101, hone_body(pid, dice.randrange(9), (3, text), order=order), order),
            crafted.block(0x102, hone_body(pid, pid, order=order) + bytes(4), order),
        ]
        said = [thread(pid, order=order), word(0x8001, pid, order), word(0x8003, pid, order), word(258, pid, order)]
        said += [word(257, pid, order), word(2, pid, order), crafted.option(1, b"PID=%d" % pid, order)]
        said.append(crafted.option(1, b"PID: %d\nCmd: %s\nArgs: %s" % (pid, text, text), order))
        chosen = b"".join(dice.sample(said, dice.randrange(4)))
        frame = (pktap(pid=pid, name=text) if link != 1 else b"") + dice.choice(frames)
        ways += 4 * [crafted.packet(frame, order, stamp=dice.choice((0, 1 << 50)), options=chosen)]
        one = dice.choice(ways)
        parts.append(mutate(dice, one) if dice.random() < 0.05 else one)
        if dice.random() < 0.1:
            parts.append(_section(dice, order, link))
    return _section(dice, order, link) + b"".join(parts)


def _section(dice: random.Random, order: str, link: int) -> bytes:
    application = dice.choice(("", "ptcpdump 1", "isolation-agent", "etl2pcapng"))
    return crafted.section(order, options=section_options(application, order)) + crafted.interface(link, order)


def carried_seeds() -> list[bytes]:
    return [make_carried(random.Random(number)) for number in range(12)]


def captures() -> list[bytes]:
    """More files to mutate than the hostile ones: generated traffic, and the sample captures where they are."""
    from agent.traffic.generate import generate
    from agent.traffic.output import write
    from agent.traffic.scenario import load_scenario

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "made.pcapng"
        write(generate(load_scenario("protocol-zoo")), str(path), None, None)
        found = [path.read_bytes()]
    folder = Path(__file__).resolve().parents[3] / "shared" / "captures"
    samples = sorted(folder.glob("*.pcap*")) if folder.is_dir() else []
    return found + [path.read_bytes() for path in samples if path.stat().st_size <= 1 << 16]


TARGETS: dict[str, Target] = {
    "container": Target(run=run_container, seeds=container_seeds, make=make_container, longest=1 << 16),
    "frame": Target(run=run_frame, seeds=frame_seeds, make=make_frame, longest=4096),
    "dns": Target(run=run_dns, seeds=dns_seeds, make=make_dns, longest=4096),
    "flows": Target(run=run_flows, seeds=flow_seeds, make=make_flows, longest=2000),
    "carried": Target(run=run_carried, seeds=carried_seeds, make=make_carried, longest=1 << 16),
    "replay": Target(run=run_replay, seeds=container_seeds, make=make_container, longest=1 << 16),
}


# Mutation ---------------------------------------------------------------------------------------------------------

_NUMBERS = (0, 1, 3, 4, 7, 8, 12, 15, 16, 20, 27, 28, 40, 63, 64, 127, 128, 255, 256, 1500, 0x7FFF, 0x8000, 0xFFFF)
_NUMBERS += (0x10000, 262_144, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def mutate(dice: random.Random, data: bytes, other: bytes = b"") -> bytes:
    """`data` with a few wrongs: bits, bytes, numbers, and pieces cut, doubled, or taken from `other`."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5, 8))):
        _wrong(dice, made, other)
    return bytes(made)


def _wrong(dice: random.Random, made: bytearray, other: bytes) -> None:
    if not made:
        made += dice.randbytes(dice.randrange(1, 40))
        return
    place = dice.randrange(len(made))
    kind = dice.randrange(9)
    if kind == 0:
        made[place] ^= 1 << dice.randrange(8)
    elif kind == 1:
        made[place] = dice.randrange(256)
    elif kind in (2, 3):  # a number of one to eight bytes, in either order, at any place
        size = dice.choice((1, 2, 2, 4, 4, 8))
        number = dice.choice(_NUMBERS) + dice.choice((0, 0, 0, -1, 1))
        value = (number % (1 << 8 * size)).to_bytes(size, dice.choice(("big", "little")))
        made[place : place + size] = value[: len(made) - place]
    elif kind == 4:
        del made[place : place + dice.choice((1, 2, 4, 8, 40, 1000))]
    elif kind == 5:
        size = dice.choice((1, 4, 8, 40, 200))
        made[place:place] = made[place : place + size] * dice.choice((1, 1, 2, 16))
    elif kind == 6:
        made[place:place] = dice.randbytes(dice.choice((1, 4, 12)))
    elif kind == 7:
        del made[place:]
    elif other:
        start = dice.randrange(len(other))
        piece = other[start : start + dice.choice((4, 20, 60, 400))]
        made[place : place + dice.choice((0, len(piece)))] = piece
