"""The transition table as text, for documents and docstrings. It knows how tables look, never what they mean.

    >>> print(as_mermaid().splitlines()[2])
        released --> preparing: isolate, isolate_same

The docstring of `transitions.py` holds the matrix; a test keeps it true.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.isolation.transitions import RUNNING, TRANSITIONS, Event, State, Transition


def as_matrix(table: Mapping[tuple[State, Event], Transition] = TRANSITIONS) -> str:
    """Next state by event (rows) and state (columns); `.` where the state stays."""

    def cell(state: State, event: Event) -> str:
        following, _ = table[state, event]
        return "." if following is state else following.value

    rows = [["event", *(state.value for state in State)]]
    rows += [[event.value, *(cell(state, event) for state in State)] for event in Event]
    widths = [max(len(word) for word in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_markdown(table: Mapping[tuple[State, Event], Transition] = TRANSITIONS) -> str:
    """Every row with its commands."""
    lines = ["| state | event | next | commands, in order |", "|---|---|---|---|"]
    for (state, event), (following, commands) in table.items():
        orders = ", ".join(command.value for command in commands) or "nothing"
        lines.append(f"| {state.value} | {event.value} | {following.value} | {orders} |")
    return "\n".join(lines)


def as_mermaid(table: Mapping[tuple[State, Event], Transition] = TRANSITIONS) -> str:
    """The changes of state as a Mermaid diagram; running states are drawn with the class `running`."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), (following, _) in table.items():
        if following is not state:
            arrows.setdefault((state, following), []).append(event.value)
    lines = ["stateDiagram-v2", f"    [*] --> {State.RELEASED.value}"]
    lines += [f"    {a.value} --> {b.value}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines.append("    classDef running font-style:italic")
    lines.append(f"    class {','.join(state.value for state in State if state in RUNNING)} running")
    return "\n".join(lines)
