"""Compiled and interpreted, the same source says the same: whole replays, byte for byte, of every output.

Captures of the built-in scenarios, and captures made to be difficult. The interpreted run is another process whose
tree holds no compiled module.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.replay.run import engine_kind
from tests.support import dns, links
from tests.support import frames as f
from tests.support.captures import pcapng

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import json, sys
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.replay.options import ReplayOptions, When
from agent.replay.run import run
from agent.sinks.summary import disagreements, dump_json
engines = set()
for job in json.load(sys.stdin):
    out, options = job["out"], dict(job["options"])
    for name in ("isolate_at", "release_at"):
        if name in options:
            options[name] = When(ns=options[name], absolute=False)
    for name in ("captures", "local", "attribution"):
        options[name] = tuple(options.get(name, ()))
    options["mode"] = Mode(options["mode"])
    options["settings"] = Settings(options.get("settings", {}))
    outputs = {"decisions": "jsonl", "allowed": "allowed.pcapng", "denied": "denied.pcapng"}
    options |= {name: f"{out}.{suffix}" for name, suffix in outputs.items()}
    result = run(ReplayOptions(**options))
    assert disagreements(result.summary) == [], disagreements(result.summary)
    with open(out + ".json", "wb") as file:
        file.write(dump_json({"summary": result.summary, "faults": list(result.faults)}))
    engines.add(result.engine)
print(*engines)
"""

SCENARIOS = sorted(path.stem for path in (ROOT / "policies" / "scenarios").glob("*.yaml"))


def run_in(tree: Path, folder: Path, jobs: list[dict[str, Any]], *, engine: str) -> None:
    """The jobs in a process of their own, on the agent of `tree`."""
    folder.mkdir()
    mine = [{**job, "out": str(folder / job["name"])} for job in jobs]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(mine),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [engine]


def compare(tmp_path: Path, interpreted_tree: Path, jobs: list[dict[str, Any]]) -> None:
    """Every output of every job, compiled and interpreted."""
    if engine_kind() != "compiled":
        pytest.skip("engine is interpreted")
    run_in(ROOT, tmp_path / "compiled", jobs, engine="compiled")
    run_in(interpreted_tree, tmp_path / "interpreted", jobs, engine="interpreted")
    names = sorted(path.name for path in (tmp_path / "compiled").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "interpreted").iterdir())
    assert len(names) == 4 * len(jobs)
    for name in names:
        one = (tmp_path / "compiled" / name).read_bytes()
        two = (tmp_path / "interpreted" / name).read_bytes()
        assert one == two, f"{name} differs"
        assert one


# Scenarios --------------------------------------------------------------------------------------------------------


def scenario_jobs(tmp_path: Path, name: str) -> list[dict[str, Any]]:
    """A scenario in Full from the middle on, and in Selective with rules for what it shows."""
    from agent.traffic.generate import generate
    from agent.traffic.output import write
    from agent.traffic.scenario import load_scenario

    capture, sockets, device = (str(tmp_path / f"{name}{suffix}") for suffix in (".pcapng", ".jsonl", ".yaml"))
    write(generate(load_scenario(name)), capture, sockets, device)
    records = [json.loads(line) for line in Path(sockets).read_text("utf-8").splitlines()]
    images = sorted({record["image"] for record in records if record.get("image")})[:4]
    linux = any(image.startswith("/") for image in images)
    rules: list[dict[str, Any]] = [
        {"name": f"image {number}", "process_path": image, "direction": "Outbound"}
        for number, image in enumerate(images)
    ]
    rules += [
        {"name": "networks", "remote_ips": ["10.0.0.0/8", "203.0.113.0/25", "2001:db8::/33"], "direction": "Inbound"},
        {"name": "service", "service_name": "dnscache"},
    ]
    document = tmp_path / f"{name}.rules.json"
    key = "linux_rules" if linux else "windows_rules"
    document.write_text(json.dumps({"version": 1, "isolation_exclusions": True, key: rules}))
    common = {"captures": [capture], "attribution": [sockets], "device": device, "events": "all"}
    settings = {"platform.limits": "lab"}
    return [
        {"name": f"{name}-cut", "options": {**common, "mode": "full", "isolate_at": 20 * 10**9, "settings": settings}},
        {
            "name": f"{name}-selective",
            "options": {
                **common,
                "mode": "selective",
                "rules": str(document),
                "release_at": 60 * 10**9,
                "settings": {**settings, "flow_table.size": 64, "direction.trust_guesses": False},
            },
        },
    ]


def test_quick_scenarios_give_the_same_bytes(tmp_path: Path, interpreted_tree: Path) -> None:
    jobs = [
        job for name in ("three-rules", "protocol-zoo", "teams-by-package") for job in scenario_jobs(tmp_path, name)
    ]
    compare(tmp_path, interpreted_tree, jobs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in SCENARIOS if name not in ("three-rules", "protocol-zoo", "teams-by-package")]
)
def test_every_scenario_gives_the_same_bytes(tmp_path: Path, interpreted_tree: Path, name: str) -> None:
    compare(tmp_path, interpreted_tree, scenario_jobs(tmp_path, name))


# Difficult captures -----------------------------------------------------------------------------------------------

HOSTS4 = ["10.0.0.5", "10.0.0.5", "203.0.113.9", "198.51.100.7", "192.0.2.250", "10.0.0.1", "127.0.0.1", "0.0.0.0"]
HOSTS4 += ["224.0.0.251", "255.255.255.255", "255.255.255.254", "10.9.0.1", "10.9.255.255"]
HOSTS6 = ["2001:db8::5", "2001:db8::5", "fe80::5", "2001:db8:1::9", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
HOSTS6 += ["::1", "::", "ff02::1:2", "ff02::fb", "2001:db8:c10d::1", "8000::8000:0:0:1"]
PORTS = [0, 53, 67, 68, 80, 443, 445, 546, 547, 1900, 5353, 49152, 50000, 50001, 65535]
NAMES = ["x.endpoint.security.microsoft.com", "crl.microsoft.com", "evil.example.net", "X.Wd.Microsoft.Com", ""]


class Maker:
    """Frames of every kind, many of them wrong, from one seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def message(self) -> bytes:
        dice = self.dice
        host = dice.choice(NAMES)
        return dice.choice(
            [
                lambda: dns.question(dice.randrange(3), host, dice.choice(["A", "TXT"]), edns=dice.random() < 0.3),
                lambda: dns.answer(dice.randrange(3), host, [(host, "A", dice.choice([1, 90]), "198.51.100.7")]),
                lambda: dns.dhcp4(dice.choice([1, 2, 3, 5]), 7, reply=dice.random() < 0.5, resolvers=("10.0.0.1",)),
                lambda: dns.dhcp6(dice.choice([1, 2, 7]), 7, resolvers=("2001:db8::53",)),
                lambda: dice.randbytes(dice.randrange(40)),
            ]
        )()

    def body(self, protocol: int) -> bytes:
        dice = self.dice
        ports = dice.choice(PORTS), dice.choice(PORTS)
        if protocol == f.TCP:
            flags = dice.choice([2, 18, 16, 17, 4, 24, 0, 63, 6])
            header = dice.choice([None] * 8 + [0, 24, 60])
            return f.tcp(*ports, b"x" * 4, flags=flags, sequence=dice.choice([0, 1, 0xFFFFFFFF]), header=header)
        if protocol in (f.ICMP, f.ICMPV6):
            kind = dice.choice([0, 1, 3, 4, 5, 8, 11, 128, 129, 130, 134, 135, 136, 137, 143, 255])
            quote = f.ip(dice.choice(HOSTS4), dice.choice(HOSTS4), f.udp(*ports, b"x"), f.UDP)
            return f.icmp(kind, dice.randrange(3), dice.choice([7 << 16, 0xFFFFFFFF]), quote)
        length = dice.choice([None] * 8 + [0, 7, 9, 4000])
        return f.udp(*ports, self.message(), length=length)

    def conversation(self) -> bytes:
        """A packet of one of a few conversations, either way, or an error about it: flows that live for a while."""
        dice = self.dice
        number = dice.randrange(6)
        remote = dice.choice(["203.0.113.9", "198.51.100.7", "10.0.0.1", "192.0.2.250"][: 1 + number])
        ends, out = ("10.0.0.5", remote), dice.random() < 0.5
        if remote == "10.0.0.1":
            host, identifier = dice.choice(NAMES), dice.randrange(2)
            message = dns.question(identifier, host)
            if not out:
                message = dns.answer(identifier, host, [(host, "A", 1, "198.51.100.7")])
            ports, protocol = (50000 + number, 53), f.UDP
            body = f.udp(*(ports if out else ports[::-1]), message)
        else:
            ports, protocol = (50010 + number, 443), f.TCP
            flags = dice.choice([f.SYN, f.ACK, f.ACK, f.ACK, f.PSH | f.ACK, f.FIN | f.ACK]) if out else f.ACK
            body = f.tcp(*(ports if out else ports[::-1]), b"data", flags=flags, sequence=dice.choice([1, 1, 1, 2]))
        packet = f.ip(*(ends if out else ends[::-1]), body, protocol)
        if out and dice.random() < 0.1:
            return f.ip("198.51.100.1", "10.0.0.5", f.icmp(dice.choice([3, 5, 11]), 1, 0, packet[:28]), f.ICMP)
        return packet

    def packet(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.4:
            return self.conversation()
        protocol = dice.choice([f.TCP, f.TCP, f.UDP, f.UDP, f.ICMP, f.ICMPV6, f.SCTP, 47, 255])
        body = self.body(protocol)
        hops = dice.choice([1, 64, 255])
        fragment = dice.random() < 0.15
        offset, more = dice.choice([(0, True), (8, True), (24, True), (64, False), (65528, False)])
        if dice.random() < 0.65:
            ends = dice.choice(HOSTS4), dice.choice(HOSTS4)
            where = {"offset": offset, "more": more, "identifier": dice.randrange(3)} if fragment else {}
            options = b"\1" * dice.choice([0, 0, 0, 4, 40])
            total = dice.choice([None] * 8 + [0, 19, 30])
            return f.ipv4(*ends, body, protocol, ttl=hops, options=options, total=total, **where)
        ends = dice.choice(HOSTS6), dice.choice(HOSTS6)
        if fragment:
            body = f.fragment6(protocol, offset=offset, more=more, identifier=dice.choice([0, 0xFFFFFFFF])) + body
            protocol = f.FRAGMENT
        if dice.random() < 0.2:
            body, protocol = f.extension(protocol, dice.choice([8, 16])) + body, f.HOP_BY_HOP
        return f.ipv6(*ends, body, protocol, hop_limit=hops, length=dice.choice([None] * 8 + [0, 7]))

    def frame(self, link: int) -> bytes:
        dice = self.dice
        packet = self.packet()
        if link == 113:
            frame = f.sll(packet, packet_type=dice.randrange(6), hardware=dice.choice([1, 772]))
        elif link == 276:
            frame = f.sll2(packet, packet_type=dice.randrange(6), hardware=dice.choice([1, 772]))
        elif link == 0:
            frame = f.null(packet, order=dice.choice("<>"))
        elif link == 1:
            macs = [f.OUR_MAC, f.THEIR_MAC, f.BROADCAST_MAC, bytes(6), b"\xff\xfe\xfd\xfc\xfb\xfa"]
            tags = dice.choice([(), (), (), (f.VLAN,), (f.QINQ, f.VLAN)])
            kind = dice.choice([None] * 12 + [f.ARP, 0xFFFF])
            frame = f.ethernet(packet, kind, source=dice.choice(macs), destination=dice.choice(macs), tags=tags)
        else:
            frame = packet
        return self.damaged(frame)

    def damaged(self, frame: bytes) -> bytes:
        """As it is, or with some bytes wrong, or cut."""
        dice = self.dice
        changed = bytearray(frame)
        for _ in range(dice.choice([0, 0, 0, 1, 3])):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed[: len(changed) if dice.random() < 0.9 else dice.randrange(len(changed) + 1)])

    def carried(self, link: int) -> bytes:
        """Behind one of the rarer headers of the link type."""
        ways = [wrap for number, wrap in links.WAYS.values() if number == link]
        packet = self.packet()
        frame = self.damaged(self.dice.choice(ways)(packet))
        if self.dice.random() < 0.5 and len(frame) > len(packet):
            changed = bytearray(frame)
            changed[self.dice.randrange(len(frame) - len(packet))] = self.dice.choice([0, 1, 2, 3, 4, 8, 0x80, 0xFF])
            return bytes(changed)
        return frame

    def packets(self, count: int, link: int) -> list[tuple[float | None, bytes, int]]:
        dice, now, made = self.dice, 0.0, []
        for _ in range(count):
            now = max(0.0, now + dice.choice([0] * 12 + [0.001, 0.1, 0.5, 5, 40, -3]))
            made.append((None if dice.random() < 0.03 else now, self.frame(link), dice.choice([0, 0, 0, 1, 2])))
        return made

    def rare_packets(self, count: int, link: int) -> list[tuple[float | None, bytes, int]]:
        return [(number / 100, self.carried(link), 0) for number in range(count)]


VARIETY: list[dict[str, Any]] = [
    {"mode": "none"},
    {"mode": "full", "isolate_at": 400 * 10**9, "release_at": 1500 * 10**9},
    {"mode": "selective", "settings": {"reauthorise": False, "loopback": False}, "isolate_at": 400 * 10**9},
    {
        "mode": "selective",
        "settings": {"flow_table.size": 16, "fragment_table.size": 2, "related.rate": 1, "link.other": "deny"},
    },
    {
        "mode": "full",
        "settings": {"timeouts.profile": "conntrack", "essential.dns": "any", "essential.icmp_echo": True},
    },
    {
        "mode": "selective",
        "settings": {"direction.trust_guesses": False, "cloud_channel.process_evidence": "required"},
        "simulate": {"flow_table_full": 50, "fragment_table_full": 1},
    },
]


def difficult_jobs(tmp_path: Path, seed: int, count: int) -> list[dict[str, Any]]:
    rules = tmp_path / "rules.json"
    document = [
        {"name": "net", "remote_ips": ["203.0.113.0/24", "2001:db8:1::/48"], "direction": "Outbound"},
        {"name": "in", "remote_ips": ["198.51.100.7", "8000::/1"], "direction": "Inbound"},
        {"name": "tool", "process_path": "C:\\Tools\\tool.exe"},
    ]
    rules.write_text(json.dumps({"version": 1, "isolation_exclusions": True, "windows_rules": document}))
    sockets = tmp_path / "sockets.jsonl"
    ends = [("tcp", "10.0.0.5:443"), ("udp", "10.0.0.5:5353"), ("tcp", "[2001:db8::5]:50000"), ("udp", "0.0.0.0:68")]
    lines = [
        {
            "start": "2026-01-05T08:59:00Z",
            "protocol": protocol,
            "local": local,
            "image": "C:\\Tools\\tool.exe",
            "pid": 7,
        }
        for protocol, local in ends
    ]
    sockets.write_text("".join(json.dumps(line) + "\n" for line in lines))
    jobs = []
    for number, variety in enumerate(VARIETY):
        link = [1, 1, 113, 276, 0, 101][number]
        path = pcapng(tmp_path / f"{seed}-{number}.pcapng", Maker(seed * 100 + number).packets(count, link), link=link)
        options = {
            "captures": [str(path)],
            "local": ["10.0.0.5", "2001:db8::5", "fe80::5", "10.9.0.0/16"],
            "rules": str(rules),
            "events": "all",
            **variety,
        }
        if number % 2:
            options["attribution"] = [str(sockets)]
        jobs.append({"name": f"{seed}-{number}", "options": options})
    return jobs


@pytest.mark.slow
def test_difficult_captures_give_the_same_bytes(tmp_path: Path, interpreted_tree: Path) -> None:
    compare(tmp_path, interpreted_tree, difficult_jobs(tmp_path, 1, 1500))


def rare_link_jobs(tmp_path: Path, seed: int, count: int) -> list[dict[str, Any]]:
    """A capture of each link type that is not everyday, and of the rarer ways to carry IP on Ethernet."""
    jobs = []
    for link in sorted({link for link, _ in links.WAYS.values()}):
        name = f"{seed}-link-{link}"
        path = pcapng(tmp_path / f"{name}.pcapng", Maker(seed * 1000 + link).rare_packets(count, link), link=link)
        options = {"captures": [str(path)], "local": ["10.0.0.5", "2001:db8::5", "10.9.0.0/16"], "mode": "full"}
        jobs.append({"name": name, "options": {**options, "events": "all"}})
    return jobs


@pytest.mark.slow
def test_rare_links_give_the_same_bytes(tmp_path: Path, interpreted_tree: Path) -> None:
    compare(tmp_path, interpreted_tree, rare_link_jobs(tmp_path, 1, 150))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_more_of_rare_links_give_the_same_bytes(tmp_path: Path, interpreted_tree: Path, seed: int) -> None:
    compare(tmp_path, interpreted_tree, rare_link_jobs(tmp_path, seed, 2500))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_more_difficult_captures_give_the_same_bytes(tmp_path: Path, interpreted_tree: Path, seed: int) -> None:
    compare(tmp_path, interpreted_tree, difficult_jobs(tmp_path, seed, 6000))
