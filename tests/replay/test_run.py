"""Whole replays of real files: the same bytes twice, sums that add up, faults by name, what becomes of outputs."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.model.errors import CaptureError, EnvironmentFailure, UsageError
from agent.model.vocabulary import Mode
from agent.replay.options import Progress
from agent.replay.run import engine_kind, run
from agent.sinks.summary import disagreements, dump_json
from tests.support import dns, links
from tests.support import frames as f
from tests.support.captures import after, pcap, pcap_bytes, pcapng, replay, replay_options, rules_file, sockets_file

ROOT = Path(__file__).resolve().parent.parent.parent
US, PEER, ELSEWHERE, RESOLVER = "10.0.0.5", "203.0.113.9", "198.51.100.7", "10.0.0.1"
TOOL = "C:\\Tools\\tool.exe"


def syn(number: int = 0, remote: str = PEER, port: int = 443) -> bytes:
    return f.tcp_frame(f"{US}:{50000 + number}", f"{remote}:{port}", flags=f.SYN, sequence=number)


def day() -> list[tuple[float, bytes]]:
    """A bit of everything, two hours long, times not in order."""
    packets: list[tuple[float, bytes]] = []
    for number in range(60):
        start = number * 120.0
        remote = (PEER, ELSEWHERE, "192.0.2.250")[number % 3]
        packets += [
            (start, syn(number, remote)),
            (start + 0.1, f.tcp_frame(f"{remote}:443", f"{US}:{50000 + number}", flags=f.SYN | f.ACK)),
            (start + 0.05, f.tcp_frame(f"{US}:{50000 + number}", f"{remote}:443", b"x" * number)),
            (start + 0.2, f.udp_frame(f"{US}:{40000 + number}", f"{RESOLVER}:53", dns.question(number, "a.test"))),
            (start + 0.3, f.udp_frame(f"{RESOLVER}:53", f"{US}:{40000 + number}", dns.answer(number, "a.test", []))),
            (start + 1, f.icmp_frame(US, PEER, f.icmp(8, 0, number << 16))),
            (
                start + 2,
                f.ethernet(f.ipv4(US, PEER, f.udp(1, 2, bytes(24), length=60), f.UDP, identifier=number, more=True)),
            ),
            (start + 3, f.ethernet(f.ipv4(US, PEER, bytes(28), f.UDP, identifier=number, offset=32))),
            (start + 4, f.ethernet(b"x" * 46, f.ARP)),
            (start + 5, f.udp_frame("10.0.0.7:5353", "224.0.0.251:5353")),
            (start + 6, f.tcp_frame("10.0.0.8:1", "10.0.0.9:2")),
            (start + 7, f.tcp_frame(f"{US}:{50000 + number}", f"{remote}:443", flags=f.RST)),
            (start + 8, f.ethernet(f.ipv4(US, PEER, f.tcp(1, 2)[:10]))),
        ]
    return packets


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return pcap(tmp_path / "day.pcap", day())


@pytest.fixture
def selective(tmp_path: Path) -> dict[str, Any]:
    rules = rules_file(
        tmp_path / "rules.json",
        {"name": "tool", "process_path": TOOL, "direction": "Outbound"},
        {"name": "net", "remote_ips": ["203.0.113.0/24"], "direction": "Outbound"},
    )
    records = [
        {"local": f"{US}:{50000 + number}", "remote": f"{ELSEWHERE}:443", "image": TOOL, "pid": number}
        for number in range(0, 60, 2)
    ]
    return {"mode": Mode.SELECTIVE, "rules": rules, "attribution": (sockets_file(tmp_path / "s.jsonl", *records),)}


# The same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst"])
def test_a_run_gives_the_same_bytes_twice(
    tmp_path: Path, capture: Path, selective: dict[str, Any], suffix: str
) -> None:
    """The seed of the hash differs between the two, and so may nothing else."""
    seen = []
    for name in ("one", "two"):
        outputs = {
            "decisions": tmp_path / f"{name}{suffix}",
            "allowed": tmp_path / f"{name}-allowed.pcapng",
            "denied": tmp_path / f"{name}-denied.pcapng",
        }
        options = replay_options(
            capture, events="all", isolate_at=after(960.07), release_at=after(4800.07), **selective, **outputs
        )
        result = run(options)
        seen.append([dump_json(result.summary), *(path.read_bytes() for path in outputs.values())])
    assert seen[0] == seen[1]
    assert all(len(data) > 1000 for data in seen[0])


def test_every_record_fits_the_published_schema(tmp_path: Path, capture: Path, selective: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "policies" / "decision.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    outcome = replay(
        tmp_path,
        capture,
        events="all",
        isolate_at=after(960.07),
        release_at=after(4800.07),
        simulate={"flow_table_full": 100, "fragment_table_full": 1, "attribution_failed": 50},
        **selective,
    )
    for record in outcome.records:
        validator.validate(record)
    kinds = {record["event_type"] for record in outcome.records}
    assert kinds == {"flow", "decision", "reverdict", "isolation", "fault"}
    summary = json.loads((ROOT / "policies" / "summary.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(summary).validate(json.loads(dump_json(outcome.summary)))


def test_records_and_summary_tell_the_same_story(tmp_path: Path, capture: Path, selective: dict[str, Any]) -> None:
    outcome = replay(tmp_path, capture, isolate_at=after(960.07), **selective)
    summary, flows = outcome.summary, outcome.flows
    last = {record["flow_id"]: record for record in sorted(flows, key=lambda one: one["authorisation"])}
    assert len(last) == summary["flows"]["total"]
    for verdict, name in (("allow", "allowed"), ("deny", "denied"), ("mixed", "mixed")):
        assert sum(record["verdict"] == verdict for record in last.values()) == summary["flows"][name]
    assert summary["flows"]["cut"] == sum(record["end"] == "cut" for record in flows) > 0
    for row in summary["rules"]:
        mine = [record for record in flows if row["name"] in record["rules"]]
        assert row["packets"] == sum(sum(record["packets"].values()) for record in mine)
        assert row["bytes"] == sum(sum(record["bytes"].values()) for record in mine)
        assert row["flows"] == len({record["flow_id"] for record in mine})
    reasons: dict[str, int] = {}
    for record in flows:
        reasons[record["reason"]] = reasons.get(record["reason"], 0) + sum(record["packets"].values())
    for reason in ("not_isolated", "exclusion", "no_matching_exclusion", "cloud_channel"):
        assert summary["reasons"][reason]["packets"] == reasons.get(reason, 0)
    images = {row["image"]: row for row in summary["processes"]}
    for image, row in images.items():
        mine = [record for record in flows if (record["process"] or {}).get("image") == image]
        allowed = sum(sum(record["packets"].values()) for record in mine if record["verdict"] == "allow")
        denied = sum(sum(record["packets"].values()) for record in mine if record["verdict"] == "deny")
        assert (row["allowed"]["packets"], row["denied"]["packets"]) == (allowed, denied)


def test_a_flow_has_one_record_per_authorisation_in_order(tmp_path: Path, capture: Path) -> None:
    outcome = replay(tmp_path, capture, isolate_at=after(960.07), release_at=after(4800.07))
    seen: dict[int, int] = {}
    for record in outcome.flows:
        assert record["authorisation"] == seen.get(record["flow_id"], 0) + 1
        seen[record["flow_id"]] = record["authorisation"]
    assert max(seen.values()) >= 2
    eof = [record["flow_id"] for record in outcome.flows if record["end"] == "eof"]
    assert eof == sorted(eof)


# Several captures -------------------------------------------------------------------------------------------------


def test_files_form_one_run_with_one_flow_table(tmp_path: Path) -> None:
    first = pcap(tmp_path / "1.pcap", [(0, syn())])
    second = pcap(tmp_path / "2.pcap", [(1, f.tcp_frame(f"{PEER}:443", f"{US}:50000", flags=f.SYN | f.ACK))])
    outcome = replay(tmp_path, first, second)
    [record] = outcome.flows
    assert record["packets"] == {"original": 1, "reply": 1}
    assert [row["packets"] for row in outcome.summary["captures"]] == [1, 1]


def test_the_order_of_arguments_counts_unless_they_are_merged(tmp_path: Path) -> None:
    late = pcap(tmp_path / "late.pcap", [(10, syn(1)), (30, syn(3))])
    early = pcap(tmp_path / "early.pcap", [(0, syn(0)), (20, syn(2))])

    def order(**options: Any) -> list[int]:
        outcome = replay(tmp_path, late, early, **options)
        assert [row["packets"] for row in outcome.summary["captures"]] == [2, 2]
        return [record["local"]["port"] - 50000 for record in outcome.flows]

    assert order() == [1, 3, 0, 2]
    assert order(merge=True) == [0, 1, 2, 3]


def test_merged_captures_isolate_by_the_one_clock(tmp_path: Path) -> None:
    """Not merged, the first capture's last packet isolates everything behind it."""
    late = pcap(tmp_path / "late.pcap", [(0, syn(0)), (30, syn(3))])
    early = pcap(tmp_path / "early.pcap", [(10, syn(1)), (20, syn(2))])
    denied = [
        replay(tmp_path, late, early, isolate_at=after(25), merge=merge).summary["packets"]["denied"]
        for merge in (False, True)
    ]
    assert denied == [3, 1]


def test_a_merged_run_is_the_run_of_one_file(tmp_path: Path) -> None:
    packets = sorted(day(), key=lambda packet: packet[0])
    whole = pcap(tmp_path / "whole.pcap", packets)
    parts = [pcap(tmp_path / f"part{number}.pcap", packets[number::3]) for number in range(3)]
    one = replay(tmp_path, whole)
    three = replay(tmp_path, *parts, merge=True)
    assert three.records == one.records


def test_a_folder_is_its_captures_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    (folder / "b").mkdir(parents=True)
    pcap(folder / "2.pcap", [(0, syn(2))])
    pcap(folder / "1.pcap", [(0, syn(1))])
    pcap(folder / "b" / "3.pcap", [(0, syn(3))])
    pcap(folder / ".hidden.pcap", [(0, syn(4))])
    (folder / "notes.txt").write_text("no capture")
    outcome = replay(tmp_path, folder)
    assert [record["local"]["port"] - 50000 for record in outcome.flows] == [1, 2, 3]
    assert "capture_refused" in outcome.codes()
    refused = [row for row in outcome.summary["captures"] if row["errors"]]
    assert [Path(row["path"]).name for row in refused] == ["notes.txt"]


def test_link_types_may_differ_between_interfaces(tmp_path: Path) -> None:
    cooked = pcap(
        tmp_path / "cooked.pcap", [(1, f.sll(f.ip(PEER, US, f.tcp(443, 50000, flags=f.SYN | f.ACK))))], link=113
    )
    raw = pcap(tmp_path / "raw.pcap", [(0, f.ip(US, PEER, f.tcp(50000, 443, flags=f.SYN)))], link=101)
    outcome = replay(tmp_path, raw, cooked)
    assert [record["packets"] for record in outcome.flows] == [{"original": 1, "reply": 1}]
    assert [row["link_types"] for row in outcome.summary["captures"]] == [["raw"], ["sll"]]


def test_an_unsupported_link_type_is_denied_with_a_warning(tmp_path: Path) -> None:
    """One for the type, whatever the number of files; what else there is to read is read."""
    zigbee = [pcap(tmp_path / f"zigbee{number}.pcap", [(0, bytes(60))] * 2, link=195) for number in range(3)]
    raw = pcap(tmp_path / "raw.pcap", [(0, f.ip(US, PEER, f.tcp(50000, 443, flags=f.SYN)))], link=101)
    outcome = replay(tmp_path, *zigbee, raw)
    assert outcome.summary["reasons"]["undecodable"]["packets"] == 6
    assert outcome.summary["packets"]["denied"] == 7
    assert len(outcome.flows) == 1
    [text] = [row["text"] for row in outcome.summary["warnings"] if row["code"] == "unsupported_link"]
    assert (
        text
        == f"{zigbee[0]} and 2 more: LINKTYPE_IEEE802_15_4_WITHFCS (195) cannot be read: its frames (6) are undecodable"
    )


def test_a_link_type_that_may_be_anything_is_read_where_it_looks_like_pktap(tmp_path: Path) -> None:
    frame = links.pktap(f.ethernet(f.ip(US, PEER, f.tcp(50000, 443, flags=f.SYN))), flags=2)
    path = pcap(tmp_path / "user2.pcap", [(0, frame), (1, b"somebody else's frame")], link=149)
    outcome = replay(tmp_path, path)
    assert [(record["direction"], record["packets"]["original"]) for record in outcome.flows] == [("outbound", 1)]
    assert outcome.summary["reasons"]["undecodable"]["packets"] == 1
    [text] = [row["text"] for row in outcome.summary["warnings"] if row["code"] == "link_type_guessed"]
    assert "LINKTYPE_USER2 (149)" in text
    assert "unsupported_link" not in outcome.codes()


def test_local_addresses_are_told_by_what_a_link_header_says_of_the_way(tmp_path: Path) -> None:
    """Of a log of netfilter, whose hooks are the only evidence."""
    packets = [(0, links.nflog(f.ip(US, PEER, f.udp(50000, 9999), f.UDP), hook=3))]
    outcome = replay(tmp_path, pcap(tmp_path / "nflog.pcap", packets, link=239), local=())
    assert (outcome.summary["device"]["local"], outcome.summary["device"]["local_basis"]) == ([US], "outbound_frames")
    assert [record["direction_basis"] for record in outcome.flows] == ["capture_flag"]


def test_frames_that_hide_ip_behind_an_ethertype_are_a_warning(tmp_path: Path) -> None:
    outcome = replay(tmp_path, pcap(tmp_path / "macsec.pcap", [(0, f.ethernet(bytes(60), 0x88E5))]))
    [text] = [row["text"] for row in outcome.summary["warnings"] if row["code"] == "link_frames_carry_traffic"]
    assert "MACsec" in text


# Bad input and outputs --------------------------------------------------------------------------------------------


def test_a_capture_that_ends_early_is_judged_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "short.pcap"
    path.write_bytes(pcap_bytes([(0, syn(0)), (1, syn(1))])[:-5])
    outcome = replay(tmp_path, path)
    assert len(outcome.flows) == 1
    assert outcome.summary["captures"][0]["truncated_tail"] is True
    assert "truncated_tail" in outcome.codes()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_second_argument_that_is_no_capture_leaves_no_output(tmp_path: Path) -> None:
    good = pcap(tmp_path / "good.pcap", [(0, syn())])
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"not a capture")
    before = files(tmp_path)
    with pytest.raises(CaptureError, match=r"bad\.pcap"):
        replay(tmp_path, good, bad, allowed=tmp_path / "a.pcapng", denied=tmp_path / "d.pcapng")
    assert files(tmp_path) == before


def test_an_output_that_cannot_be_made_is_named_before_anything_is_judged(tmp_path: Path, capture: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(EnvironmentFailure, match="nowhere"):
        replay(tmp_path, capture, denied=tmp_path / "nowhere" / "d.pcapng")
    assert files(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("events", ["flow", "all"])
def test_a_full_disk_ends_the_run_and_leaves_nothing(tmp_path: Path, capture: Path, events: str) -> None:
    """Also where records are written in the middle of judging a flow: that is no policy error."""
    (tmp_path / "decisions.jsonl").symlink_to("/dev/full")
    with pytest.raises(EnvironmentFailure, match=r"decisions\.jsonl"):
        replay(tmp_path, capture, events=events, isolate_at=after(1000))
    assert not list(tmp_path.glob("*.partial"))


def test_an_unknown_fault_names_the_known_ones(tmp_path: Path, capture: Path) -> None:
    with pytest.raises(UsageError, match="--simulate disk_full: no such fault; known: flow_table_full"):
        replay(tmp_path, capture, simulate={"disk_full": 1})


# Faults -----------------------------------------------------------------------------------------------------------


def test_a_forced_full_flow_table_is_counted_told_and_denied(tmp_path: Path) -> None:
    path = pcap(tmp_path / "some.pcap", [(0, syn(number)) for number in range(10)])
    outcome = replay(tmp_path, path, simulate={"flow_table_full": 4}, events="all")
    assert outcome.summary["reasons"]["flow_table_full"]["packets"] == 6
    assert outcome.summary["flows"]["total"] == 4
    assert [record["name"] for record in outcome.records if record["event_type"] == "fault"] == ["flow_table_full"]
    assert outcome.result.faults[0]["count"] == 6
    assert "flow_table_full" in outcome.codes()


def test_a_full_table_while_free_lets_packets_pass(tmp_path: Path) -> None:
    path = pcap(tmp_path / "some.pcap", [(0, syn(number)) for number in range(10)])
    outcome = replay(tmp_path, path, mode=Mode.NONE, simulate={"flow_table_full": 4})
    assert outcome.summary["packets"]["denied"] == 0


def test_a_forced_failure_of_attribution_is_counted_told_and_widens_nothing(tmp_path: Path) -> None:
    records = [{"local": f"{US}:{50000 + number}", "remote": f"{PEER}:443", "image": TOOL} for number in range(4)]
    path = pcap(tmp_path / "some.pcap", [(0, syn(number)) for number in range(4)])
    outcome = replay(
        tmp_path,
        path,
        mode=Mode.SELECTIVE,
        rules=rules_file(tmp_path / "r.json", {"name": "tool", "process_path": TOOL}),
        attribution=(sockets_file(tmp_path / "s.jsonl", *records),),
        simulate={"attribution_failed": 1},
        events="all",
    )
    assert [record["verdict"] for record in outcome.flows] == ["allow", "deny", "deny", "deny"]
    faults = [record for record in outcome.records if record["event_type"] == "fault"]
    assert [(record["name"], "simulated" in record["text"]) for record in faults] == [("attribution_failed", True)]
    assert [(fault["name"], fault["count"]) for fault in outcome.result.faults] == [("attribution_failed", 3)]
    assert [code for code in outcome.codes() if code == "attribution_failed"] == ["attribution_failed"]


def test_a_forced_full_fragment_table_is_counted_and_told(tmp_path: Path) -> None:
    def piece(number: int, offset: int) -> bytes:
        body = f.udp(1, 2, bytes(24), length=60) if offset == 0 else bytes(28)
        return f.ethernet(f.ipv4(US, PEER, body, f.UDP, identifier=number, offset=offset, more=offset == 0))

    packets = [(0.0, piece(number, 0)) for number in range(3)] + [(1.0, piece(number, 32)) for number in range(3)]
    outcome = replay(tmp_path, pcap(tmp_path / "f.pcap", packets), simulate={"fragment_table_full": 1}, events="all")
    assert outcome.summary["reasons"]["fragment"]["packets"] == 2
    assert [record["name"] for record in outcome.records if record["event_type"] == "fault"] == ["fragment_table_full"]


# Warnings ---------------------------------------------------------------------------------------------------------


def test_foreign_packets_beyond_one_in_twenty_are_a_warning(tmp_path: Path) -> None:
    for foreign, warned in ((1, False), (2, True)):
        packets = [(0.0, syn(number)) for number in range(19)]
        packets += [(0.0, f.tcp_frame("10.0.0.8:1", "10.0.0.9:2"))] * foreign
        outcome = replay(tmp_path, pcap(tmp_path / "some.pcap", packets))
        assert ("many_foreign_packets" in outcome.codes()) is warned


def test_recorded_answers_to_denied_flows_are_counterfactual(tmp_path: Path) -> None:
    answer = f.tcp_frame(f"{PEER}:443", f"{US}:50000", flags=f.SYN | f.ACK)
    outcome = replay(tmp_path, pcap(tmp_path / "some.pcap", [(0, syn()), (1, answer)]))
    assert "counterfactual" in outcome.codes()
    assert outcome.flows[0]["attempted"] == 1
    assert "counterfactual" not in replay(tmp_path, pcap(tmp_path / "other.pcap", [(0, syn())])).codes()


@pytest.mark.parametrize(
    ("last", "cloud_at", "warned"), [(899, None, False), (900, None, True), (1800, 901, False), (1800, 899, True)]
)
def test_a_silent_cloud_channel_is_a_warning_after_its_window(
    tmp_path: Path, last: float, cloud_at: float | None, warned: bool
) -> None:
    packets = [(0.0, syn(1)), (last, syn(2))]
    if cloud_at is not None:
        packets.insert(1, (cloud_at, syn(3, "192.0.2.250")))
    outcome = replay(tmp_path, pcap(tmp_path / "some.pcap", packets))
    assert ("cloud_channel_unreachable" in outcome.codes()) is warned


def test_rules_that_no_source_can_answer_are_a_warning(tmp_path: Path, capture: Path) -> None:
    rules = rules_file(
        tmp_path / "r.json", {"name": "tool", "process_path": TOOL}, {"name": "net", "remote_ips": [PEER]}
    )
    outcome = replay(tmp_path, capture, mode=Mode.SELECTIVE, rules=rules)
    texts = [one["text"] for one in outcome.summary["warnings"] if one["code"] == "rule_not_evaluable"]
    assert texts == ["rule 'tool' asks for the process, which no loaded source can tell"]


# The run itself ---------------------------------------------------------------------------------------------------


def test_progress_is_told_with_bytes_and_packets(tmp_path: Path, capture: Path) -> None:
    told: list[Progress] = []
    result = run(replay_options(capture), told.append)
    assert told[-1].bytes_read == told[-1].bytes_total == capture.stat().st_size
    assert told[-1].packets == result.summary["packets"]["total"]
    assert result.engine == engine_kind()


def test_a_paced_run_gives_the_same_records(tmp_path: Path) -> None:
    path = pcap(tmp_path / "some.pcap", [(number * 0.02, syn(number)) for number in range(5)])
    assert replay(tmp_path, path, speed=10.0).records == replay(tmp_path, path).records


def test_an_interrupt_handler_is_put_back_and_other_threads_have_none(tmp_path: Path) -> None:
    path = pcap(tmp_path / "some.pcap", [(0, syn())])
    before = signal.getsignal(signal.SIGINT)
    replay(tmp_path, path)
    assert signal.getsignal(signal.SIGINT) is before
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(run(replay_options(path))))
    thread.start()
    thread.join()
    assert disagreements(results[0].summary) == []


def test_an_empty_capture_is_a_run_of_nothing(tmp_path: Path) -> None:
    outcome = replay(tmp_path, pcap(tmp_path / "empty.pcap", []))
    assert outcome.records == []
    assert outcome.summary["packets"]["total"] == 0
    assert outcome.summary["captures"][0]["first"] is None


def test_times_at_the_ends_of_the_clock_are_survived(tmp_path: Path) -> None:
    """pcapng can say any of 2^64 nanoseconds."""
    import struct

    path = pcapng(tmp_path / "some.pcapng", [(0.0, syn(1), 0), (1.0, syn(2), 0), (2.0, syn(2), 0)])
    data = bytearray(path.read_bytes())
    stamps = [0, 2**64 - 1, 5]
    at = 0
    for number in range(len(data) - 4):
        if data[number : number + 4] == b"\6\0\0\0" and at < 3:
            struct.pack_into("<II", data, number + 12, stamps[at] >> 32, stamps[at] & 0xFFFFFFFF)
            at += 1
    path.write_bytes(data)
    outcome = replay(tmp_path, path, isolate_at=after(1))
    assert outcome.summary["packets"]["total"] == 3
    assert sum(sum(record["packets"].values()) for record in outcome.flows) == 3
