"""The table is complete, and its rows keep the promises that hold for all of them."""

from __future__ import annotations

import pytest

from agent.isolation import transitions
from agent.isolation.render import as_matrix
from agent.isolation.transitions import RUNNING, TRANSITIONS, WORK, Command, Event, State

COMPLETIONS = (Event.DONE, Event.NOT_DURABLE, Event.FAILED)
REQUESTS = (Event.ISOLATE, Event.ISOLATE_SAME, Event.UNISOLATE)
HOLDING = (State.ISOLATED, State.NOT_DURABLE, State.NOT_INSTALLED, State.RESUMING)
"""The states in which an isolation is wanted and no action changes that."""


def test_every_pair_of_state_and_event_has_a_row() -> None:
    assert set(TRANSITIONS) == {(state, event) for state in State for event in Event}


def test_docstring_holds_the_table() -> None:
    lines = [line.removeprefix("    ") for line in (transitions.__doc__ or "").splitlines()]
    assert as_matrix() in "\n".join(lines)


def test_every_command_is_used_by_a_row_but_the_one_for_a_full_queue() -> None:
    used = {command for _, commands in TRANSITIONS.values() for command in commands}
    assert set(Command) - used == {Command.REFUSE_QUEUE_FULL}


@pytest.mark.parametrize("pair", TRANSITIONS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_work_is_given_exactly_on_the_way_into_a_running_state(pair: tuple[State, Event]) -> None:
    """Whoever waits for a completion gets one, and nobody else does."""
    state, _ = pair
    following, commands = TRANSITIONS[pair]
    works = bool(WORK & set(commands))
    if following not in RUNNING:
        assert not works
    else:
        assert works or following is state


@pytest.mark.parametrize("state", sorted(RUNNING))
@pytest.mark.parametrize("event", REQUESTS)
def test_an_action_waits_while_another_runs(state: State, event: Event) -> None:
    assert TRANSITIONS[state, event] == (state, (Command.QUEUE,))


@pytest.mark.parametrize("state", sorted(set(State) - RUNNING))
@pytest.mark.parametrize("event", COMPLETIONS)
def test_a_completion_that_nothing_waits_for_changes_nothing(state: State, event: Event) -> None:
    assert TRANSITIONS[state, event] == (state, (Command.LOG_STRAY,))


@pytest.mark.parametrize("state", sorted(RUNNING))
@pytest.mark.parametrize("event", COMPLETIONS)
def test_every_completion_ends_its_running_state(state: State, event: Event) -> None:
    assert TRANSITIONS[state, event][0] is not state


@pytest.mark.parametrize("state", HOLDING)
@pytest.mark.parametrize("event", sorted(set(Event) - {Event.UNISOLATE, Event.EXPIRED}))
def test_fails_closed_an_isolation_ends_by_release_or_expiry_only(state: State, event: Event) -> None:
    assert TRANSITIONS[state, event][0] not in (State.RELEASED, State.RELEASING)


@pytest.mark.parametrize("event", sorted(set(Event) - {Event.DONE}))
def test_fails_closed_a_release_that_is_not_done_leads_back_to_isolation(event: Event) -> None:
    assert TRANSITIONS[State.RELEASING, event][0] in (State.RELEASING, State.RESUMING)


@pytest.mark.parametrize("state", State)
def test_fails_closed_a_lost_store_means_isolation_whatever_was_before(state: State) -> None:
    following, commands = TRANSITIONS[state, Event.STORE_LOST]
    assert following is State.RESUMING
    assert {Command.SET_STORE_ASIDE, Command.INSTALL, Command.RAISE_FAULT} <= set(commands)


@pytest.mark.parametrize(
    ("pair", "row"),
    [
        pytest.param(
            (State.RELEASED, Event.ISOLATE),
            (State.PREPARING, (Command.COLLECT_FACTS, Command.COMPILE)),
            id="facts, then compile",
        ),
        pytest.param((State.PREPARING, Event.FAILED), (State.RELEASED, (Command.REPORT_FAILED,)), id="nothing changed"),
        pytest.param(
            (State.PREPARING, Event.DONE),
            (State.ISOLATING, (Command.PERSIST, Command.INSTALL)),
            id="isolating: persist, install",
        ),
        pytest.param((State.ISOLATING, Event.DONE), (State.ISOLATED, (Command.REPORT_SUCCEEDED,)), id="then report"),
        pytest.param(
            (State.ISOLATED, Event.UNISOLATE),
            (State.RELEASING, (Command.INSTALL_RELEASED, Command.PERSIST_RELEASED)),
            id="releasing: install, persist",
        ),
        pytest.param((State.RELEASING, Event.DONE), (State.RELEASED, (Command.REPORT_SUCCEEDED,)), id="then report it"),
        pytest.param(
            (State.RELEASED, Event.UNISOLATE), (State.RELEASED, (Command.REPORT_UNCHANGED,)), id="released already"
        ),
        pytest.param(
            (State.ISOLATED, Event.ISOLATE_SAME), (State.ISOLATED, (Command.REPORT_UNCHANGED,)), id="isolated already"
        ),
        pytest.param(
            (State.ISOLATED, Event.ISOLATE), (State.ISOLATED, (Command.REFUSE_RELEASE_FIRST,)), id="isolated otherwise"
        ),
    ],
)
def test_order_of_things(pair: tuple[State, Event], row: tuple[State, tuple[Command, ...]]) -> None:
    """semantics.md section 4, "Order" and "Isolating an isolated device"."""
    assert TRANSITIONS[pair] == row


def test_nothing_is_installed_before_it_was_given_to_the_store() -> None:
    """Isolating persists first and releasing last: a crash between the two leaves the device isolated."""
    for following, commands in TRANSITIONS.values():
        if following is State.RESUMING and commands == (Command.INSTALL,):
            continue  # the store holds it already
        if Command.INSTALL in commands:
            assert commands.index(Command.PERSIST) < commands.index(Command.INSTALL)
        if Command.PERSIST_RELEASED in commands:
            assert commands.index(Command.INSTALL_RELEASED) < commands.index(Command.PERSIST_RELEASED)
