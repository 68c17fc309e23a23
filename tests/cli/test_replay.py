"""`replay` from the outside: options, outputs, exit codes, and no half-written file whatever goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.capture.reader import open_capture
from agent.cli import main
from agent.sinks.summary import disagreements
from tests.cli.samples import LOCAL, ROOT, RULES, SYN, command, office, pcap, tcp


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a capture of three connections, rules of which one allows the second."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "office.pcap").write_bytes(office())
    (tmp_path / "rules.yaml").write_text(RULES, "utf-8")
    return tmp_path


def replay(*arguments: str) -> int:
    return main.run(["replay", "office.pcap", "--local", LOCAL, *arguments])


def summary_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    replay(*arguments, "--summary-json", "-")
    summary: dict[str, Any] = json.loads(capsys.readouterr().out)
    return summary


SELECTIVE = ("--mode", "selective", "--rules", "rules.yaml")


def test_the_summary_follows_its_schema_and_adds_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads((ROOT / "policies" / "summary.schema.json").read_text("utf-8"))
    for mode in ("none", "full", "selective"):
        summary = summary_of(capsys, "--mode", mode)
        jsonschema.Draft202012Validator(schema).validate(summary)
        assert disagreements(summary) == []
        assert summary["packets"]["total"] == 6


@pytest.mark.parametrize(
    ("arguments", "denied", "allowed"),
    [
        pytest.param(["--mode", "none"], 0, 3, id="none"),
        pytest.param([], 3, 0, id="full-by-default"),
        pytest.param([*SELECTIVE], 2, 1, id="selective"),
        pytest.param([*SELECTIVE, "--no-exclusions"], 3, 0, id="without-the-box"),
        pytest.param([*SELECTIVE, "--exclusions", "off"], 3, 0, id="feature-off"),
        pytest.param(["--isolate-at", "2"], 2, 1, id="isolated-later"),
        pytest.param(["--isolate-at", "2026-01-05T09:00:02Z"], 2, 1, id="isolated-at-a-time"),
        pytest.param(["--release-at", "4"], 2, 1, id="released"),
    ],
)
def test_modes_and_moments(
    arguments: list[str], denied: int, allowed: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flows = summary_of(capsys, *arguments)["flows"]
    assert (flows["denied"], flows["allowed"]) == (denied, allowed)


def test_people_read_what_programs_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every number of the tables is the JSON's; the rate goes to standard error, since it changes from run to run."""
    summary = summary_of(capsys, *SELECTIVE)
    assert replay(*SELECTIVE) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Selective isolation of assumed device (Windows11), replayed over office.pcap\n")
    assert "Local addresses: 10.0.0.5 (given by --local)" in captured.out
    assert "6 packets: 2 allowed, 4 denied, 0 ignored, 0 link. 3 flows: 1 allowed, 2 denied, 0 mixed." in captured.out
    for row in summary["outcomes"]:
        assert re.search(rf"{row['bucket']} +{row['reason']} +{row['packets']} ", captured.out)
    for rule in summary["rules"]:
        assert re.search(rf"{rule['name']} +{rule['status']} +{rule['packets']} ", captured.out)
    assert all(warning["text"] in captured.out for warning in summary["warnings"])
    assert all(row["remote"] in captured.out for row in summary["top_denied"])
    assert "(not attributed)" in captured.out
    assert re.fullmatch(r"(compiled|interpreted) engine: 6 packets in [0-9.]+ s \([0-9,]+ packets/s\)\n", captured.err)


def test_an_ignored_rule_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "device.yaml").write_text(
        "version: 1\nid: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07\nname: lab\nplatform: Windows11\nexecutables: []\n",
        "utf-8",
    )
    assert replay(*SELECTIVE, "--device", "device.yaml") == 0
    out = capsys.readouterr().out
    assert re.search(r"Remote support +ignored +0 .* does not exist", out)
    assert "of lab (Windows11)" in out


def test_the_summary_file_is_the_same_every_time(folder: Path) -> None:
    """No clock, no engine, no path of ours in it."""
    for name in ("one.json", "two.json"):
        assert replay(*SELECTIVE, "--summary-json", name) == 0
    assert (folder / "one.json").read_bytes() == (folder / "two.json").read_bytes()
    assert "timing" not in json.loads((folder / "one.json").read_text("utf-8"))


def test_timing_is_written_when_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timing = summary_of(capsys, "--summary-timing")["timing"]
    assert timing["engine"] in ("compiled", "interpreted")
    assert timing["elapsed_seconds"] > 0


def test_decision_records_follow_their_schema(folder: Path) -> None:
    schema = json.loads((ROOT / "policies" / "decision.schema.json").read_text("utf-8"))
    assert replay(*SELECTIVE, "--decisions", "out.jsonl", "--events", "all", "--release-at", "3") == 0
    records = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    for record in records:
        jsonschema.Draft202012Validator(schema).validate(record)
    assert {record["event_type"] for record in records} >= {"flow", "decision", "isolation"}


def test_by_default_only_flows_are_recorded(folder: Path) -> None:
    assert replay(*SELECTIVE, "--decisions", "out.jsonl") == 0
    records = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(record["event_type"], record["flow_id"], record["verdict"]) for record in records] == [
        ("flow", 1, "deny"),
        ("flow", 2, "allow"),
        ("flow", 3, "deny"),
    ]
    assert records[1]["rules"] == ["Web"]
    assert records[0]["near_misses"] == [
        {"rule": "Remote support", "condition": "process_path", "state": "unknown"},
        {"rule": "Web", "condition": "remote_ips", "state": "not_met"},
    ]


def test_packets_are_split_by_verdict_with_the_reason(folder: Path) -> None:
    assert replay(*SELECTIVE, "--allowed", "allowed.pcapng", "--denied", "denied.pcapng") == 0
    counts = {}
    for name in ("allowed", "denied"):
        reader = open_capture(str(folder / f"{name}.pcapng"))
        counts[name] = 0
        while (batch := reader.next_batch()) is not None:
            counts[name] += batch.count
        reader.close()
    assert counts == {"allowed": 2, "denied": 4}
    assert b'verdict=allow reason=exclusion flow=2 rules=["Web"]' in (folder / "allowed.pcapng").read_bytes()
    assert b"verdict=deny reason=no_matching_exclusion flow=1 rules=[]" in (folder / "denied.pcapng").read_bytes()


def test_a_comparison_shows_what_changes_with_witnesses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.yaml").write_text(RULES.replace("198.51.100.7", "192.0.2.1"), "utf-8")
    comparison = summary_of(capsys, *SELECTIVE, "--compare", "other.yaml")["comparison"]
    assert comparison["changed_flows"] == 2
    assert [
        (change["before"]["verdict"], change["after"]["verdict"], change["witnesses"][0]["remote"])
        for change in comparison["changes"]
    ] == [("deny", "allow", "192.0.2.1:443"), ("allow", "deny", "198.51.100.7:443")]
    assert replay(*SELECTIVE, "--compare", "other.yaml") == 0
    out = capsys.readouterr().out
    assert "Under other.yaml instead: 2 flows change their verdict" in out
    assert re.search(r"2 +tcp +outbound +198\.51\.100\.7:443 +\(not attributed\) +allow by Web +deny", out)
    assert replay(*SELECTIVE, "--compare", "rules.yaml") == 0
    assert "Under rules.yaml nothing changes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param([], 1, id="denied"),
        pytest.param(["--mode", "none"], 0, id="allowed"),
        pytest.param(["--limit", "0"], 0, id="nothing-judged"),
    ],
)
def test_fail_on_deny_answers_with_the_exit_code(
    arguments: list[str], code: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay("--fail-on-deny", *arguments) == code
    assert "packets: " in capsys.readouterr().out


def test_captures_can_be_cut_in_time_and_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert summary_of(capsys, "--limit", "2")["packets"]["total"] == 2
    assert summary_of(capsys, "--from", "4")["packets"]["total"] == 2
    assert summary_of(capsys, "--from", "1", "--to", "2026-01-05T09:00:03Z")["packets"]["total"] == 3


def test_several_captures_are_one_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "more.pcap").write_bytes(pcap([tcp(LOCAL, "192.0.2.77", 51000, 80, SYN)]))
    summary = summary_of(capsys, "more.pcap")
    assert [capture["packets"] for capture in summary["captures"]] == [6, 1]
    assert summary["flows"]["total"] == 4


def test_standard_input_is_a_capture(folder: Path) -> None:
    done = command("replay", "-", "--local", LOCAL, "--summary-json", "-", cwd=folder, stdin=office())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["packets"]["total"] == 6


@pytest.mark.parametrize("frames", [pytest.param(1, id="one-frame-short"), pytest.param(60, id="in-a-header")])
def test_a_capture_that_ends_early_is_judged_with_a_warning(
    frames: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = office()
    (folder / "office.pcap").write_bytes(data[: len(data) - frames])
    summary = summary_of(capsys)
    assert summary["captures"][0]["truncated_tail"] is True
    assert summary["packets"]["total"] == 5
    assert "truncated_tail" in [warning["code"] for warning in summary["warnings"]]
    assert replay() == 0


BAD_INPUT = [
    pytest.param({"office.pcap": b""}, [], "office.pcap", id="empty"),
    pytest.param({"office.pcap": b"this is no capture at all"}, [], "office.pcap", id="no-capture"),
    pytest.param({"office.pcap": None}, [], "office.pcap", id="absent"),
    pytest.param({"office.pcap": gzip.compress(b"")}, [], "office.pcap", id="empty-gzip"),
    pytest.param({"rules.yaml": b"version: 2\n"}, [*SELECTIVE], "rules.yaml: version", id="rules-version"),
    pytest.param({"rules.yaml": b"version: 1\nrule: []\n"}, [*SELECTIVE], "rules.yaml", id="rules-key"),
    pytest.param({"d.yaml": b"version: 1\nplatform: Beos\n"}, ["--device", "d.yaml"], "d.yaml: platform", id="device"),
    pytest.param({"s.jsonl": b"{}\n"}, ["--attribution", "s.jsonl"], "s.jsonl", id="attribution"),
    pytest.param({}, ["--names", "absent.yaml"], "absent.yaml", id="no-names"),
    pytest.param({}, ["--local", "10.0.0.0/8/8"], "--local 10.0.0.0/8/8", id="local"),
    pytest.param({}, ["--isolate-at", "soon"], "--isolate-at: 'soon'", id="when"),
    pytest.param({}, ["--mode", "none", "--isolate-at", "5"], "--isolate-at", id="when-without-mode"),
    pytest.param({}, ["--speed", "0x"], "--speed: '0x'", id="speed"),
    pytest.param({}, ["--simulate", "disk=1"], "--simulate disk: no such fault", id="fault"),
    pytest.param({}, ["--decisions", "out.csv"], "--decisions out.csv: the name must end in", id="suffix"),
    pytest.param({}, ["--events", "none"], "--events none", id="events"),
    pytest.param({}, ["--allowed", "office.pcap"], "office.pcap is used already", id="over-the-capture"),
    pytest.param({}, [*SELECTIVE, "--allowed", "rules.yaml"], "rules.yaml is used already", id="over-the-rules"),
    pytest.param({}, [".", "--allowed", "rules.yaml"], "--allowed rules.yaml: . is used", id="into-the-folder"),
    pytest.param({}, ["--allowed", "a", "--denied", "./a"], "--denied ./a: a is used already", id="twice"),
    pytest.param({}, ["--summary-json", "."], "--summary-json .: is a directory", id="directory"),
    pytest.param({}, ["-", "-"], "-: standard input can be read once only", id="stdin-twice"),
]


@pytest.mark.parametrize(("files", "arguments", "line"), BAD_INPUT)
def test_bad_input_is_one_line_exit_2_and_leaves_no_output(
    files: dict[str, bytes | None],
    arguments: list[str],
    line: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in files.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    outputs = [] if {"--decisions", "--summary-json", "--allowed"} & set(arguments) else ["--decisions", "new.jsonl"]
    assert replay(*arguments, *outputs) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("isolation-agent: error: ")
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before


OUTPUTS = [("--decisions", "out.jsonl"), ("--decisions", "out.jsonl.zst"), ("--decisions", "out.parquet")]
OUTPUTS += [("--allowed", "out.pcapng"), ("--denied", "out.pcapng"), ("--summary-json", "out.json")]


@pytest.mark.parametrize(("option", "name"), OUTPUTS, ids=[f"{option}-{name}" for option, name in OUTPUTS])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_exits_3_naming_the_file_and_leaves_nothing_half_written(
    option: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other output, which could be written, is not left behind half."""
    (folder / name).symlink_to("/dev/full")
    assert replay(option, name) == 3
    captured = capsys.readouterr()
    assert captured.err.startswith(f"isolation-agent: error: {name}: cannot write: No space left on device")
    assert captured.err.count("\n") == 1
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(["office.pcap", "rules.yaml", name])
    assert not os.path.exists("/dev/full.partial")


@pytest.mark.parametrize(("option", "name"), OUTPUTS, ids=[f"{option}-{name}" for option, name in OUTPUTS])
def test_a_folder_that_cannot_be_written_exits_3(
    option: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"absent/{name}"
    assert replay(option, path) == 3
    assert capsys.readouterr().err.startswith(f"isolation-agent: error: {path}: cannot write: No such file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_one_failing_output_leaves_no_other_half_written(folder: Path) -> None:
    """Nor a summary, which would say that the run was done."""
    (folder / "denied.pcapng").symlink_to("/dev/full")
    assert replay("--decisions", "out.jsonl", "--denied", "denied.pcapng", "--summary-json", "s.json") == 3
    assert "s.json" not in [entry.name for entry in folder.iterdir()]
    assert not [entry.name for entry in folder.iterdir() if entry.name.endswith(".partial")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_an_interrupted_run_leaves_valid_files_of_what_was_judged(folder: Path) -> None:
    """The capture is a pipe, whose opening tells that the run is under way; its packets lie an hour apart."""
    os.mkfifo(folder / "slow.pcap")
    frames = [tcp(LOCAL, "192.0.2.1", 50000 + number, 443, SYN) for number in range(3)]
    arguments = ["replay", "slow.pcap", "--local", LOCAL, "--speed", "real", "--decisions", "out.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", *arguments, "--summary-json", "out.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        with open(folder / "slow.pcap", "wb") as pipe:
            pipe.write(pcap(frames, seconds=3600))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert b"interrupted" in out
    summary = json.loads((folder / "out.json").read_text("utf-8"))
    assert summary["interrupted"] is True
    assert disagreements(summary) == []
    records = (folder / "out.jsonl").read_text("utf-8").splitlines()
    assert len(records) == summary["flows"]["total"] < 3


def test_compiled_and_interpreted_runs_give_the_same_bytes(folder: Path, interpreted_tree: Path) -> None:
    arguments = ["replay", "office.pcap", "--local", LOCAL, *SELECTIVE, "--events", "all"]
    for name, variables in (("one", {}), ("two", {"PYTHONPATH": str(interpreted_tree)})):
        done = command(
            *arguments, "--decisions", f"{name}.jsonl", "--summary-json", f"{name}.json", cwd=folder, **variables
        )
        assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"interpreted engine")
    assert (folder / "one.jsonl").read_bytes() == (folder / "two.jsonl").read_bytes()
    assert (folder / "one.json").read_bytes() == (folder / "two.json").read_bytes()


def test_a_settings_switch_changes_the_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (*SELECTIVE, "--set", "direction.trust_guesses=off", "--set", "loopback=off")
    assert summary_of(capsys, *arguments)["packets"]["total"] == 6
    assert replay("--set", "loopback=maybe") == 2
    assert "neither on nor off" in capsys.readouterr().err
