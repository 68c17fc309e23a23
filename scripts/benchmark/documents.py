"""The documents beside a capture: rules, device, socket records of some of its flows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from benchmark.packets import EPOCH, LOCAL
from benchmark.plan import TCP, Plan
from benchmark.shapes import Shape


def write_documents(shape: Shape, plan: Plan, folder: Path) -> None:
    """All of them, with dice of their own: they say the same whether the capture is made now or was there."""
    # JSON is YAML.
    (folder / "rules.yaml").write_text(json.dumps(rules_document(shape.rules), indent=1))
    (folder / "device.yaml").write_text(json.dumps(device_document(shape.rules), indent=1))
    dice = Random(f"documents {shape.seed}")
    chosen = dice.sample(range(len(plan)), min(shape.records, len(plan)))
    with (folder / "sockets.jsonl").open("w") as sockets:
        for flow in sorted(chosen, key=plan.starts.__getitem__):
            sockets.write(json.dumps(socket_record(plan, flow, dice.randrange(2 * shape.rules + 1))) + "\n")


def image(number: int) -> str:
    return rf"C:\Program Files\App{number}\app{number}.exe"


def rules_document(count: int) -> dict[str, Any]:
    """Rules of four kinds in turn: program and prefixes, service, prefixes alone, program and direction."""
    rules: list[dict[str, Any]] = []
    for number in range(count):
        prefixes = [f"{11 + (number * 7 + step * 3) % 200}.0.0.0/9" for step in range(8)] + [
            f"2001:db8:{number + 1:x}::/48"
        ]
        by_kind: tuple[dict[str, Any], ...] = (
            {"process_path": image(number), "remote_ips": prefixes},
            {"service_name": f"service{number}", "direction": "Inbound"},
            {"direction": "Outbound", "remote_ips": [prefix.replace("/9", "/16") for prefix in prefixes]},
            {"process_path": image(number), "direction": "Outbound"},
        )
        rules.append({"name": f"Rule {number}", **by_kind[number % 4]})
    return {"version": 1, "isolation_exclusions": True, "windows_rules": rules}


def device_document(rules: int) -> dict[str, Any]:
    return {
        "version": 1,
        "id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07",
        "name": "bench.contoso.test",
        "platform": "Windows11",
        "os_version": "24H2",
        "kind": "workstation",
        "addresses": list(LOCAL.values()),
        "resolvers": ["10.0.0.1"],
        "executables": [image(number) for number in range(rules)],
        "services": [f"service{number}" for number in range(rules)],
    }


def socket_record(plan: Plan, flow: int, program: int) -> dict[str, Any]:
    """The socket of one flow, of one of twice as many programs as there are rules."""
    version = plan.versions[flow]
    remote = plan.remote(flow)
    text = ".".join(map(str, remote)) if version == 4 else ":".join(remote.hex()[at : at + 4] for at in range(0, 32, 4))
    form = "{}:{}" if version == 4 else "[{}]:{}"
    return {
        "start": datetime.fromtimestamp(EPOCH + plan.starts[flow] / 1e6 - 0.001, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z"),
        "end": None,
        "protocol": "tcp" if plan.protocols[flow] == TCP else "udp",
        "local": form.format(LOCAL[version], plan.local_ports[flow]),
        "remote": form.format(text, plan.remote_ports[flow]),
        "initiated": not plan.inbound[flow],
        "pid": 1000 + 4 * program,
        "process_created": "2026-01-05T08:00:00Z",
        "image": image(program),
        "services": [f"service{program}"] if program % 4 == 1 else [],
        "package_family_name": None,
        "user": "CONTOSO\\ann",
        "parent_pid": 640,
    }
