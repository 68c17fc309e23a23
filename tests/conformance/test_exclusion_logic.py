"""The page "Isolation exclusions": how rules combine, when they change, what they cost - X21 to X24."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.capture.reader import open_capture
from agent.cli.main import run as command_line
from agent.engine.events import FlowEvent
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.policy.document import load_device, load_rules
from agent.policy.snapshot import build_policy, released_policy
from agent.replay.control import Isolation
from agent.replay.options import ReplayOptions
from agent.replay.wiring import build_engine, load_world
from tests.conformance.lab import BY_ADDRESS, NOBODY, OFFICE, capture, full, outcomes, rules, selective, tls
from tests.scenarios.playing import EXAMPLES, Played, replay, scenario


def test_x21_all_matching_rules_apply_and_conditions_are_anded(tmp_path: Path) -> None:
    """isolation-exclusions, "Exclusion Logic": all rules that match will be applied; within a single rule, conditions
    use AND logic; undefined conditions are treated as "any"."""
    listed = (
        {"name": "Process", "process_path": r"C:\Lab\tool.exe"},
        {"name": "Process and address", "process_path": r"C:\Lab\tool.exe", "remote_ips": "203.0.113.1"},
        {"name": "Address and direction", "remote_ips": "203.0.113.1", "direction": "Inbound"},
        {"name": "Process and service", "process_path": r"C:\Lab\tool.exe", "service_name": "termservice"},
    )
    generated = capture(
        tls("tool", "203.0.113.1", at=1),
        tls("tool", "203.0.113.2", at=2),
        tls("tool", "203.0.113.1", at=3, direction="inbound"),
        tls("other", "203.0.113.1", at=4),
        tls("other", "203.0.113.1", at=5, direction="inbound"),
        tls("desktop", "203.0.113.2", at=6, direction="inbound"),
    )
    played = selective(tmp_path, generated, *rules(tmp_path, *listed))
    assert [applied for *_, applied in outcomes(played)] == [
        ["Process", "Process and address"],
        ["Process"],
        ["Process", "Process and address", "Address and direction"],
        [],
        ["Address and direction"],
        [],
    ]


def test_x22_the_three_rules_have_their_three_outcomes_and_nothing_more(tmp_path: Path) -> None:
    """isolation-exclusions, "Exclusion Logic", example: example.exe initiates to 1.1.1.1 only, example_2.exe to every
    address, the device receives from 18.18.18.18. The scenario three-rules holds the packets as well."""
    played = replay(
        tmp_path, scenario("three-rules"), "--mode", "selective", "--rules", str(EXAMPLES / "three-rules.yaml")
    )
    passed: dict[str, set[tuple[str, str, str]]] = {}
    for record in played.flows:
        image = record["process"]["image"].rpartition("\\")[2]
        for name in record["rules"]:
            passed.setdefault(name, set()).add((image, record["direction"], record["remote"]["ip"]))
        assert (record["verdict"] == "allow") == bool(record["rules"])
    assert passed == {
        "Rule 1": {("example.exe", "outbound", "1.1.1.1")},
        "Rule 2": {
            ("example_2.exe", "outbound", remote)
            for remote in ("1.1.1.1", "203.0.113.7", "198.51.100.8", "2001:db8:1::7")
        },
        "Rule 3": {("other.exe", "inbound", "18.18.18.18"), ("example.exe", "inbound", "18.18.18.18")},
    }
    assert (played.reason("exclusion")["flows"], played.reason(NOBODY)["flows"]) == (9, 10)


class Told:
    """A sink that keeps what the engine and the isolation say."""

    def __init__(self) -> None:
        self.flows: list[tuple[str, tuple[str, ...]]] = []
        self.answers: list[tuple[str, str]] = []

    def flow(self, event: FlowEvent) -> None:
        self.flows.append((str(event.remote), event.rules))

    def isolation(self, record: dict[str, Any]) -> None:
        self.answers.append((record["action"], record["status"]))

    def fault(self, record: dict[str, Any]) -> None:
        raise AssertionError(record)

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


def test_x23_rule_changes_need_a_release_and_a_new_isolation(tmp_path: Path) -> None:
    """isolation-exclusions, "Considerations and limitations": changes only impact new isolation requests; isolated
    devices keep what was defined; "release those devices from isolation and then reisolate them".

    The rules file changes right after the isolation. Three rounds of the same two connections: the first under the
    isolation, the second after isolating once more without a release, the third after release and new isolation.
    """
    rounds = [(60 * number + 10 * last, f"203.0.113.{last}") for number in range(3) for last in (1, 2)]
    generated = capture(*(tls("other", remote, at=at) for at, remote in rounds))
    replay(tmp_path, generated, "--mode", "none")  # for its files
    before, after = (
        {"name": name, "remote_ips": remote} for name, remote in (("Old", "203.0.113.1"), ("New", "203.0.113.2"))
    )
    path = rules(tmp_path, before)[1]
    device = load_device(str(tmp_path / "d.yaml"))
    settings = Settings({})
    told = Told()
    options = ReplayOptions(captures=(), device=str(tmp_path / "d.yaml"))
    engine = build_engine(load_world(options), options, told)
    isolation = Isolation(
        engine,
        lambda generation: build_policy(
            Mode.SELECTIVE, device=device, rules=load_rules(path), exclusions=None, use_exclusions=True,
            settings=settings, cloud=None, generation=generation,
        ),
        lambda generation: released_policy(device=device, settings=settings, generation=generation),
    )  # fmt: skip
    batch = open_capture(str(tmp_path / "c.pcapng")).next_batch()
    assert batch is not None
    engine.datapath.attach(batch.data)
    start = generated.packets[0].time_ns

    def until(seconds: int, position: int) -> int:
        engine.datapath.stop_at = start + seconds * 1_000_000_000
        return engine.datapath.process(batch.records, position, batch.count)

    isolation.isolate(Mode.SELECTIVE, True, start, start)
    rules(tmp_path, after)
    position = until(30, 0)
    isolation.isolate(Mode.SELECTIVE, True, start, start)  # the same again: nothing changes
    isolation.isolate(Mode.FULL, True, start, start)  # another type: release first
    position = until(90, position)
    isolation.release(start, start)
    isolation.isolate(Mode.SELECTIVE, True, start, start)
    assert until(1000, position) == batch.count
    engine.finish()
    assert told.answers == [
        ("isolate", "succeeded"),
        ("isolate", "unchanged"),
        ("isolate", "failed"),
        ("release", "succeeded"),
        ("isolate", "succeeded"),
    ]
    assert told.flows == [
        ("203.0.113.1", ("Old",)),
        ("203.0.113.2", ()),
        ("203.0.113.1", ("Old",)),
        ("203.0.113.2", ()),
        ("203.0.113.1", ()),
        ("203.0.113.2", ("New",)),
    ]


WEAKENS = "any exclusion weakens isolation"


def test_x24_every_view_of_exclusions_warns_that_they_weaken_isolation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """isolation-exclusions, warning: "Any exclusion weakens device isolation and increases security risks"."""
    generated = capture(tls("other", "198.51.100.7"))
    document = rules(tmp_path, BY_ADDRESS)
    played = selective(tmp_path, generated, *document)
    printed = capsys.readouterr()
    assert WEAKENS in printed.out + printed.err
    assert "exclusions_weaken_isolation" in played.warnings
    flow = ("--mode", "selective", "--direction", "outbound", "--remote", "198.51.100.7:443")
    for words in (("check", document[1]), ("explain", *document, *flow)):
        assert command_line(words) == 0
        printed = capsys.readouterr()
        assert WEAKENS in (printed.out + printed.err).lower(), words[0]


def test_x24_the_embedded_list_weakens_isolation_too_and_full_has_nothing_to_warn_of(tmp_path: Path) -> None:
    """isolation-exclusions, warning; semantics of the feature switch: whatever is excluded is warned of."""
    generated = capture(*OFFICE)
    warned: dict[str, Played] = {
        "embedded": selective(tmp_path, generated, *rules(tmp_path, isolation_exclusions=False)),
        "full": full(tmp_path, generated, *rules(tmp_path, BY_ADDRESS)),
        "empty": selective(tmp_path, generated, *rules(tmp_path)),
    }
    assert {name: "exclusions_weaken_isolation" in played.warnings for name, played in warned.items()} == {
        "embedded": True,
        "full": False,
        "empty": False,
    }
