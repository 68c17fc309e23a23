"""Plays a generated capture through the command line and reads back everything that it wrote.

Knows how a capture, socket records and a device document become files, and where outputs lie. Never: what is right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from agent.cli.main import run as command_line
from agent.model.address import Address, parse_endpoint
from agent.policy.fields import Tree
from agent.traffic.generate import Generated, generate
from agent.traffic.output import write
from agent.traffic.scenario import load_scenario
from tests.traffic.parsing import TCP, UDP, dns_message, network_layer, segments

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "policies" / "examples"

DNS_PORT = 53
_ONE_QUESTION = b"\0\1"

Ends = tuple[int, frozenset[tuple[Address, int]]]
"""Protocol, and address and port of both ends, whichever is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one replay gave."""

    code: int
    """The exit code."""
    flows: list[dict[str, Any]]
    """Decision records of type flow, in the order of the file."""
    others: list[dict[str, Any]]
    """Records of other types."""
    summary: dict[str, Any]
    """Empty if the command refused."""
    decisions: bytes
    """The file of records, byte for byte."""

    @property
    def warnings(self) -> list[str]:
        return [warning["code"] for warning in self.summary["warnings"]]

    def reason(self, name: str) -> dict[str, int]:
        """{packets, bytes, flows} of a reason."""
        row: dict[str, int] = self.summary["reasons"][name]
        return row


@cache
def scenario(name: str) -> Generated:
    """A built-in scenario by its name, or the one in a file, played once for all tests of this process."""
    return generate(load_scenario(name))


def replay(
    folder: Path,
    generated: Generated,
    *words: str,
    device: Mapping[str, Any] | None = None,
    sockets: bool = True,
) -> Played:
    """`isolation-agent replay` with the `words` as options. Everything is written to `folder`.

    `device`: changes to the device document, None removes a key; `sockets`: whether the socket records are given.
    """
    changed: dict[str, Tree] = {**generated.device, **{key: as_text(value) for key, value in (device or {}).items()}}
    document: dict[str, Tree] = {key: value for key, value in changed.items() if value is not None}
    paths = {name: str(folder / name) for name in ("c.pcapng", "s.jsonl", "d.yaml", "out.jsonl", "out.json")}
    write(replace(generated, device=document), paths["c.pcapng"], paths["s.jsonl"], paths["d.yaml"])
    arguments = ["replay", paths["c.pcapng"], "--device", paths["d.yaml"], "--no-progress"]
    arguments += ["--attribution", paths["s.jsonl"]] if sockets else []
    code = command_line([*arguments, "--decisions", paths["out.jsonl"], "--summary-json", paths["out.json"], *words])
    if not (folder / "out.json").exists():
        assert not (folder / "out.jsonl").exists(), "a refused replay leaves no output"
        return Played(code=code, flows=[], others=[], summary={}, decisions=b"")
    decisions = (folder / "out.jsonl").read_bytes()
    records = [json.loads(line) for line in decisions.splitlines()]
    return Played(
        code=code,
        flows=[record for record in records if record["event_type"] == "flow"],
        others=[record for record in records if record["event_type"] != "flow"],
        summary=json.loads((folder / "out.json").read_bytes()),
        decisions=decisions,
    )


def as_text(value: Any) -> Tree:
    """A value as the strict loader gives it: every scalar is text."""
    if isinstance(value, Mapping):
        return {str(key): as_text(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_text(item) for item in value]
    return None if value is None else str(value)


def program(record: Mapping[str, Any]) -> str | None:
    """The file name of the program that owned the flow's socket; None where nobody is known."""
    image = (record["process"] or {}).get("image")
    return None if image is None else image.replace("\\", "/").rpartition("/")[2]


def service_port(record: Mapping[str, Any]) -> int | None:
    """The responder's port: the one that says what a flow is for."""
    port: int | None = record["remote" if record["direction"] == "outbound" else "local"]["port"]
    return port


def questions(generated: Generated) -> dict[tuple[str, int], set[str]]:
    """Local address and port to the names that the device asked DNS for from there."""
    asked: dict[tuple[str, int], set[str]] = {}
    for one in segments(generated.packets):
        if one.protocol == UDP and one.destination_port == DNS_PORT and one.payload[4:6] == _ONE_QUESTION:
            names = asked.setdefault((str(one.source), one.source_port), set())
            names.update(name for name, _ in dns_message(one.payload).questions)
    return asked


def packets_on_the_wire(generated: Generated) -> Counter[Ends]:
    """Packets of every TCP and UDP conversation that the generator's own decoder finds, but for fragmented ones."""
    fragmented = {ends for frame in generated.packets if (ends := _fragment_ends(frame.data)) is not None}
    return Counter(
        (one.protocol, frozenset((one.local, one.remote)))
        for one in segments(generated.packets)
        if frozenset((one.source.packed, one.destination.packed)) not in fragmented
    )


def packets_in_records(flows: list[dict[str, Any]]) -> Counter[Ends]:
    """The same of decision records, over all authorisations of a flow."""
    found: Counter[Ends] = Counter()
    for record in flows:
        if record["protocol"] in ("tcp", "udp"):
            ends = frozenset((_endpoint(record["local"]), _endpoint(record["remote"])))
            found[TCP if record["protocol"] == "tcp" else UDP, ends] += sum(record["packets"].values())
    return found


def _endpoint(end: Mapping[str, Any]) -> tuple[Address, int]:
    """As the decoder has it: 0.0.0.0 is an address like any other."""
    host = f"[{end['ip']}]" if ":" in end["ip"] else end["ip"]
    parsed = parse_endpoint(f"{host}:{end['port']}")
    return parsed.address or Address(parsed.wildcard_version, 0), parsed.port


def _fragment_ends(frame: bytes) -> frozenset[bytes] | None:
    layer = network_layer(frame)
    if layer is not None and layer[0] == 0x0800 and int.from_bytes(layer[1][6:8], "big") & 0x3FFF:
        return frozenset((layer[1][12:16], layer[1][16:20]))
    if layer is not None and layer[0] == 0x86DD and layer[1][6] == 44:
        return frozenset((layer[1][8:24], layer[1][24:40]))
    return None
