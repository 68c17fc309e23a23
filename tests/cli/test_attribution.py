"""`attribution` and `sockets`: sources as a report and as records, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.attribution.formats import open_source
from agent.cli import main
from agent.sinks.summary import disagreements

NXLOG = {
    "SourceName": "Microsoft-Windows-Sysmon", "Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 3,
    "Protocol": "tcp", "Initiated": "true", "SourceIsIpv6": "false", "DestinationIsIpv6": "false",
    "User": r"LAB\ann", "RuleName": "-",
}  # fmt: skip


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in laptop's capture with its socket records and device document."""
    folder = tmp_path_factory.mktemp("office")
    names = [str(folder / name) for name in ("o.pcapng", "o.jsonl", "o.yaml")]
    arguments = ["generate", "office-laptop-under-attack", "-o", names[0], "--sockets", names[1], "--device", names[2]]
    assert main.run(arguments) == 0
    return folder


@pytest.fixture
def office(
    generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A folder of its own with those files, and work in it."""
    for file in generated.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main.run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def sysmon_of(sockets: Path, path: Path, *, hours: int = 0, hosts: tuple[str, ...] = ("LAPTOP",)) -> int:
    """The outbound TCP connections of socket records as a Sysmon log whose clock is `hours` ahead; how many."""
    lines = []
    for text in sockets.read_text("utf-8").splitlines():
        row = json.loads(text)
        if row["protocol"] != "tcp" or not row.get("initiated") or row["remote"] is None or "[" in row["local"]:
            continue
        local, remote = row["local"].split(":"), row["remote"].split(":")
        start = row["start"].replace("T", " ").rstrip("Z")[:23]
        moment = f"{start[:11]}{int(start[11:13]) + hours:02d}{start[13:]}"
        lines += [
            json.dumps({
                **NXLOG, "Hostname": host, "UtcTime": moment, "ProcessId": str(row["pid"]), "Image": row["image"],
                "ProcessGuid": f"{{5770385f-c22a-43e0-bf4c-{row['pid']:012d}}}",
                "SourceIp": local[0], "SourcePort": local[1], "DestinationIp": remote[0], "DestinationPort": remote[1],
            })
            for host in hosts
        ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return len(lines) // len(hosts)


def test_a_report_of_a_capture_counts_its_flows_by_source_and_confidence(
    office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = answer(capsys, "attribution", "o.pcapng", "o.jsonl", "--device", "o.yaml")
    found = report["attribution"]
    assert report["flows"] == found["attributed_flows"] + found["unattributed_flows"]
    assert found["by_source"] == {"sockets": found["attributed_flows"]}
    assert sum(found["by_confidence"].values()) == found["attributed_flows"]
    assert found["top_unattributed"][0]["packets"] >= found["top_unattributed"][-1]["packets"] > 0
    assert [row["source"] for row in report["sources"]] == ["sockets"]


def test_the_report_is_a_page_for_people_too(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["attribution", "o.pcapng", "o.jsonl", "--device", "o.yaml"]) == 0
    out = capsys.readouterr().out
    for title in ("Sources, the most believed first", "Top remotes of flows without an owner", "Packets by process"):
        assert title in out


def test_a_report_without_a_capture_says_what_the_sources_hold(
    office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = sysmon_of(office / "o.jsonl", office / "s.jsonl")
    report = answer(capsys, "attribution", "s.jsonl", "o.jsonl")
    assert report["captures"] == []
    assert [(row["source"], row["rank"]) for row in report["sources"]] == [("sockets", "records"), ("sysmon", "log")]
    assert report["sources"][1]["sockets"] == count
    assert report["sources"][1]["host"] == "LAPTOP"


def test_a_log_whose_clock_is_hours_off_attributes_as_one_that_is_right(
    office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody says by how much: the flows that both show do."""
    sysmon_of(office / "o.jsonl", office / "right.jsonl")
    sysmon_of(office / "o.jsonl", office / "late.jsonl", hours=7)
    reports = [
        answer(capsys, "attribution", "o.pcapng", name, "--device", "o.yaml") for name in ("right.jsonl", "late.jsonl")
    ]
    right, late = (report["attribution"] for report in reports)
    assert late["by_source"] == right["by_source"]
    assert right["by_source"]["sysmon"] > 100
    (offset,) = late["clock_offsets"]
    assert offset["applied"]
    assert abs(offset["seconds"] + 7 * 3600) < 5
    assert "clock_offset" in {warning["code"] for warning in reports[1]["warnings"]}


@pytest.mark.parametrize("inputs", [["o.jsonl"], ["late.jsonl", "o.pcapng"]], ids=["records", "log and capture"])
def test_a_replay_answers_alike_with_the_sources_and_with_the_records_made_of_them(
    inputs: list[str], office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records made with the capture at hand are by its clock."""
    sysmon_of(office / "o.jsonl", office / "late.jsonl", hours=7)
    made = answer(capsys, "sockets", *inputs, "-o", "made.jsonl", "--device", "o.yaml")
    assert made["records"] == len((office / "made.jsonl").read_text("utf-8").splitlines()) > 100
    processes = []
    for number, source in enumerate((inputs[0], "made.jsonl")):
        arguments = ["replay", "o.pcapng", "--device", "o.yaml", "--attribution", source, "--mode", "full"]
        assert main.run([*arguments, "--decisions", f"{number}.jsonl", "--summary-json", f"{number}.json"]) == 0
        rows = [json.loads(line) for line in (office / f"{number}.jsonl").read_text("utf-8").splitlines()]
        processes.append([(row["flow_id"], row["verdict"], row["process"] and row["process"]["image"]) for row in rows])
        assert disagreements(json.loads((office / f"{number}.json").read_text("utf-8"))) == []
        capsys.readouterr()
    assert processes[0] == processes[1]


def test_several_hosts_of_a_log_are_not_mixed_into_one(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = sysmon_of(office / "o.jsonl", office / "two.jsonl", hosts=("LAPTOP", "SERVER.lab.test"))
    assert main.run(["sockets", "two.jsonl", "-o", "x.jsonl"]) == 2
    assert "shows 2 hosts (LAPTOP, SERVER.lab.test): give --host NAME" in capsys.readouterr().err
    assert not (office / "x.jsonl").exists()
    assert answer(capsys, "sockets", "two.jsonl", "-o", "x.jsonl", "--host", "server")["records"] == count


def test_an_address_chooses_among_hosts_as_a_name_does(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = sysmon_of(office / "o.jsonl", office / "one.jsonl")
    other = (office / "one.jsonl").read_text("utf-8").replace("LAPTOP", "SERVER").replace("10.20.0.15", "10.20.0.99")
    (office / "two.jsonl").write_text((office / "one.jsonl").read_text("utf-8") + other, "utf-8")
    made = answer(capsys, "sockets", "two.jsonl", "-o", "x.jsonl", "--local", "10.20.0.15")
    assert made["records"] == count
    assert main.run(["sockets", "two.jsonl", "-o", "x.jsonl", "--local", "10.20.0.0/24"]) == 2
    assert "without a capture give addresses, not prefixes" in capsys.readouterr().err


def test_a_file_that_is_mostly_broken_is_refused_unless_lenient(
    office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (office / "o.jsonl").read_text("utf-8").splitlines()[:4]
    (office / "b.jsonl").write_text("\n".join([*good, "{broken", "{broken"]) + "\n", "utf-8")
    assert main.run(["sockets", "b.jsonl", "-o", "x.jsonl"]) == 2
    assert "b.jsonl: line 5: is not JSON" in capsys.readouterr().err
    made = answer(capsys, "sockets", "b.jsonl", "-o", "x.jsonl", "--lenient")
    assert made["records"] == 4
    assert [warning["code"] for warning in made["warnings"]] == ["lines_broken"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sockets", "o.jsonl"], "sockets: give -o OUT.jsonl"),
        (["sockets", "-", "-o", "x.jsonl"], "-: a pipe cannot be read twice"),
        (["sockets", "o.pcapng", "-o", "x.jsonl", "--device", "o.yaml"], "no packet in there names a process"),
        (["attribution", "absent.jsonl"], "absent.jsonl: cannot be read"),
        (["attribution", "o.yaml"], "no known attribution format"),
        (["attribution", "o.jsonl", "--format", "nope"], "is no attribution format; known: sockets, events"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_usage_errors_are_one_line_and_exit_2(
    arguments: list[str], text: str, office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1


def test_a_prefix_tells_whose_log_it_is_as_well_as_an_address(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sysmon_of(office / "o.jsonl", office / "late.jsonl", hours=7)
    found = answer(capsys, "attribution", "o.pcapng", "late.jsonl", "--local", "10.20.0.0/28")
    assert found["attribution"]["clock_offsets"][0]["applied"]
    assert found["attribution"]["by_source"]["sysmon"] > 100


@pytest.mark.parametrize("inputs", [["s.jsonl"], ["s.jsonl", "o.pcapng"]], ids=["log", "log and capture"])
def test_a_host_that_no_log_shows_is_an_error(
    inputs: list[str], office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sysmon_of(office / "o.jsonl", office / "s.jsonl", hosts=("LAPTOP", "SERVER"))
    for command in (["sockets", "-o", "x.jsonl"], ["attribution"]):
        assert main.run([command[0], *inputs, *command[1:], "--host", "nobody"]) == 2
        assert "--host nobody: no log shows it; hosts: LAPTOP, SERVER" in capsys.readouterr().err


def test_an_output_never_replaces_an_input(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (office / "folder" / "inner").mkdir(parents=True)
    (office / "folder" / "inner" / "o.pcapng").write_bytes((office / "o.pcapng").read_bytes())
    (office / "link.jsonl").symlink_to("o.jsonl")
    before = (office / "o.jsonl").read_bytes()
    for inputs, output in (
        (["o.jsonl"], "o.jsonl"),
        (["o.jsonl"], "link.jsonl"),
        (["folder"], "folder/inner/o.pcapng"),
    ):
        assert main.run(["sockets", *inputs, "-o", output, "--device", "o.yaml"]) == 2
        assert "is used already; an output needs a name of its own" in capsys.readouterr().err
    assert (office / "o.jsonl").read_bytes() == before


def test_addresses_that_every_host_has_are_nobodys_after_a_conversion(
    office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who hears a broadcast is a socket at the broadcast address; that must not become an address of the device."""
    heard = {
        **NXLOG, "Hostname": "LAPTOP", "UtcTime": "2026-01-05 09:00:05.000", "ProcessId": "4", "Image": "System",
        "Protocol": "udp", "Initiated": "false", "ProcessGuid": "{5770385f-c22a-43e0-bf4c-000000000004}",
        "SourcePort": "137", "DestinationPort": "137",
    }  # fmt: skip
    sysmon_of(office / "o.jsonl", office / "s.jsonl")
    with (office / "s.jsonl").open("a") as log:
        for group in ("224.0.0.251", "10.20.0.255", "255.255.255.255"):
            log.write(json.dumps({**heard, "SourceIp": group, "DestinationIp": "10.20.0.9"}) + "\n")
    answer(capsys, "sockets", "s.jsonl", "-o", "made.jsonl")
    assert '"local":"10.20.0.255:137"' in (office / "made.jsonl").read_text("utf-8")
    assert [str(address) for address in open_source("made.jsonl").local_addresses()] == ["10.20.0.15"]


def test_a_converted_snapshot_is_believed_no_more_than_a_snapshot(
    office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (office / "ss.txt").write_text(
        "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n"
        'tcp ESTAB 0 0 10.20.0.15:50001 203.0.113.9:443 users:(("curl",pid=7,fd=3))\n'
    )
    answer(capsys, "sockets", "ss.txt", "-o", "made.jsonl")
    (row,) = answer(capsys, "attribution", "made.jsonl")["sources"]
    assert (row["source"], row["rank"], row["complete"]) == ("sockets", "snapshot", False)


def test_reading_a_log_shows_how_far_it_is(office: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Forced, since nobody watches a test: bytes of bytes, and which file."""
    sysmon_of(office / "o.jsonl", office / "s.jsonl")
    assert main.run(["sockets", "s.jsonl", "-o", "x.jsonl", "--progress"]) == 0
    assert "reading s.jsonl" in capsys.readouterr().err
    assert main.run(["sockets", "s.jsonl", "-o", "x.jsonl"]) == 0
    assert capsys.readouterr().err == ""
