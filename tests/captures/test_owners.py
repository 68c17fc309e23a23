"""Owners in real captures, from the host logs taken in the same run, held against an independent reading of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.samples import command
from tests.conftest import CAPTURES

TABLES = sorted((Path(__file__).parent / "owners").glob("*.txt"))
UNKNOWN = "-"


def sample(name: str) -> Path:
    """The capture called `name`, whatever it ends in; skips by name where the sample captures are absent."""
    found = [path for path in CAPTURES.glob(f"{name}.*cap*") if path.suffix in (".cap", ".pcap", ".pcapng")]
    if not found:
        pytest.skip("sample captures absent")
    return found[0]


def flows(folder: Path, capture: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(TCP and UDP flow records, summary) of a replay that isolates nothing, attributed by the host's log."""
    log = capture.with_name(f"{capture.stem}.events.jsonl")
    done = command(
        "replay", str(capture), "--attribution", str(log), "--mode", "none", "--decisions", "d.jsonl",
        "--summary-json", "s.json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    records = [json.loads(line) for line in (folder / "d.jsonl").read_text("utf-8").splitlines()]
    wanted = [record for record in records if record["protocol"] in ("tcp", "udp")]
    return wanted, json.loads((folder / "s.json").read_text("utf-8"))


def rows(table: Path) -> Iterator[tuple[tuple[str, ...], set[str], set[str]]]:
    """(tuple, pids, programs) of each line."""
    for line in table.read_text("utf-8").splitlines():
        *ends, pids, programs = line.split()
        yield tuple(ends), set(pids.split(",")), set(programs.split(","))


def ends(record: dict[str, Any]) -> tuple[str, ...]:
    local, remote = record["local"], record["remote"]
    return record["protocol"], local["ip"], str(local["port"]), remote["ip"], str(remote["port"])


def by_log(record: dict[str, Any]) -> bool:
    """True if a log names the owner. One capture has a comment with a pid on each packet, which is often wrong."""
    process = record["process"]
    assert process is None or (process["confidence"] == "low") == (process["source"] == "etl2pcapng")
    return process is not None and process["confidence"] != "low"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_every_flow_has_the_owner_that_its_hosts_log_names(table: Path, tmp_path: Path) -> None:
    expected = {key: (pids, programs) for key, pids, programs in rows(table)}
    records, summary = flows(tmp_path, sample(table.stem))
    assert {ends(record) for record in records} == set(expected)
    wrong = []
    for record in records:
        pids, programs = expected[ends(record)]
        process = record["process"]
        if not by_log(record):
            right = pids == {UNKNOWN} and programs == {UNKNOWN}
        else:
            program = (process["image"] or "").replace("/", "\\").rpartition("\\")[2].lower().replace(" ", "_")
            right = str(process["pid"]) in pids and program in programs
        if not right:
            wrong.append((ends(record), process, pids, programs))
    assert not wrong
    assert summary["attribution"]["ambiguous_flows"] == 0


@pytest.mark.parametrize(
    ("name", "attributed", "total"),
    [("otrf-purplesharp-ad-playbook", 47, 47), ("otrf-lsass01", 118, 121), ("otrf-sharpsc-stop", 4, 6)],
)
def test_so_many_flows_of_the_published_sets_are_attributed(
    name: str, attributed: int, total: int, tmp_path: Path
) -> None:
    records, _ = flows(tmp_path, sample(name))
    assert (sum(map(by_log, records)), len(records)) == (attributed, total)


def test_flows_that_a_firewall_really_blocked_are_five_syns_without_an_answer(tmp_path: Path) -> None:
    """Their owners are known from the 5157 events of the blocks only: Sysmon saw no connection."""
    records, _ = flows(tmp_path, sample("otrf-sharpsc-stop"))
    blocked = [record for record in records if record["packets"] == {"original": 5, "reply": 0}]
    assert len(blocked) == 2
    assert {record["process"]["source"] for record in blocked} == {"security"}
    assert {record["direction_basis"] for record in blocked} == {"tcp_syn"}
