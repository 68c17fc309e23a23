"""Comparisons: what changes, with witnesses, in one order."""

from __future__ import annotations

from agent.model.address import parse_address
from agent.model.vocabulary import Mode, Reason, Verdict
from agent.sinks.comparison import Change, build_comparison, endpoint_text, witness
from agent.sinks.summary import PolicyRow
from tests.sinks.builders import make_event

ALLOWED = (Verdict.ALLOW, Reason.EXCLUSION)
EMBEDDED = (Verdict.ALLOW, Reason.EMBEDDED_EXCLUSION)
DENIED = (Verdict.DENY, Reason.NO_MATCHING_EXCLUSION)
ROW = PolicyRow(mode=Mode.SELECTIVE, generation=1, digest="sha256:00")


def test_changes_of_verdict_stand_before_changes_of_reason() -> None:
    """And flows whose outcome is the same are no change."""
    comparison = build_comparison(
        ("a.yaml", ROW),
        ("b.yaml", ROW),
        [
            Change(before=ALLOWED, after=EMBEDDED, flows=9, packets=90),
            Change(before=DENIED, after=DENIED, flows=5, packets=50),
            Change(before=ALLOWED, after=DENIED, flows=2, packets=20),
            Change(before=DENIED, after=ALLOWED, flows=1, packets=10),
        ],
    )
    assert [(row["before"]["verdict"], row["after"]["verdict"]) for row in comparison["changes"]] == [
        ("deny", "allow"),
        ("allow", "deny"),
        ("allow", "allow"),
    ]
    assert comparison["changed_flows"] == 3
    assert comparison["changed_packets"] == 30
    assert comparison["after"] == {"rules": "b.yaml", "mode": "selective", "digest": "sha256:00"}


def test_a_witness_says_which_rules_decided() -> None:
    event = make_event(local=parse_address("2001:db8::5"), remote=parse_address("2001:db8::7"))
    change = Change(before=ALLOWED, after=DENIED, flows=1, witnesses=[witness(event, ("Remote support",), ())])
    shown = build_comparison((None, ROW), (None, ROW), [change])["changes"][0]["witnesses"]
    assert shown == [
        {
            "flow_id": 17,
            "protocol": "tcp",
            "direction": "outbound",
            "local": "[2001:db8::5]:50123",
            "remote": "[2001:db8::7]:443",
            "names": ["support.example.test"],
            "image": "C:\\Program Files\\Support\\support.exe",
            "rules_before": ["Remote support"],
            "rules_after": [],
        }
    ]


def test_the_first_witnesses_by_flow_are_kept() -> None:
    witnesses = [witness(make_event(flow_id=number), (), ()) for number in (9, 4, 7, 1, 5)]
    change = Change(before=ALLOWED, after=DENIED, flows=5, witnesses=witnesses)
    shown = build_comparison((None, ROW), (None, ROW), [change])["changes"][0]["witnesses"]
    assert [row["flow_id"] for row in shown] == [1, 4, 5]


def test_an_endpoint_without_port_is_its_address() -> None:
    assert endpoint_text(parse_address("fe80::1"), None) == "fe80::1"
