"""What is gathered from the engine's counters when a run is over."""

from __future__ import annotations

from agent.model.vocabulary import Reason, Verdict
from agent.replay import report
from agent.sinks.summary import TOP_DENIED, Tally
from tests.support import dns
from tests.support import frames as f
from tests.support.lab import CLOUD_HOST, Lab, owners, program, socket

US = "10.0.0.5"
ONE, TWO = "C:\\Tools\\one.exe", "C:\\Tools\\two.exe"


def syn(number: int, remote: str = "203.0.113.9") -> bytes:
    return f.tcp_frame(f"{US}:{50000 + number}", f"{remote}:443", flags=f.SYN)


def test_processes_of_one_image_are_one_row() -> None:
    records = [
        socket(f"{US}:{50000 + number}", "203.0.113.9:443", program(image, pid=number))
        for number, image in enumerate([ONE, ONE, TWO])
    ]
    lab = Lab("full", attribution=owners(*records))
    for number in range(4):
        lab.send(syn(number))
    lab.finish()
    size = len(syn(0))
    rows = {row.image: (row.allowed, row.denied) for row in report.process_rows(lab.engine)}
    nothing = Tally(0, 0)
    assert rows == {None: (nothing, Tally(1, size)), ONE: (nothing, Tally(2, 2 * size)), TWO: (nothing, Tally(1, size))}
    lab = Lab("none", attribution=owners(*records))
    lab.send(syn(0))
    lab.finish()
    [row] = report.process_rows(lab.engine)
    assert (row.image, row.allowed, row.denied) == (ONE, Tally(1, size), nothing)


def test_a_mixed_flow_is_kept_and_lost_by_packet() -> None:
    lab = Lab("full", attribution=owners(socket(f"{US}:50000", None, program(ONE), protocol="udp")))
    frames = [
        f.udp_frame(f"{US}:50000", "10.0.0.1:53", dns.question(number, host))
        for number, host in enumerate([CLOUD_HOST, "evil.example.net", "x.test"])
    ]
    for frame in frames:
        lab.send(frame)
    lab.finish()
    [row] = report.process_rows(lab.engine)
    assert row.allowed == Tally(1, len(frames[0]))
    assert row.denied == Tally(2, len(frames[1]) + len(frames[2]))
    assert report.flow_reasons(lab.engine) == {(Verdict.MIXED, Reason.ESSENTIAL): 1}
    [(_, packets, size)] = report.denied_remotes(lab.engine)
    assert (packets, size) == (2, row.denied.bytes)


def test_the_remotes_that_lost_most_come_first_and_are_few() -> None:
    lab = Lab("full", local=(US, "2001:db8::5"))
    for number in range(2 * TOP_DENIED):
        for _ in range(number):
            lab.send(syn(number, f"203.0.113.{number}"))
    for _ in range(3 * TOP_DENIED):
        lab.send(f.tcp_frame("[2001:db8::5]:1", "[ffff::1]:2", flags=f.SYN))
    lab.finish()
    found = [(str(address), packets) for address, packets, _ in report.denied_remotes(lab.engine)]
    assert len(found) == TOP_DENIED
    assert found[:2] == [("ffff::1", 3 * TOP_DENIED), (f"203.0.113.{2 * TOP_DENIED - 1}", 2 * TOP_DENIED - 1)]


def test_rules_have_what_they_let_through_or_why_they_are_ignored() -> None:
    rules = [
        {"name": "web", "remote_ips": ["203.0.113.9"]},
        {"name": "tool", "process_path": "%NOWHERE%\\x.exe"},
        {"name": "never", "remote_ips": ["198.51.100.1"]},
    ]
    lab = Lab("selective", rules=rules)
    frame = syn(1)
    for _ in range(3):
        lab.send(frame)
    lab.finish()
    web, tool, never = report.rule_rows(lab.engine, lab.engine.policy)
    assert (web.status, web.packets, web.bytes, web.flows) == ("active", 3, 3 * len(frame), 1)
    assert (tool.status, tool.packets) == ("ignored", 0)
    assert "NOWHERE" in (tool.ignored_because or "")
    assert (never.status, never.packets, never.flows) == ("active", 0, 0)


def test_embedded_exclusions_are_rows_too() -> None:
    lab = Lab("selective", feature=None)
    rows = report.rule_rows(lab.engine, lab.engine.policy)
    assert {row.status for row in rows} == {"active"}
    assert any("Outlook" in row.name for row in rows)


def test_outcomes_and_flows_are_told_by_verdict_and_reason() -> None:
    lab = Lab("selective", rules=[{"name": "web", "remote_ips": ["203.0.113.9"]}])
    for frame in (syn(1), syn(1), syn(2, "198.51.100.1"), f.ethernet(b"x" * 46, f.ARP)):
        lab.send(frame)
    lab.finish()
    packets = {key: tally.packets for key, tally in report.outcomes(lab.engine).items()}
    assert packets == {
        (Verdict.ALLOW, Reason.EXCLUSION): 2,
        (Verdict.DENY, Reason.NO_MATCHING_EXCLUSION): 1,
        (Verdict.ALLOW, Reason.LINK): 1,
    }
    assert report.flow_reasons(lab.engine) == {
        (Verdict.ALLOW, Reason.EXCLUSION): 1,
        (Verdict.DENY, Reason.NO_MATCHING_EXCLUSION): 1,
    }
