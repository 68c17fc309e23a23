"""Isolating and releasing the replayed device by the isolation table."""

from __future__ import annotations

import pytest

from agent.model.vocabulary import Mode
from tests.support import frames as f
from tests.support.lab import START, Lab

SYN = f.tcp_frame("10.0.0.5:50000", "203.0.113.9:443", flags=f.SYN)


def told(lab: Lab) -> list[tuple[str, str, str | None]]:
    records = [event.record for event in lab.told.events if event.event_type == "isolation"]
    return [(record["action"], record["status"], record["detail"]) for record in records]


def test_a_device_begins_released_as_generation_one() -> None:
    lab = Lab("none")
    assert (lab.engine.policy.generation, lab.engine.policy.mode) == (1, Mode.NONE)
    assert lab.isolation.isolated is None
    assert lab.isolation.intervals == []


def test_each_change_is_a_new_generation_and_is_told() -> None:
    lab = Lab("none")
    lab.isolate()
    assert (lab.engine.policy.generation, lab.engine.policy.mode) == (2, Mode.FULL)
    lab.release()
    assert (lab.engine.policy.generation, lab.engine.policy.mode) == (3, Mode.NONE)
    assert [(action, status) for action, status, _ in told(lab)] == [("isolate", "succeeded"), ("release", "succeeded")]
    assert lab.isolation.intervals == [[START, START]]


def test_isolating_an_isolated_device_takes_no_new_snapshot() -> None:
    lab = Lab("selective", rules=[{"name": "web", "remote_ips": ["203.0.113.9"]}])
    before = lab.engine.policy
    lab.isolate()
    assert lab.engine.policy is before
    assert told(lab)[-1][1] == "unchanged"


def test_another_choice_has_to_release_first() -> None:
    lab = Lab("full")
    before = lab.engine.policy
    lab.isolation.isolate(Mode.SELECTIVE, True, lab.now, lab.now)
    assert lab.engine.policy is before
    action, status, detail = told(lab)[-1]
    assert (action, status) == ("isolate", "failed")
    assert "release" in (detail or "")


def test_releasing_a_free_device_changes_nothing() -> None:
    lab = Lab("none")
    before = lab.engine.policy
    lab.release()
    assert lab.engine.policy is before
    assert [(action, status) for action, status, _ in told(lab)] == [("release", "unchanged")]


def test_a_device_can_be_isolated_again_after_a_release() -> None:
    lab = Lab("full")
    assert lab.send(SYN, 0)[0] == "deny"
    lab.release()
    assert lab.send(SYN, 1)[0] == "allow"
    lab.isolate()
    assert lab.send(SYN, 2)[0] == "deny"
    assert [row.generation for row in lab.isolation.policies] == [1, 2, 3, 4]
    assert [flow.end.label for flow in lab.finish()] == ["reauthorised", "cut", "eof"]


def test_the_record_shows_the_snapshot_with_what_was_ignored() -> None:
    package = {"name": "teams", "package_family_name": "MSTeams_8wekyb3d8bbwe"}
    lab = Lab("selective", rules=[{"name": "web", "remote_ips": ["203.0.113.9"]}, package])
    record = next(event.record for event in lab.told.events if event.event_type == "isolation")
    assert record["rules"][0] == {"name": "web", "ignored_because": None}
    assert record["policy"]["digest"] == lab.engine.policy.digest
    assert [row["name"] for row in record["rules"]] == ["web", "teams"]


@pytest.mark.parametrize("mode", ["full", "selective"])
def test_the_policy_of_the_isolation_is_remembered_after_the_release(mode: str) -> None:
    lab = Lab(mode)
    isolated = lab.engine.policy
    lab.release()
    assert lab.isolation.isolated is isolated
