"""The built-in scenarios against tshark, which was written by others: nothing malformed, every checksum right."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent.traffic.output import write
from tests.traffic.builders import EVERY_BUILTIN, played
from tests.traffic.parsing import segments

STRICT = ("tcp.check_checksum:TRUE", "udp.check_checksum:TRUE", "ip.check_checksum:TRUE", "sctp.checksum:CRC32c")
CHECKSUMS = ("ip", "tcp", "udp", "icmp", "icmpv6", "sctp", "igmp")
ERROR = 0x00800000
WRONG = (
    "_ws.malformed",
    f"_ws.expert.severity == {ERROR}",
    *(f"{protocol}.checksum.status == 0" for protocol in CHECKSUMS),
    # Only repeated SYNs are retransmissions; the wanted lost segment of the zoo is one more.
    "(tcp.analysis.flags && !(tcp.flags.syn == 1) && !(tcp.analysis.retransmission))",
)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def run(tshark: str, folder: Path, name: str, *arguments: str) -> list[str]:
    """The lines tshark prints of a built-in scenario's capture."""
    path = folder / f"{name}.pcapng"
    if not path.exists():
        write(played(name), str(path), None, None)
    preferences = [part for setting in STRICT for part in ("-o", setting)]
    command = [tshark, "-r", str(path), *preferences, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_tshark_finds_nothing_wrong(name: str, tshark: str, captures: Path) -> None:
    """Nothing malformed, every checksum right, no gap in any connection."""
    shown = ("-T", "fields", "-e", "frame.number", "-e", "frame.protocols", "-e", "_ws.expert.message")
    assert run(tshark, captures, name, "-Y", " || ".join(WRONG), *shown) == []


def test_tshark_notices_a_wrong_checksum(tshark: str, captures: Path) -> None:
    """Or else the test above would prove nothing."""
    generated = played("three-rules")
    first = generated.packets[0]
    spoilt = first._replace(data=first.data[:-1] + bytes([first.data[-1] ^ 1]))
    write(replace(generated, packets=[spoilt]), str(captures / "spoilt.pcapng"), None, None)
    assert len(run(tshark, captures, "spoilt", "-Y", " || ".join(WRONG))) == 1


def test_tshark_reads_as_many_packets_as_were_made(tshark: str, captures: Path) -> None:
    name = "office-laptop-under-attack"
    assert len(run(tshark, captures, name, "-T", "fields", "-e", "frame.number")) == len(played(name).packets)


EXPECTED = {
    "protocol-zoo": (
        "arp", "dhcp", "dhcpv6", "dns", "eapol", "esp", "gre", "icmp", "icmpv6", "igmp", "http", "lldp", "llmnr",
        "mdns", "nbns", "sctp", "ssdp", "ssh", "stp", "tls", "udplite", "vlan",
    ),
    "office-laptop-under-attack": ("dhcp", "dns", "http", "ntp", "rdp", "smb2", "stun", "tls"),
    "full-vpn-tunnel": ("wg", "dns", "tls"),
    "linux-lab": ("ssh", "http", "tls", "dns", "ntp"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocols"), EXPECTED.items(), ids=EXPECTED.keys())
def test_tshark_recognises_what_was_meant(name: str, protocols: tuple[str, ...], tshark: str, captures: Path) -> None:
    seen = {
        word
        for line in run(tshark, captures, name, "-T", "fields", "-e", "frame.protocols")
        for word in line.split(":")
    }
    assert set(protocols) <= seen


def test_demo_is_of_the_promised_size() -> None:
    """A demo that takes long, or that shows nothing in its middle, is no demo."""
    packets = played("office-laptop-under-attack").packets
    seconds = (packets[-1].time_ns - packets[0].time_ns) / 1e9
    assert 3000 <= len(packets) <= 6500
    assert 540 <= seconds <= 660


def test_sessions_of_the_demo_span_its_middle() -> None:
    """An isolation at mid-time has something to cut: several programs' connections are open then."""
    packets = played("office-laptop-under-attack").packets
    middle = packets[0].time_ns + 300 * 10**9
    before = {(packet.local, packet.remote) for packet in segments(packets) if packet.time_ns < middle}
    after = {(packet.local, packet.remote) for packet in segments(packets) if packet.time_ns >= middle}
    assert len(before & after) >= 10
