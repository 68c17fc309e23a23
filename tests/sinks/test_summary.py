"""The summary: the contract's keys, sums that add up, an order that never changes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.address import Address, parse_address
from agent.model.device import Device
from agent.model.vocabulary import Bucket, Mode, Reason, Verdict
from agent.sinks.summary import (
    AttributionRow,
    CaptureRow,
    PolicyRow,
    ProcessRow,
    RuleRow,
    SummaryInputs,
    Tally,
    bucket,
    build_summary,
    disagreements,
    dump_json,
)

START = 1767603601000123000
PACKET_VERDICTS = st.sampled_from([Verdict.ALLOW, Verdict.DENY])
COUNTS = st.integers(0, 1 << 40)

CONTRACT = ["version", "captures", "packets", "bytes", "flows", "reasons", "rules", "attribution", "direction_guesses"]
CONTRACT += ["warnings", "policy", "processes", "top_denied", "device", "interrupted"]


def inputs(**changes: Any) -> SummaryInputs:
    """A small run: six packets, two flows."""
    values: dict[str, Any] = {
        "captures": [
            CaptureRow(path="a.pcap", packets=6, bytes=600, first=START, last=START + 5, link_types=("ethernet",))
        ],
        "outcomes": {
            (Verdict.DENY, Reason.FULL_ISOLATION): Tally(2, 200),
            (Verdict.ALLOW, Reason.CLOUD_CHANNEL): Tally(1, 100),
            (Verdict.ALLOW, Reason.LINK): Tally(1, 100),
            (Verdict.DENY, Reason.FOREIGN): Tally(1, 100),
            (Verdict.ALLOW, Reason.RELATED): Tally(1, 100),
        },
        "flow_reasons": {(Verdict.DENY, Reason.FULL_ISOLATION): 1, (Verdict.ALLOW, Reason.CLOUD_CHANNEL): 1},
        "attribution": AttributionRow(unattributed_flows=2),
        "policies": [PolicyRow(mode=Mode.FULL, generation=1, digest="sha256:00")],
        "device": Device(assumed=True),
        "local": ("10.0.0.5",),
        "local_basis": "option",
    }
    return SummaryInputs(**{**values, **changes})


def test_every_key_of_the_contract_is_there_in_its_order() -> None:
    assert [key for key in build_summary(inputs()) if key in CONTRACT] == CONTRACT


def test_a_small_run_adds_up() -> None:
    summary = build_summary(inputs())
    assert summary["packets"] == {"total": 6, "allowed": 2, "denied": 2, "ignored": 1, "link": 1}
    assert summary["bytes"]["total"] == 600
    assert summary["flows"] == {"total": 2, "allowed": 1, "denied": 1, "mixed": 0, "cut": 0, "evicted": 0}
    assert summary["reasons"]["full_isolation"] == {"packets": 2, "bytes": 200, "flows": 1}
    assert list(summary["reasons"]) == [reason.label for reason in Reason]
    assert disagreements(summary) == []


def test_a_summary_follows_the_published_schema(root: Path) -> None:
    """Empty and full alike."""
    schema = json.loads((root / "policies" / "summary.schema.json").read_text("utf-8"))
    full = inputs(
        rules=[RuleRow(name="Web", status="ignored", ignored_because="absent")],
        processes=[ProcessRow(image=None)],
        denied_remotes=[(Address(6, 1), 1, 2)],
        warnings=[("code", "text")],
        policies=[PolicyRow(mode=Mode.FULL, generation=1, digest="sha256:" + "0" * 64, at=START)],
        link_frames={0x0806: 3},
        attribution=AttributionRow(
            sources=("sysmon",),
            attributed_flows=2,
            by_source={"sysmon": 2},
            by_confidence={"medium": 2},
            unattributed_remotes=[(Address(4, 1), 1, 2)],
            misses={"gone": 1},
            clock_offsets=[("sysmon", "WS5", -18_000_250_000_000, 7, True)],
        ),
    )
    empty = SummaryInputs(captures=[], outcomes={}, flow_reasons={})
    for values in (full, empty):
        jsonschema.Draft202012Validator(schema).validate(build_summary(values))


def test_frames_that_are_not_ip_can_be_denied() -> None:
    """With link.other=deny they leave their own bucket."""
    assert bucket(Verdict.ALLOW, Reason.LINK) is Bucket.LINK
    assert bucket(Verdict.DENY, Reason.LINK) is Bucket.DENIED
    assert bucket(Verdict.ALLOW, Reason.FOREIGN) is Bucket.IGNORED


@given(
    outcomes=st.dictionaries(
        st.tuples(PACKET_VERDICTS, st.sampled_from(Reason)), st.builds(Tally, COUNTS, COUNTS), max_size=20
    ),
    flows=st.dictionaries(st.tuples(st.sampled_from(Verdict), st.sampled_from(Reason)), COUNTS, max_size=20),
)
def test_any_counts_add_up(
    outcomes: dict[tuple[Verdict, Reason], Tally], flows: dict[tuple[Verdict, Reason], int]
) -> None:
    """Each packet is in one bucket and has one reason, whatever was counted."""
    capture = CaptureRow(
        path="x",
        packets=sum(tally.packets for tally in outcomes.values()),
        bytes=sum(tally.bytes for tally in outcomes.values()),
    )
    summary = build_summary(
        inputs(
            captures=[capture],
            outcomes=outcomes,
            flow_reasons=flows,
            attribution=AttributionRow(unattributed_flows=sum(flows.values())),
        )
    )
    assert disagreements(summary) == []


def test_a_wrong_sum_is_named() -> None:
    """The validator is what other tests lean on: it must see each kind of error."""
    summary = build_summary(inputs())
    summary["packets"]["denied"] += 1
    summary["flows"]["cut"] = 5
    summary["captures"][0]["packets"] = 7
    found = " ".join(disagreements(summary))
    assert "packets by bucket" in found
    assert "denied packets by outcome" in found
    assert "packets of the captures" in found
    assert "cut flows" in found


def test_the_order_of_counting_does_not_show() -> None:
    """Equal counts give equal bytes, in whichever order they were made."""
    remotes = [(Address(4, value), value % 5, value % 7) for value in range(40)]
    processes = [ProcessRow(image=f"C:\\{name}.exe", denied=Tally(3, 30)) for name in "dbcaez"]
    processes.append(ProcessRow(image=None, allowed=Tally(9, 90)))

    def dumped(seed: int) -> bytes:
        dice = random.Random(seed)
        outcomes = list(inputs().outcomes.items())
        for rows in (remotes, processes, outcomes):
            dice.shuffle(rows)  # type: ignore[arg-type]  # three lists of different things
        return dump_json(
            build_summary(inputs(outcomes=dict(outcomes), denied_remotes=list(remotes), processes=list(processes)))
        )

    assert len({dumped(seed) for seed in range(10)}) == 1


def test_the_busiest_denied_remotes_stand_first() -> None:
    rows = [(parse_address(f"203.0.113.{number}"), number, 10) for number in range(1, 15)]
    top = build_summary(inputs(denied_remotes=rows))["top_denied"]
    assert len(top) == 10
    assert top[0] == {"remote": "203.0.113.14", "packets": 14, "bytes": 10}


def test_the_policy_shown_is_the_isolation_and_not_the_release_after_it() -> None:
    """none, then Selective, then released: the run was about Selective, and the changes say when."""
    rows = [
        PolicyRow(mode=Mode.NONE, generation=1, digest="sha256:00"),
        PolicyRow(mode=Mode.SELECTIVE, generation=2, digest="sha256:11", at=START),
        PolicyRow(mode=Mode.NONE, generation=3, digest="sha256:00", at=START + 10**9),
    ]
    summary = build_summary(inputs(policies=rows))
    assert summary["policy"] == {"mode": "selective", "generation": 2, "digest": "sha256:11"}
    assert summary["policy_changes"] == [
        {"at": None, "mode": "none", "generation": 1},
        {"at": "2026-01-05T09:00:01.000123Z", "mode": "selective", "generation": 2},
        {"at": "2026-01-05T09:00:02.000123Z", "mode": "none", "generation": 3},
    ]


def test_what_was_replaced_before_the_first_packet_is_no_change() -> None:
    """An agent starts released and is isolated at once: no packet ever met the first policy."""
    rows = [
        PolicyRow(mode=Mode.NONE, generation=1, digest="sha256:00"),
        PolicyRow(mode=Mode.FULL, generation=2, digest="sha256:11"),
    ]
    summary = build_summary(inputs(policies=rows))
    assert summary["policy"]["generation"] == 2
    assert summary["policy_changes"] == []


def test_warnings_are_said_once_and_in_order() -> None:
    summary = build_summary(inputs(warnings=[("b", "two"), ("a", "one"), ("b", "two")]))
    assert [warning["code"] for warning in summary["warnings"]] == ["b", "a"]


def test_names_that_are_no_unicode_can_be_written() -> None:
    """A file name may hold any byte; Python gives it as half a surrogate pair."""
    summary = build_summary(
        inputs(captures=[CaptureRow(path="caf\udce9.pcap", packets=6, bytes=600)], rules=[RuleRow(name="\ud800")])
    )
    assert json.loads(dump_json(summary))["captures"][0]["path"] == "caf\ufffd.pcap"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"a": [], "b": {}, "c": None, "d": [True, False, 0, -1, (1 << 64) - 1]}, id="plain"),
        pytest.param({"text": 'é\u2028\x00\x1f\x7f"\\/\n\t\b\f\r', "nested": [{"x": [1, {"y": "z"}]}]}, id="text"),
        pytest.param({"wide": 1 << 64, "half": "\udce9"}, id="what-only-the-standard-library-writes"),
    ],
)
def test_json_is_written_as_the_standard_library_indents_it(value: dict[str, object]) -> None:
    told = json.loads(json.dumps(value).replace("\\udce9", "\\ufffd"))
    assert dump_json(value) == json.dumps(told, ensure_ascii=False, indent=2).encode() + b"\n"
