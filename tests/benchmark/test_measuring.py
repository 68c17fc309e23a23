"""scripts/bench: what is measured of processes, and what ratios, goals and tables make of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmark import breakdown, stages
from benchmark.fit import least_squares
from benchmark.processes import Sample, ToolFailedError, in_turn, run, smallest_peak
from benchmark.shapes import CONSTANT, Shape
from benchmark.tables import Check, Goal, Line, Report, Table, checks_of


def sample(seconds: float, *, peak: int = 50_000_000, disk: int = 0) -> Sample:
    return Sample(seconds=seconds, cpu=seconds / 2, peak=peak, disk=disk)


def line(
    name: str, *seconds: float, packets: int = 1_000_000, base: Line | None = None, goal: Goal | None = None
) -> Line:
    samples = tuple(sample(one) for one in seconds)
    return Line(name=name, samples=samples, packets=packets, bytes=200 * packets, base=base, goal=goal)


# --- processes --------------------------------------------------------------------------------------------------


def test_a_process_is_measured_whole() -> None:
    """Its time, its processor time, its memory."""
    program = "data = bytearray(64 << 20)\nfor _ in range(300_000): pass"
    found = run([sys.executable, "-c", program])
    assert found.cpu > 0
    assert found.seconds > 0
    assert found.peak > 64 << 20


def test_a_process_does_not_inherit_the_memory_of_what_measures_it() -> None:
    """The kernel counts the starting process's memory in: here far more than `true` and its launcher have."""
    here = bytearray(256 << 20)
    here[:: 1 << 12] = bytes(len(here) >> 12)
    assert smallest_peak() < 128 << 20


@pytest.mark.parametrize(
    ("command", "text"),
    [
        pytest.param(
            [sys.executable, "-c", "raise SystemExit('no such capture')"], "exit 1: no such capture", id="fails"
        ),
        pytest.param(["./there-is-no-such-tool"], "cannot start", id="missing"),
    ],
)
def test_a_tool_that_fails_is_no_fast_tool(command: list[str], text: str) -> None:
    with pytest.raises(ToolFailedError, match=text):
        run(command)


def test_tools_take_turns(tmp_path: Path) -> None:
    """A busy moment hits all alike."""
    log = tmp_path / "log"
    commands = {name: ["sh", "-c", f"echo {name} >> {log}"] for name in ("one", "two")}
    found = in_turn(commands, 3)
    assert log.read_text().split() == ["one", "two"] * 3
    assert {name: len(samples) for name, samples in found.items()} == {"one": 3, "two": 3}


# --- ratios and goals -------------------------------------------------------------------------------------------


def test_a_speed_ratio_is_of_packets_per_second_by_medians() -> None:
    """Twice as fast is 2, however slow one round was."""
    base = line("tcpdump", 2.0, 2.2, 60.0)
    ours = line("replay", 1.1, 1.0, 30.0, base=base, goal=Goal(bound=2.0))
    table = Table(title="t", note="n", lines=(base, ours))
    assert table.ratio(base) is None
    assert table.ratio(ours) == pytest.approx(2.0)
    assert [check.reached for check in checks_of(table)] == [True]


def test_a_cost_ratio_is_of_seconds_per_packet() -> None:
    """Ten times the packets in twelve times the time: a packet costs 1.2 times as much, which is too much."""
    few = line("few", 1.0)
    many = line("many", 12.0, packets=10_000_000, base=few, goal=Goal(bound=1.1, at_most=True))
    table = Table(title="t", note="n", lines=(few, many), by_cost=True)
    assert table.ratio(many) == pytest.approx(1.2)
    assert [check.reached for check in checks_of(table)] == [False]
    assert table.text()[-1].split()[-6:] == ["1.20", "at", "most", "1.1", "NO", "50"]


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (Goal(bound=1.0), 1.0, True),
        (Goal(bound=1.0), 0.999, False),
        (Goal(bound=1.1, at_most=True), 1.1, True),
        (Goal(bound=1.1, at_most=True), 1.11, False),
    ],
)
def test_a_goal_is_reached_at_its_bound(goal: Goal, value: float, reached: bool) -> None:
    assert goal.reached(value) is reached


def test_a_tool_that_is_not_installed_is_said_so() -> None:
    """Neither a number nor a verdict stands beside it."""
    base = Line(name="argus", samples=(), packets=10, bytes=1000)
    ours = Line(name="replay", samples=(), packets=10, bytes=1000, base=base, goal=Goal(bound=10))
    table = Table(title="t", note="n", lines=(base, ours))
    assert table.text()[-2].split() == ["argus", "not", "installed"]
    (check,) = checks_of(table)
    assert check.reached is None
    assert check.row()[1:] == ("not measured", "at least 10 x", "")
    assert table.as_json()["lines"][0] == {"name": "argus", "packets": 10, "installed": False}


def test_a_cold_cache_is_told() -> None:
    """A file that came from the disk measures the disk."""
    cold = Line(name="cold", samples=(sample(1, disk=90_000_000),) * 3, packets=1, bytes=600_000_000)
    one_cold = Line(
        name="first", samples=(sample(1, disk=90_000_000), sample(1), sample(1)), packets=1, bytes=600_000_000
    )
    text = "\n".join(Table(title="t", note="n", lines=(cold, one_cold)).text())
    assert "NOT A WARM CACHE: cold got 90 MB from the disk" in text
    assert "CACHE: first" not in text


def test_memory_below_what_can_be_told_is_said_so() -> None:
    """Even a process that needs nothing has what its launcher had."""
    small = Line(name="small", samples=(sample(1, peak=9_000_000),), packets=1, bytes=1)
    assert Table(title="t", note="n", lines=(small,), floor=9_500_000).text()[-1].endswith("under 9")


def test_a_report_has_all_of_it_for_programs_and_people() -> None:
    """One value behind both."""
    base = line("tcpdump", 1.0)
    table = Table(title="beside tcpdump", note="n", lines=(base, line("replay", 2.0, base=base, goal=Goal(bound=1.0))))
    checks = [*checks_of(table), Check(name="scapy is not imported", value=True)]
    report = Report(date="d", machine="m", versions={"v": "1"}, rounds=1, tables=[table], checks=checks)
    found = report.as_json()
    assert found["tables"][0]["lines"][1]["ratio"] == 0.5
    assert [goal["reached"] for goal in found["goals"]] == [False, True]
    assert "beside tcpdump: replay" in report.text()


# --- where the time goes ----------------------------------------------------------------------------------------


def test_least_squares_finds_what_each_packet_and_flow_costs() -> None:
    rows = [(3e6, 1e5), (1e6, 1e3), (8e5, 1e5)]
    times = [50e-9 * packets + 900e-9 * flows for packets, flows in rows]
    assert least_squares(rows, times) == pytest.approx([50e-9, 900e-9])


def test_noise_has_no_negative_price() -> None:
    """Fewer flows took longer, so the flows cost nothing that can be told."""
    rows = [(1e6, 1e5), (1e6, 1e3)]
    packet, flow = least_squares(rows, [1.0, 1.1])
    assert flow == 0
    assert packet == pytest.approx(1.05e-6, rel=0.05)


def test_shapes_that_are_multiples_of_each_other_tell_nothing() -> None:
    with pytest.raises(ValueError, match="do not differ enough"):
        least_squares([(2.0, 1.0), (4.0, 2.0)], [1.0, 2.0])


def test_every_stage_has_what_it_depends_on() -> None:
    """A stage that is added, moved or taken away is so in both lists; each contains one that stands before it."""
    assert list(stages.STAGES) == list(breakdown.DEPENDS)
    names = list(stages.STAGES)
    for name, (_, without) in stages.STAGES.items():
        assert without is None or names.index(without) < names.index(name)
    assert breakdown.SUMMARY_ENDS in names


def test_stages_are_told_apart_and_add_up(tmp_path: Path) -> None:
    """A stage is what it takes more than the one that it contains; sums stand beside whole processes."""
    shapes = breakdown.shapes_for(Shape(packets=30_000, flows=1000, root=tmp_path))
    for shape in shapes:
        shape.folder().mkdir(parents=True)
        shape.capture().write_bytes(bytes(2 * shape.packets))
    cases = []
    for shape in shapes:
        total, found = 0.0, {}
        for name, units in breakdown.DEPENDS.items():
            own = sum(1e-6 * breakdown.sizes(shape)[unit] for unit in units) if units else 0.25
            total = own if stages.STAGES[name][1] is None else total + own
            found[name] = [[total, 9.0]] * 3
        cases.append(found)
    less = {name: without for name, (_, without) in stages.STAGES.items()}
    result = breakdown.break_down({"less": less, "cases": cases}, shapes, 0.1, 0.7, 0.8)
    by_name = {line["name"]: line for line in result["lines"]}
    assert by_name["load documents"]["seconds"] == 0.25
    assert by_name["flow lookup"]["nanoseconds_per_packet"] == pytest.approx(1000)
    assert by_name["flow lookup"]["nanoseconds_per_flow"] == pytest.approx(1000)
    assert by_name["read the file"]["nanoseconds_per_packet"] == pytest.approx(2000)
    text = breakdown.text(result)
    assert sum("the whole process took" in row for row in text) == 2
    summary = 0.1 + 0.25 + 0.06 + 0.03 + 0.03 + 0.031 + 0.001 + 0.001
    assert any(row.split()[:3] == ["=", "summary", f"{1000 * summary:.0f}"] for row in text)


def test_the_shapes_for_the_stages_tell_packets_from_flows() -> None:
    """Many packets a flow, and few."""
    usual, few, short = breakdown.shapes_for(Shape(packets=3_000_000, flows=100_000))
    assert few.packets / few.flows > 10 * usual.packets / usual.flows
    assert (short.packets / short.flows, short.flow_size) == (8, CONSTANT)


@pytest.mark.slow
def test_the_stages_run_on_the_agent_that_there_is(tmp_path: Path) -> None:
    """They use the agent's inside: what moves there has to move here, too."""
    from benchmark.making import generate

    shapes = breakdown.shapes_for(Shape(packets=600, flows=20, records=10, root=tmp_path))
    for shape in shapes:
        generate(shape)
    measured = breakdown.measure(Path(sys.executable), shapes, 1)
    assert [list(case) for case in measured["cases"]] == [list(stages.STAGES)] * 3
    assert len((shapes[0].folder() / "stage.jsonl").read_text().splitlines()) == 20
