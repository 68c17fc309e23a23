"""--compare: the same packets under two policies, what changes, and flows that witness it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.errors import PolicyError
from agent.model.vocabulary import Mode, Verdict
from agent.replay.compare import Comparison
from agent.sinks.summary import PolicyRow
from tests.sinks.builders import make_event
from tests.support import frames as f
from tests.support.captures import Outcome, after, pcap, replay, rules_file, sockets_file

US, ONE, TWO, OTHER = "10.0.0.5", "203.0.113.1", "203.0.113.2", "198.51.100.7"


def syn(number: int, remote: str) -> bytes:
    return f.tcp_frame(f"{US}:{50000 + number}", f"{remote}:443", flags=f.SYN)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Six flows to ONE, five to TWO, two elsewhere; two packets each."""
    remotes = [ONE] * 6 + [TWO] * 5 + [OTHER] * 2
    packets = [(float(number), syn(number, remote)) for number, remote in enumerate(remotes)]
    packets += [(20.0 + number, syn(number, remote)) for number, remote in enumerate(remotes)]
    return pcap(tmp_path / "some.pcap", packets)


def compared(tmp_path: Path, capture: Path, **options: Any) -> Outcome:
    before = rules_file(tmp_path / "before.json", {"name": "one", "remote_ips": [ONE]})
    after_ = rules_file(tmp_path / "after.json", {"name": "two", "remote_ips": [TWO]})
    return replay(tmp_path, capture, mode=Mode.SELECTIVE, rules=before, compare=after_, **options)


def test_flows_whose_verdict_changes_are_grouped_with_witnesses(tmp_path: Path, capture: Path) -> None:
    comparison = compared(tmp_path, capture).result.comparison
    assert comparison is not None
    assert (comparison["changed_flows"], comparison["changed_packets"]) == (11, 22)
    rows = [
        (row["before"]["reason"], row["after"]["reason"], row["flows"], row["packets"], len(row["witnesses"]))
        for row in comparison["changes"]
    ]
    assert rows == [("no_matching_exclusion", "exclusion", 5, 10, 3), ("exclusion", "no_matching_exclusion", 6, 12, 3)]
    lost = comparison["changes"][1]["witnesses"]
    assert [witness["flow_id"] for witness in lost] == [1, 2, 3]
    assert lost[0] == {
        "flow_id": 1, "protocol": "tcp", "direction": "outbound", "local": f"{US}:50000", "remote": f"{ONE}:443",
        "names": [], "image": None, "rules_before": ["one"], "rules_after": [],
    }  # fmt: skip
    assert Path(comparison["before"]["rules"]).name == "before.json"
    assert Path(comparison["after"]["rules"]).name == "after.json"
    assert comparison["before"]["digest"] != comparison["after"]["digest"]


def test_the_records_and_the_summary_are_those_of_the_first_policy(tmp_path: Path, capture: Path) -> None:
    outcome = compared(tmp_path, capture)
    alone = replay(tmp_path, capture, mode=Mode.SELECTIVE, rules=tmp_path / "before.json")
    assert outcome.records == alone.records
    assert outcome.summary == alone.summary


def test_equal_rules_change_nothing(tmp_path: Path, capture: Path) -> None:
    rules = rules_file(tmp_path / "same.json", {"name": "one", "remote_ips": [ONE]})
    comparison = replay(tmp_path, capture, mode=Mode.SELECTIVE, rules=rules, compare=rules).result.comparison
    assert comparison is not None
    assert (comparison["changed_flows"], comparison["changes"]) == (0, [])


def test_flows_that_were_cut_are_compared_by_their_last_verdict(tmp_path: Path, capture: Path) -> None:
    comparison = compared(tmp_path, capture, isolate_at=after(15)).result.comparison
    assert comparison is not None
    assert [(row["flows"], row["packets"]) for row in comparison["changes"]] == [(5, 10), (6, 12)]


def test_after_a_release_nothing_differs_for_new_flows(tmp_path: Path, capture: Path) -> None:
    comparison = compared(tmp_path, capture, release_at=after(3)).result.comparison
    assert comparison is not None
    assert comparison["changes"] == []  # every flow's second packet found the device released


def test_forced_failures_hit_both_policies_alike(tmp_path: Path, capture: Path) -> None:
    outcome = compared(tmp_path, capture, simulate={"flow_table_full": 3})
    assert outcome.result.comparison is not None
    assert [row["flows"] for row in outcome.result.comparison["changes"]] == [3]
    tool = {"name": "tool", "process_path": "C:\\tool.exe"}
    rules = rules_file(tmp_path / "tool.json", tool)
    sockets = sockets_file(
        tmp_path / "s.jsonl",
        {"local": f"{US}:0", "image": "C:\\tool.exe"},
        *({"local": f"{US}:{50000 + number}", "image": "C:\\tool.exe"} for number in range(13)),
    )
    options = {"mode": Mode.SELECTIVE, "rules": rules, "compare": rules, "attribution": (sockets,)}
    outcome = replay(tmp_path, capture, simulate={"attribution_failed": 5}, **options)
    assert outcome.result.comparison is not None
    assert outcome.result.comparison["changes"] == []
    assert outcome.summary["flows"]["allowed"] == 5


def test_flows_that_are_not_the_same_in_both_are_left_out() -> None:
    """A flow table that overflows on one side only gives the next flow another id there."""
    row = PolicyRow(mode=Mode.SELECTIVE, generation=2, digest="sha256:" + "0" * 64)
    for remote, changes in ((ONE, 1), (TWO, 0)):
        comparison = Comparison()
        first = make_event(flow_id=1, remote=parse_address(ONE), verdict=Verdict.ALLOW)
        comparison.before.flow(first)
        second = make_event(flow_id=1, remote=parse_address(remote), verdict=Verdict.DENY)
        comparison.after.flow(second)
        comparison.after.flow(make_event(flow_id=2, verdict=Verdict.DENY))
        assert len(comparison.result((None, row), (None, row))["changes"]) == changes


def test_without_the_option_there_is_no_comparison(tmp_path: Path, capture: Path) -> None:
    assert replay(tmp_path, capture).result.comparison is None


def test_wrong_other_rules_leave_no_output(tmp_path: Path, capture: Path) -> None:
    before = rules_file(tmp_path / "before.json", {"name": "one", "remote_ips": [ONE]})
    (tmp_path / "wrong.json").write_text('{"version": 1, "windows_rules": [{}]}')
    names = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(PolicyError, match=r"wrong\.json"):
        replay(tmp_path, capture, mode=Mode.SELECTIVE, rules=before, compare=tmp_path / "wrong.json")
    assert {path.name for path in tmp_path.iterdir()} == names
