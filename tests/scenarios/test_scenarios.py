"""A scenario is a directory: what runs (`run.yaml`) and what must come of it, exactly (`expected.yaml`).

    run.yaml        scenario: a built-in name or a file of the directory; rules: a file of the directory or an example
                    of policies/examples; options: words of the command line; device: changes to the generated device
                    document; sockets: off leaves the socket records out; slow: on for long ones
    expected.yaml   packets: by bucket; without_flow: by reason; cut: flows cut; guesses: guessed directions;
                    warnings: every code, and no other; rules: flows and packets of each, or why it is ignored;
                    flows: rows. Or, for what must be refused: exit and error

Rows are read like a filter list: a record belongs to the first row whose keys it meets, and a row tells how many
records there are, their packets both ways, and their one outcome. A record without a row fails, and so does a row that
misses records: what is not expected must not happen. Expectations are written from semantics.md, not from output.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.sinks.summary import disagreements
from tests.scenarios.playing import (
    DNS_PORT,
    EXAMPLES,
    Played,
    packets_in_records,
    packets_on_the_wire,
    program,
    questions,
    replay,
    scenario,
    service_port,
)

HERE = Path(__file__).resolve().parent
DIRECTORIES = sorted(path.parent for path in HERE.glob("*/run.yaml"))

RUN_KEYS = {"about", "scenario", "rules", "options", "device", "sockets", "slow"}
EXPECTED_KEYS = {"packets", "without_flow", "cut", "guesses", "warnings", "rules", "flows", "exit", "error"}
MATCH_KEYS = {
    "program", "image", "service", "protocol", "direction", "remote", "port", "icmp_type", "mode", "asks", "end",
}  # fmt: skip
OUTCOME_KEYS = {"verdict", "reason", "rules", "essential", "evidence", "near_misses", "attempted", "basis", "names"}
COUNT_KEYS = {"flows", "packets", "mixed"}

Questions = dict[tuple[str, int], set[str]]


def read(path: Path, keys: set[str]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    assert set(document) <= keys, f"{path}: unknown keys {sorted(set(document) - keys)}"
    return document


def is_slow(directory: Path) -> bool:
    return bool(read(directory / "run.yaml", RUN_KEYS).get("slow"))


PARAMETERS = [pytest.param(path, id=path.name, marks=pytest.mark.slow if is_slow(path) else ()) for path in DIRECTORIES]


def play(directory: Path, folder: Path) -> Played:
    """Runs the directory's replay, writing to `folder`."""
    run = read(directory / "run.yaml", RUN_KEYS)
    words = [str(word) for word in run.get("options", [])]
    if "rules" in run:
        own = directory / run["rules"]
        words += ["--rules", str(own if own.exists() else EXAMPLES / run["rules"])]
    return replay(
        folder, scenario(source(directory)), *words, device=run.get("device"), sockets=run.get("sockets", True)
    )


def source(directory: Path) -> str:
    """The scenario's name, or its file's path."""
    name = read(directory / "run.yaml", RUN_KEYS)["scenario"]
    return str(directory / name) if (directory / name).exists() else str(name)


@pytest.mark.parametrize("directory", PARAMETERS)
def test_a_scenario_has_exactly_its_outcome(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every flow, packet, rule and warning is expected, and everything expected happens."""
    expected = read(directory / "expected.yaml", EXPECTED_KEYS)
    played = play(directory, tmp_path)
    errors = capsys.readouterr().err
    assert played.code == expected.get("exit", 0), errors
    if "error" in expected:
        assert played.summary == {}
        assert expected["error"] in errors
        assert len(errors.strip().splitlines()) == 1
        return
    rows_hold(expected["flows"], played, questions(scenario(source(directory))))
    everything_is_counted(expected, played, directory)
    assert played.summary["packets"] == {"total": sum(expected["packets"].values()), **expected["packets"]}
    assert played.summary["flows"]["cut"] == expected.get("cut", 0)
    assert played.summary["direction_guesses"] == expected.get("guesses", 0)
    assert sorted(set(played.warnings)) == sorted(expected["warnings"])
    rules_hold(expected.get("rules", {}), played)


def rows_hold(rows: list[dict[str, Any]], played: Played, asked: Questions) -> None:
    """Each record has a row, each row its records and counts."""
    for row in rows:
        unknown = set(row) - MATCH_KEYS - OUTCOME_KEYS - COUNT_KEYS
        assert not unknown, f"{row}: unknown keys {sorted(unknown)}"
    counts = [Counter[str]() for _ in rows]
    for record in played.flows:
        number = next((index for index, row in enumerate(rows) if belongs(record, row, asked)), None)
        assert number is not None, f"no row expects {record}"
        differences = {
            key: (found, wanted)
            for key, wanted in outcome_of(rows[number]).items()
            if (found := found_outcome(record)[key]) != wanted
        }
        assert not differences, f"{rows[number]}: {differences} in {record}"
        mixed = record.get("mixed", {})
        counts[number].update(
            flows=1,
            original=record["packets"]["original"],
            reply=record["packets"]["reply"],
            allowed=mixed.get("allowed", 0),
            denied=mixed.get("denied", 0),
        )
    for row, count in zip(rows, counts, strict=True):
        found = {"flows": count["flows"], "packets": [count["original"], count["reply"]]}
        wanted = {"flows": row.get("flows", 1), "packets": row["packets"]}
        if row["verdict"] == "mixed":
            found["mixed"], wanted["mixed"] = [count["allowed"], count["denied"]], row["mixed"]
        assert found == wanted, row


def belongs(record: dict[str, Any], row: dict[str, Any], asked: Questions) -> bool:
    """True if the record meets every key of the row that says what it is about."""
    names = asked.get((record["local"]["ip"], record["local"]["port"]), set())
    facts: dict[str, Any] = {
        "program": program(record),
        "image": (record["process"] or {}).get("image"),
        "protocol": record["protocol"],
        "direction": record["direction"],
        "port": service_port(record),
        "icmp_type": record.get("icmp_type"),
        "mode": record["policy"]["mode"],
        "end": record["end"],
    }
    for key in MATCH_KEYS & set(row):
        if key == "service":
            if row[key].lower() not in [name.lower() for name in (record["process"] or {}).get("services") or ()]:
                return False
        elif key == "remote":
            if ipaddress.ip_address(record["remote"]["ip"]) not in ipaddress.ip_network(row[key]):
                return False
        elif key == "asks":
            if service_port(record) != DNS_PORT or not names or not names <= set(row[key]):
                return False
        elif facts[key] not in (row[key] if isinstance(row[key], list) else [row[key]]):
            return False
    return True


def outcome_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of the outcome; what it leaves out is absent or not asked."""
    stated = {key: row[key] for key in OUTCOME_KEYS & set(row)}
    for key, default in (("rules", []), ("essential", None), ("evidence", None)):
        stated.setdefault(key, default)
    return stated


def found_outcome(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "verdict": record["verdict"],
        "reason": record["reason"],
        "rules": record["rules"],
        "essential": record.get("service"),
        "evidence": record.get("evidence"),
        "near_misses": [f"{miss['rule']}: {miss['condition']} {miss['state']}" for miss in record["near_misses"]],
        "attempted": record.get("attempted"),
        "basis": record["direction_basis"],
        "names": record["remote"]["names"],
    }


def everything_is_counted(expected: dict[str, Any], played: Played, directory: Path) -> None:
    """The sums add up: rows, packets without a flow, summary, and what the generator put on the wire."""
    assert disagreements(played.summary) == []
    generated = scenario(source(directory))
    assert played.summary["packets"]["total"] == len(generated.packets)
    by_reason = Counter(expected.get("without_flow", {}))
    for row in expected["flows"]:
        if row["verdict"] == "mixed":
            allowed, denied = row["mixed"]
            by_reason["essential"] += allowed
            by_reason[deny_reason(played)] += denied
        else:
            by_reason[row["reason"]] += sum(row["packets"])
    found = {name: row["packets"] for name, row in played.summary["reasons"].items() if row["packets"]}
    assert found == dict(by_reason)
    recorded = packets_in_records(played.flows)
    on_the_wire = packets_on_the_wire(generated)
    assert {ends: recorded[ends] for ends in on_the_wire if ends in recorded} == {
        ends: packets for ends, packets in on_the_wire.items() if ends in recorded
    }
    lost = sum(packets for ends, packets in on_the_wire.items() if ends not in recorded)
    assert lost <= sum(expected.get("without_flow", {}).values()), "packets of a conversation that has no record"


def deny_reason(played: Played) -> str:
    return "full_isolation" if played.summary["policy"]["mode"] == "full" else "no_matching_exclusion"


def rules_hold(expected: dict[str, Any], played: Played) -> None:
    """Every rule with its status, and what it let through: as expected, and as the records have it."""
    flows, packets = Counter[str](), Counter[str]()
    for record in played.flows:
        for name in record["rules"]:
            flows[name] += 1
            packets[name] += sum(record["packets"].values())
    found = {row["name"]: row for row in played.summary["rules"] if row["packets"] or row["name"] in expected}
    assert sorted(found) == sorted(expected)
    for name, wanted in expected.items():
        row = found[name]
        assert (row["flows"], row["packets"]) == (flows[name], packets[name]), name
        if isinstance(wanted, str):  # ignored, and why
            assert (row["status"], row["packets"]) == ("ignored", 0)
            assert wanted in row["ignored_because"]
        else:
            assert (row["status"], [row["flows"], row["packets"]]) == ("active", wanted), name


@pytest.mark.slow
@pytest.mark.parametrize("directory", PARAMETERS)
def test_a_scenario_gives_the_same_bytes_every_time(directory: Path, tmp_path: Path) -> None:
    """The hash of the flow table is seeded per run; nothing of that may show."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        play(directory, folder)
    for name in ("out.jsonl", "out.json"):
        outputs = [folder / name for folder in (first, second)]
        if any(path.exists() for path in outputs):
            contents = [path.read_bytes().replace(str(path.parent).encode(), b"") for path in outputs]
            assert contents[0] == contents[1]


def test_every_scenario_says_what_it_is_about() -> None:
    assert len(DIRECTORIES) >= 20
    for directory in DIRECTORIES:
        assert read(directory / "run.yaml", RUN_KEYS)["about"], directory.name
        assert (directory / "expected.yaml").exists(), directory.name


def test_every_event_of_a_flow_has_its_times_in_order(tmp_path: Path) -> None:
    """One decision, a reverdict for each change of policy, and a record for each: none ends before it begins."""
    directory = HERE / "office-selective-isolated-and-released"
    options = [str(word) for word in read(directory / "run.yaml", RUN_KEYS)["options"]]
    rules = str(HERE / "office-selective" / "rules.yaml")
    generated = scenario("office-laptop-under-attack")
    played = replay(tmp_path, generated, *options, "--rules", rules, "--events", "all")
    kinds = Counter(record["event_type"] for record in played.others)
    authorisations = Counter(record["authorisation"] for record in played.flows)
    assert kinds == {
        "decision": authorisations[1],
        "reverdict": authorisations[2] + authorisations[3],
        "isolation": 2,
    }
    assert authorisations[1] == played.summary["flows"]["total"]
    for record in [*played.flows, *played.others]:
        if record["event_type"] != "isolation":
            assert record["timestamp"] == record["first_seen"] <= record["last_seen"]
    answers = [record for record in played.others if record["event_type"] == "isolation"]
    assert [(record["action"], record["status"], record["policy"]["mode"]) for record in answers] == [
        ("isolate", "succeeded", "selective"),
        ("release", "succeeded", "none"),
    ]
    assert [record["timestamp"] for record in answers] == ["2026-01-05T09:03:20.000000Z", "2026-01-05T09:06:40.000000Z"]
    assert [rule["name"] for rule in answers[0]["rules"]] == [
        "Remote support",
        "Forensic collector",
        "Help desk",
        "Responders' share",
    ]
