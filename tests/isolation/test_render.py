"""Pictures of the table hold what the table holds."""

from __future__ import annotations

from agent.isolation.render import as_markdown, as_matrix, as_mermaid
from agent.isolation.transitions import TRANSITIONS, Event, State


def test_matrix_has_the_next_state_of_every_pair() -> None:
    header, *rows = [line.split() for line in as_matrix().splitlines()]
    assert header == ["event", *State]
    seen = {}
    for event, *cells in rows:
        for state, cell in zip(State, cells, strict=True):
            seen[state, Event(event)] = state if cell == "." else State(cell)
    assert seen == {pair: following for pair, (following, _) in TRANSITIONS.items()}


def test_markdown_has_a_row_per_pair_with_its_commands() -> None:
    rows = as_markdown().splitlines()[2:]
    assert len(rows) == len(TRANSITIONS)
    assert "| released | isolate | preparing | collect_facts, compile |" in rows
    assert "| released | expired | released | nothing |" in rows


def test_mermaid_has_an_arrow_per_change_of_state() -> None:
    lines = as_mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> released"]
    assert "    releasing --> resuming: not_durable, failed, start, store_lost" in lines
    changes = {(state, after) for (state, _), (after, _) in TRANSITIONS.items() if after is not state}
    assert {tuple(line.split(":")[0].split(" --> ")) for line in lines[2:-2]} == {(f"    {a}", b) for a, b in changes}
