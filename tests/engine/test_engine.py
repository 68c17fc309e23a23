"""Flows through a whole engine: owners, directions, re-authorisation, what is told of them and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.attribution.chain import Attribution
from agent.model.errors import EnvironmentFailure
from agent.model.vocabulary import Confidence
from tests.support import frames as f
from tests.support.lab import (
    AGENT,
    INBOUND,
    OTHER,
    OUTBOUND,
    START,
    Lab,
    Told,
    everybody,
    owners,
    program,
    socket,
)

US, PEER, ELSEWHERE = "10.0.0.5", "203.0.113.9", "198.51.100.7"
US6, PEER6 = "2001:db8::5", "2001:db8:1::9"
WEB = {"name": "web", "remote_ips": [PEER]}
FULL, NO_MATCH = ("deny", "full_isolation"), ("deny", "no_matching_exclusion")
FREE, ALLOWED = ("allow", "not_isolated"), ("allow", "exclusion")


def syn(port: int = 50000, remote: str = PEER, remote_port: int = 443, sequence: int = 1) -> bytes:
    return f.tcp_frame(f"{US}:{port}", f"{remote}:{remote_port}", flags=f.SYN, sequence=sequence)


def data(port: int = 50000, remote: str = PEER) -> bytes:
    return f.tcp_frame(f"{US}:{port}", f"{remote}:443")


def reply(port: int = 50000, remote: str = PEER, flags: int = f.ACK) -> bytes:
    return f.tcp_frame(f"{remote}:443", f"{US}:{port}", flags=flags)


def only(lab: Lab) -> SimpleNamespace:
    [flow] = lab.finish()
    return flow


# Direction --------------------------------------------------------------------------------------------------------


def basis(lab: Lab) -> tuple[str, str]:
    flow = only(lab)
    return flow.direction.value, flow.direction_basis.label


def test_a_syn_tells_the_direction_against_every_other_evidence() -> None:
    lab = Lab("full", attribution=owners(socket(f"{US}:50000", f"{PEER}:443", initiated=False)))
    lab.send(syn())
    assert basis(lab) == ("outbound", "tcp_syn")


@pytest.mark.parametrize(("initiated", "direction"), [(True, "outbound"), (False, "inbound")])
def test_attribution_tells_who_opened_a_connection_seen_from_the_middle(initiated: bool, direction: str) -> None:
    lab = Lab("full", attribution=owners(socket(f"{US}:50000", f"{PEER}:443", initiated=initiated)))
    lab.send(data(), flag=OUTBOUND)
    assert basis(lab) == (direction, "attribution")


def test_a_listening_socket_makes_a_connection_inbound() -> None:
    lab = Lab("full", attribution=owners(socket(f"{US}:50000", listening=True)))
    lab.send(data())
    assert basis(lab) == ("inbound", "attribution")


def test_the_flag_of_the_first_packet_counts_not_that_of_the_second() -> None:
    lab = Lab("full")
    lab.send(data(), flag=OUTBOUND)
    lab.send(reply(), flag=INBOUND)
    assert basis(lab) == ("outbound", "capture_flag")


def test_a_synack_after_its_syn_timed_out_is_a_reply_that_was_seen() -> None:
    lab = Lab("full")
    lab.send(syn(), 0)
    lab.send(reply(flags=f.SYN | f.ACK), 121)
    first, second = lab.finish()
    assert (first.end.label, second.direction.value, second.direction_basis.label) == (
        "timeout",
        "outbound",
        "reply_seen",
    )


def test_a_synack_alone_is_a_guess() -> None:
    lab = Lab("full")
    lab.send(reply(flags=f.SYN | f.ACK))
    assert lab.engine.guesses == 1
    assert basis(lab) == ("outbound", "unmatched_reply")


def test_a_guessed_direction_meets_a_condition_only_if_guesses_are_trusted() -> None:
    rules = [{"name": "out", "direction": "Outbound", "remote_ips": [PEER]}]
    assert Lab("selective", rules=rules).send(data()) == ALLOWED
    lab = Lab("selective", rules=rules, settings={"direction.trust_guesses": False})
    assert lab.send(data()) == NO_MATCH
    [miss] = only(lab).near_misses
    assert (miss.rule, miss.condition, miss.state.value) == ("out", "direction", "unknown")


def test_an_untrusted_guess_still_matches_rules_without_direction() -> None:
    lab = Lab("selective", rules=[WEB], settings={"direction.trust_guesses": False})
    assert lab.send(data()) == ALLOWED


def test_an_unsolicited_packet_from_port_53_never_meets_an_outbound_rule() -> None:
    lab = Lab("selective", rules=[{"name": "out", "direction": "Outbound", "remote_ips": [PEER]}])
    assert lab.send(f.udp_frame(f"{PEER}:53", f"{US}:50000")) == NO_MATCH
    assert basis(lab) == ("inbound", "unmatched_reply")


def test_an_inbound_rule_admits_what_others_begin_only() -> None:
    lab = Lab("selective", rules=[{"name": "in", "direction": "Inbound", "remote_ips": [PEER]}])
    assert lab.send(f.tcp_frame(f"{PEER}:50000", f"{US}:3389", flags=f.SYN)) == ALLOWED
    assert lab.send(f.tcp_frame(f"{US}:3389", f"{PEER}:50000", flags=f.SYN | f.ACK)) == ALLOWED
    assert lab.send(syn(50001)) == NO_MATCH


# Owners and rules -------------------------------------------------------------------------------------------------


def test_all_rules_that_match_are_listed_in_their_order() -> None:
    rules = [
        {"name": "b", "remote_ips": [PEER]},
        {"name": "no", "direction": "Inbound", "remote_ips": [PEER]},
        {"name": "a", "direction": "Outbound", "process_path": OTHER},
    ]
    lab = Lab("selective", rules=rules, attribution=everybody(OTHER))
    assert lab.send(syn()) == ALLOWED
    assert only(lab).rules == ("b", "a")


def test_an_unknown_process_never_meets_a_process_condition() -> None:
    lab = Lab("selective", rules=[{"name": "tool", "process_path": OTHER, "direction": "Outbound"}])
    assert lab.send(syn()) == NO_MATCH
    [miss] = only(lab).near_misses
    assert (miss.condition, miss.state.value) == ("process_path", "unknown")


@pytest.mark.parametrize(("minimum", "verdict"), [("low", ALLOWED), ("medium", NO_MATCH), ("high", NO_MATCH)])
def test_a_doubtful_owner_meets_no_process_condition(minimum: str, verdict: tuple[str, str]) -> None:
    lab = Lab(
        "selective",
        rules=[{"name": "tool", "process_path": OTHER}],
        attribution=everybody(OTHER, confidence=Confidence.LOW),
        settings={"attribution.minimum_confidence": minimum},
    )
    assert lab.send(syn()) == verdict
    assert only(lab).subject.image == OTHER  # shown, whether believed or not


def test_the_owner_at_the_flows_first_packet_decides() -> None:
    """Another process may have the port later; this flow is not its."""
    late = START + 10_000_000_000
    lab = Lab(
        "selective",
        rules=[{"name": "tool", "process_path": OTHER}],
        attribution=owners(
            socket(f"{US}:50000", f"{PEER}:443", program(OTHER), end=late - 1),
            socket(f"{US}:50000", f"{PEER}:443", program("C:\\X\\late.exe"), start=late),
        ),
    )
    assert lab.send(syn(), 0) == ALLOWED
    assert lab.send(data(), 20) == ALLOWED
    assert lab.send(syn(sequence=2), 30) == NO_MATCH


def test_a_child_is_not_excluded_because_its_parent_is() -> None:
    lab = Lab(
        "selective",
        rules=[{"name": "tool", "process_path": OTHER}],
        attribution=owners(socket(f"{US}:50000", f"{PEER}:443", program("C:\\Tools\\child.exe", pid=2))),
    )
    assert lab.send(syn()) == NO_MATCH


def test_near_misses_are_eight_at_most_with_their_count() -> None:
    rules = [{"name": f"r{number}", "direction": "Inbound", "remote_ips": [PEER]} for number in range(11)]
    lab = Lab("selective", rules=rules)
    assert lab.send(syn()) == NO_MATCH
    flow = only(lab)
    assert [miss.rule for miss in flow.near_misses] == [f"r{number}" for number in range(8)]
    assert flow.near_miss_count == 11
    assert {(miss.condition, miss.state.value) for miss in flow.near_misses} == {("direction", "not_met")}


def test_rules_of_which_two_conditions_failed_are_no_near_miss() -> None:
    lab = Lab("selective", rules=[{"name": "far", "direction": "Inbound", "remote_ips": [PEER], "process_path": OTHER}])
    lab.send(syn(remote=ELSEWHERE))
    assert only(lab).near_misses == ()


def test_full_isolation_names_no_near_misses_and_applies_no_rule() -> None:
    lab = Lab("full", rules=[WEB])
    assert lab.send(syn()) == FULL
    assert only(lab).near_misses == ()


def test_the_embedded_list_stands_in_while_the_feature_is_off() -> None:
    outlook = "C:\\Program Files\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE"
    lab = Lab("selective", rules=[WEB], feature=None, attribution=everybody(outlook))
    assert lab.send(syn()) == ("allow", "embedded_exclusion")
    assert only(lab).rules == ("Outlook (Click-to-Run)",)


# Flows that look alike to the cache -------------------------------------------------------------------------------


def test_order_of_arrival_does_not_change_a_classification() -> None:
    """The cache of classifications must hold all that they depend on: the same flows in any order, the same records."""
    rules = [
        {"name": "net", "remote_ips": ["203.0.113.0/24"], "direction": "Outbound"},
        {"name": "tool", "process_path": OTHER},
        {"name": "svc", "service_name": "dnscache"},
        {"name": "in", "direction": "Inbound", "process_path": AGENT},
    ]
    subjects = [
        program(OTHER),
        program(AGENT),
        program(None, services=("dnscache",)),
        program("C:\\x.exe", services=()),
    ]
    remotes = [PEER, "192.0.2.250", "203.0.112.255", "198.51.100.1"]
    records, packets = [], []
    port = 20000
    for subject in [*subjects, None]:
        for remote in remotes:
            for remote_port in (443, 80, 53, 8443):
                for protocol in ("tcp", "udp"):
                    port += 1
                    if subject is not None:
                        records.append(socket(f"{US}:{port}", f"{remote}:{remote_port}", subject, protocol=protocol))
                    ends = (f"{US}:{port}", f"{remote}:{remote_port}")
                    source, destination = ends if port % 3 else ends[::-1]
                    build = f.tcp_frame(source, destination, flags=f.SYN) if protocol == "tcp" else None
                    packets.append(build or f.udp_frame(source, destination))

    def judged(order: list[bytes]) -> tuple[dict[Any, Any], int]:
        lab = Lab("selective", rules=rules, attribution=owners(*records))
        for frame in order:
            lab.send(frame)
        flows = lab.finish()
        facts = {
            (flow.protocol, flow.local_port, flow.direction): (
                flow.verdict, flow.reason, flow.rules, flow.near_misses, flow.evidence, flow.subject.image,
            )
            for flow in flows
        }  # fmt: skip
        return facts, lab.engine.agent_denied

    forwards = judged(packets)
    assert judged(packets[::-1]) == forwards
    assert judged(packets[1::2] + packets[::2]) == forwards
    assert len({str(value[:3]) for value in forwards[0].values()}) >= 6


# Re-authorisation -------------------------------------------------------------------------------------------------


def test_isolation_cuts_a_live_flow_at_its_next_packet() -> None:
    lab = Lab("none", all_events=True)
    assert lab.send(syn(), 0) == FREE
    assert lab.send(reply(flags=f.SYN | f.ACK), 1) == FREE
    lab.isolate()
    assert lab.send(data(), 2) == FULL
    assert lab.send(reply(), 3) == FULL
    first, second = lab.finish()
    assert (first.end.label, first.authorisation, first.reason.label) == ("cut", 1, "not_isolated")
    assert (second.end.label, second.authorisation, second.reason.label) == ("eof", 2, "full_isolation")
    assert first.flow_id == second.flow_id
    assert (first.packets_original, first.packets_reply) == (second.packets_original, second.packets_reply) == (1, 1)
    assert (first.timestamp, second.timestamp, second.first_seen) == (START, START + 2 * 10**9, START + 2 * 10**9)
    assert (first.policy.generation, second.policy.generation) == (1, 2)
    assert lab.engine.cut == 1
    kinds = [event.event_type for event in lab.told.events]
    assert kinds == ["decision", "isolation", "flow", "reverdict", "flow"]


def test_a_flow_without_a_packet_after_the_isolation_is_not_cut() -> None:
    lab = Lab("none")
    lab.send(syn(), 0)
    lab.isolate()
    flow = only(lab)
    assert (flow.end.label, flow.authorisation, flow.reason.label) == ("eof", 1, "not_isolated")
    assert lab.engine.cut == 0


def test_a_flow_that_a_rule_allows_goes_on_under_its_new_reason() -> None:
    lab = Lab("none", then="selective", rules=[WEB])
    lab.send(syn(), 0)
    lab.isolate()
    assert lab.send(data(), 1) == ALLOWED
    first, second = lab.finish()
    assert (first.end.label, second.reason.label, second.rules) == ("reauthorised", "exclusion", ("web",))
    assert lab.engine.cut == 0


def test_a_flow_is_reauthorised_in_its_own_direction_whichever_way_the_packet_goes() -> None:
    lab = Lab("none", then="selective", rules=[{"name": "out", "direction": "Outbound", "remote_ips": [PEER]}])
    lab.send(syn(), 0)
    lab.isolate()
    assert lab.send(reply(flags=f.SYN | f.ACK), 1) == ALLOWED


def test_release_lets_a_cut_flow_live_again() -> None:
    lab = Lab("none")
    lab.send(syn(), 0)
    lab.isolate()
    assert lab.send(data(), 1) == FULL
    lab.release()
    assert lab.send(data(), 2) == FREE
    assert [flow.end.label for flow in lab.finish()] == ["cut", "reauthorised", "eof"]
    assert [flow.authorisation for flow in lab.flows] == [1, 2, 3]
    assert lab.engine.cut == 0  # by its last verdict it is not denied


def test_a_flow_that_began_denied_is_not_cut_by_another_isolation() -> None:
    lab = Lab("full")
    lab.send(syn(), 0)
    lab.release()
    lab.isolate()
    assert lab.send(data(), 1) == FULL
    assert [flow.end.label for flow in lab.finish()] == ["reauthorised", "eof"]
    assert lab.engine.cut == 0


def test_grandfathering_keeps_old_flows_and_judges_new_ones() -> None:
    lab = Lab("none", settings={"reauthorise": False})
    lab.send(syn(), 0)
    lab.isolate()
    assert lab.send(data(), 1) == FREE
    assert lab.send(syn(50001), 1) == FULL
    old, new = lab.finish()
    assert (old.authorisation, old.packets_original, old.reason.label) == (1, 2, "not_isolated")
    assert (old.policy.generation, new.policy.generation) == (1, 2)  # each under the policy that judged it
    assert new.reason.label == "full_isolation"
    assert lab.engine.cut == 0


def test_names_are_those_the_flow_had_when_it_was_created() -> None:
    """Learned later or forgotten since: neither opens nor closes the channel for a flow that lives."""
    lab = Lab("none", names={"198.51.100.20": ("cloud.example.test",)})
    frame = f.tcp_frame(f"{US}:50000", "198.51.100.20:443", flags=f.SYN)
    nameless = f.tcp_frame(f"{US}:50001", "198.51.100.21:443", flags=f.SYN)
    lab.send(frame)
    lab.send(nameless)
    lab.engine.names.learn("cloud.example.test", [(f.parse_address("198.51.100.21"), 600)], lab.now)
    lab.isolate()
    assert lab.send(f.tcp_frame(f"{US}:50000", "198.51.100.20:443")) == ("allow", "cloud_channel")
    assert lab.send(f.tcp_frame(f"{US}:50001", "198.51.100.21:443")) == FULL
    again = f.tcp_frame(f"{US}:50002", "198.51.100.21:443", flags=f.SYN)
    assert lab.send(again) == ("allow", "cloud_channel")
    lab.finish()
    names = {(flow.flow_id, flow.names) for flow in lab.flows}
    assert names == {(1, ("cloud.example.test",)), (2, ()), (3, ("cloud.example.test",))}


def test_a_denied_flow_keeps_its_attempts_before_the_first_reply() -> None:
    lab = Lab("full")
    for frame in (syn(), syn(), reply(flags=f.SYN | f.ACK), data(), reply()):
        lab.send(frame)
    flow = only(lab)
    assert (flow.attempted, flow.packets_original, flow.packets_reply) == (2, 3, 2)
    assert lab.engine.counterfactual == 1


def test_an_allowed_flow_has_no_attempts() -> None:
    lab = Lab("selective", rules=[WEB])
    lab.send(syn())
    assert only(lab).attempted is None


# Multicast replies ------------------------------------------------------------------------------------------------


def ssdp(lab: Lab, at: float) -> tuple[str, str]:
    return lab.send(f.udp_frame(f"{US}:50000", "239.255.255.250:1900"), at)


GROUPS = [{"name": "ssdp", "direction": "Outbound", "remote_ips": ["239.255.255.250"]}]


def test_anyone_may_answer_what_was_sent_to_a_group_for_four_seconds() -> None:
    lab = Lab("selective", rules=GROUPS)
    assert ssdp(lab, 0) == ALLOWED
    assert lab.send(f.udp_frame("10.0.0.7:1900", f"{US}:50000"), 4) == ALLOWED
    assert lab.send(f.udp_frame("10.0.0.8:1900", f"{US}:50000"), 4.000_000_001) == NO_MATCH
    assert lab.send(f.udp_frame("10.0.0.9:1900", f"{US}:50001"), 1) == NO_MATCH
    assert ssdp(lab, 5) == ALLOWED
    assert lab.send(f.udp_frame("10.0.0.10:2000", f"{US}:50000"), 9) == ALLOWED
    flows = lab.finish()
    answer = flows[1]
    assert (answer.verdict.label, answer.reason.label, answer.rules) == ("allow", "exclusion", ("ssdp",))
    assert lab.engine.guesses == sum(flow.direction_basis.guessed for flow in flows)


def test_an_answer_to_a_group_opens_nothing_for_what_follows_it() -> None:
    """Neither this host nor the answerer may go on talking on the strength of an answer in time."""
    lab = Lab("selective", rules=GROUPS)
    assert ssdp(lab, 0) == ALLOWED
    assert lab.send(f.udp_frame("10.0.0.7:4444", f"{US}:50000"), 1) == ALLOWED
    assert lab.send(f.udp_frame(f"{US}:50000", "10.0.0.7:4444"), 2) == NO_MATCH
    assert lab.send(f.udp_frame("10.0.0.7:4444", f"{US}:50000"), 6) == NO_MATCH
    flow = lab.finish()[1]
    assert (flow.verdict.label, flow.mixed_allowed, flow.mixed_denied) == ("mixed", 1, 2)


def test_nobody_else_answers_in_the_conntrack_profile() -> None:
    lab = Lab("selective", rules=GROUPS, settings={"timeouts.profile": "conntrack"})
    assert ssdp(lab, 0) == ALLOWED
    assert lab.send(f.udp_frame("10.0.0.7:1900", f"{US}:50000"), 1) == NO_MATCH


def test_what_was_denied_to_a_group_admits_nobody() -> None:
    lab = Lab("full")
    assert ssdp(lab, 0) == FULL
    assert lab.send(f.udp_frame("10.0.0.7:1900", f"{US}:50000"), 1) == FULL


def test_what_was_sent_before_an_isolation_admits_nobody_after_it() -> None:
    lab = Lab("none")
    assert ssdp(lab, 0) == FREE
    lab.isolate()
    assert lab.send(f.udp_frame("10.0.0.7:1900", f"{US}:50000"), 1) == FULL


def test_a_packet_to_one_host_admits_nobody_else() -> None:
    lab = Lab("selective", rules=[WEB])
    assert lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:1900"), 0) == ALLOWED
    assert lab.send(f.udp_frame("10.0.0.7:1900", f"{US}:50000"), 1) == NO_MATCH


# The last guard ---------------------------------------------------------------------------------------------------


class Broken(Attribution):
    """An attribution that raises where the chain's own guard cannot help."""

    def owner_of(self, *_: int) -> None:
        raise ZeroDivisionError("a bug")


def test_a_bug_denies_while_isolated_and_allows_else() -> None:
    """fail closed"""
    lab = Lab("full", attribution=Broken(), all_events=True)
    for _ in range(2):
        assert lab.send(syn()) == ("deny", "policy_error")
        assert lab.flow_id == 0
    lab.release()
    assert lab.send(syn()) == ("allow", "policy_error")
    assert lab.engine.faults == {"policy_error": 3}
    [fault] = [event.record for event in lab.told.events if event.event_type == "fault"]
    assert (fault["name"], fault["text"]) == ("policy_error", "authorise: ZeroDivisionError: a bug")
    assert lab.engine.flows.live == 0
    assert lab.finish() == []


def test_a_bug_in_re_authorising_denies_the_packet_and_tries_again_at_the_next() -> None:
    lab = Lab("none", then="selective", rules=[WEB])
    assert lab.send(syn(), 0) == FREE
    lab.isolate()
    table = lab.engine.verdicts.table
    lab.engine.verdicts.table = None
    assert lab.send(data(), 1) == ("deny", "policy_error")
    lab.engine.verdicts.table = table
    assert lab.send(data(), 2) == ALLOWED
    assert [flow.packets_original for flow in lab.finish()] == [1, 1]


def test_a_bug_in_judging_a_message_leaves_the_flows_own_verdict() -> None:
    lab = Lab("full")
    lab.engine.essentials = None
    assert lab.send(f.udp_frame(f"{US}:50000", "10.0.0.1:53", b"x")) in (FULL, ("deny", "policy_error"))
    assert set(lab.engine.faults) == {"policy_error"}


def test_attribution_that_fails_knows_nobody_and_says_so() -> None:
    from agent.attribution.chain import Failing
    from tests.support.lab import Everybody

    attribution = Attribution()
    attribution.add(Failing(Everybody(program(OTHER)), answers=1))
    lab = Lab("selective", rules=[{"name": "tool", "process_path": OTHER}], attribution=attribution)
    assert lab.send(syn(50000)) == ALLOWED
    assert lab.send(syn(50001)) == NO_MATCH
    assert attribution.failures == 1


class FullDisk(Told):
    """A sink on a full disk."""

    def flow(self, event: Any) -> None:
        raise EnvironmentFailure("decisions.jsonl: cannot write: no space left on device")


@pytest.mark.parametrize("all_events", [False, True], ids=["flow", "all"])
def test_a_sink_that_cannot_write_is_no_bug_of_the_policy(all_events: bool) -> None:
    """It must reach whoever runs the engine, not pass as a policy error."""
    lab = Lab("none", sink=FullDisk(), all_events=all_events)

    def run() -> None:
        lab.send(syn(), 0)
        lab.isolate()
        lab.send(data(), 1)

    with pytest.raises(EnvironmentFailure, match="no space left"):
        run()
    assert lab.engine.faults == {}


# Order ------------------------------------------------------------------------------------------------------------


def test_what_ends_at_the_same_packet_is_told_by_flow_id() -> None:
    """The packet's own flow, two more whose time is over, and one that makes room: four at once."""
    lab = Lab("full", settings={"flow_table.size": 16, "flow_table.reserved": 0, "timeouts.profile": "conntrack"})
    seen: list[list[int]] = []

    def send(frame: bytes, at: float) -> None:
        before = len(lab.flows)
        lab.send(frame, at)
        seen.append([flow.flow_id for flow in lab.flows[before:]])

    for number in range(14):
        send(f.udp_frame(f"{US}:{40000 + number}", f"{PEER}:4500"), number * 0.001)
    # New flows in old slots, so that slots are not in order of ids any more.
    for number in range(200):
        send(f.udp_frame(f"{US}:{40000 + number * 5 % 14}", f"{PEER}:4500"), 31 + number * 7)
        send(syn(50000 + number, sequence=number), 31 + number * 7)
        send(syn(50000 + number, sequence=number + 1), 31 + number * 7)
    assert max(map(len, seen)) >= 3
    assert [ids for ids in seen if ids != sorted(ids)] == []


def test_what_ends_with_the_run_is_told_by_flow_id() -> None:
    lab = Lab("full", settings={"flow_table.size": 16, "flow_table.reserved": 0})
    for number in range(40):
        lab.send(syn(50000 + number))
    before = len(lab.flows)
    ids = [flow.flow_id for flow in lab.finish()[before:]]
    assert len(ids) == 16
    assert ids == sorted(ids)


def test_flows_whose_time_was_over_at_the_end_say_so() -> None:
    lab = Lab("full")
    lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), 0)
    lab.send(syn(), 100)
    assert [flow.end.label for flow in lab.finish()] == ["timeout", "eof"]


# Counts -----------------------------------------------------------------------------------------------------------


def test_the_counters_of_a_run_agree_with_its_records() -> None:
    lab = Lab("none", then="selective", rules=[WEB], attribution=everybody(OTHER))
    for number in range(6):
        lab.send(syn(50000 + number, PEER if number % 2 else ELSEWHERE), 0)
        lab.send(reply(50000 + number, PEER if number % 2 else ELSEWHERE, f.SYN | f.ACK), 0)
    lab.isolate()
    for number in range(4):
        lab.send(data(50000 + number, PEER if number % 2 else ELSEWHERE), 1)
    flows = lab.finish()
    engine = lab.engine
    assert (engine.attributed, engine.unattributed, engine.cut, engine.guesses) == (6, 0, 2, 0)
    assert sum(engine.flow_outcomes) == 6
    by_class = [engine.class_counts[3 * number : 3 * number + 3] for number in range(len(engine.verdicts.classes))]
    assert (
        sum(counts[0] for counts in by_class) == sum(flow.packets_original + flow.packets_reply for flow in flows) == 16
    )
    assert sum(counts[2] for counts in by_class) == len(flows) == 10
    allowed, allowed_bytes, denied, denied_bytes, of_subject = engine.subject_counts[5:10]
    assert (allowed, denied, of_subject) == (14, 2, 6)
    assert allowed_bytes + denied_bytes == sum(flow.bytes_original + flow.bytes_reply for flow in flows)
    assert [(str(remote), packets) for remote, packets, _ in engine.denied_remotes.most(9)] == [(ELSEWHERE, 2)]


def test_ipv6_remotes_are_counted_whole() -> None:
    lab = Lab("full", local=(US, US6))
    for _ in range(3):
        lab.send(f.tcp_frame(f"[{US6}]:50000", f"[{PEER6}]:443", flags=f.SYN))
    lab.finish()
    [(remote, packets, octets)] = lab.engine.denied_remotes.most(9)
    assert (str(remote), packets) == (PEER6, 3)
    assert octets > 3 * 40
