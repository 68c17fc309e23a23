"""What one device does with actions, failures, waiting actions and crashes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.isolation.machine import MAX_QUEUE, Action, Choice, Device, Instruction, Notice, expired, saved, step
from agent.isolation.transitions import Command, Event, State
from agent.model.vocabulary import Mode

FULL = Choice(mode=Mode.FULL)
SELECTIVE = Choice(mode=Mode.SELECTIVE)
NOW = 1_767_600_000_000_000_000


def isolate(identity: str = "i1", choice: Choice = FULL) -> Notice:
    return Notice(event=Event.ISOLATE, now_ns=NOW, action=Action(id=identity, choice=choice))


def release(identity: str = "r1") -> Notice:
    return Notice(event=Event.UNISOLATE, now_ns=NOW, action=Action(id=identity))


def happens(event: Event, error: str = "") -> Notice:
    return Notice(event=event, now_ns=NOW, error=error)


DONE = happens(Event.DONE)


def run(*notices: Notice, device: Device | None = None) -> tuple[Device, list[Instruction]]:
    """The device after `notices`, and what the last one asked for."""
    device = device or Device()
    instructions: tuple[Instruction, ...] = ()
    for notice in notices:
        device, instructions = step(device, notice)
    return device, list(instructions)


def commands(instructions: list[Instruction]) -> list[Command]:
    return [one.command for one in instructions]


def test_an_isolation_from_request_to_report() -> None:
    device, todo = run(isolate(choice=SELECTIVE))
    assert commands(todo) == [Command.COLLECT_FACTS, Command.COMPILE]
    assert {one.action for one in todo} == {Action(id="i1", choice=SELECTIVE)}
    assert (device.wanted, device.actual) == (Mode.SELECTIVE, Mode.NONE)
    device, todo = run(DONE, device=device)
    assert commands(todo) == [Command.PERSIST, Command.INSTALL]
    assert device.actual is Mode.NONE
    device, todo = run(DONE, device=device)
    assert todo == [Instruction(command=Command.REPORT_SUCCEEDED, action=Action(id="i1", choice=SELECTIVE))]
    assert device == Device(state=State.ISOLATED, choice=SELECTIVE, actual=Mode.SELECTIVE, since_ns=NOW)


def test_a_release_from_request_to_report() -> None:
    isolated, _ = run(isolate(), DONE, DONE)
    device, todo = run(release(), device=isolated)
    assert commands(todo) == [Command.INSTALL_RELEASED, Command.PERSIST_RELEASED]
    assert (device.wanted, device.actual) == (Mode.NONE, Mode.NONE)
    device, todo = run(DONE, device=device)
    assert todo == [Instruction(command=Command.REPORT_SUCCEEDED, action=Action(id="r1"))]
    assert device == Device()


def test_an_isolation_that_cannot_be_compiled_changes_nothing() -> None:
    device, todo = run(isolate(), happens(Event.FAILED, "no cloud channel data"))
    assert device == Device()
    assert [(one.command, one.detail) for one in todo] == [(Command.REPORT_FAILED, "no cloud channel data")]


def test_a_full_disk_does_not_stop_an_isolation() -> None:
    device, todo = run(isolate(), DONE, happens(Event.NOT_DURABLE, "disk full"))
    assert commands(todo) == [Command.SET_STORE_ASIDE, Command.REPORT_NOT_DURABLE, Command.RAISE_FAULT]
    assert (device.state, device.actual) == (State.NOT_DURABLE, Mode.FULL)
    device, todo = run(happens(Event.RETRY), device=device)
    assert commands(todo) == [Command.PERSIST, Command.INSTALL]
    assert device.actual is Mode.FULL, "it stays installed while persisting is tried again"
    device, todo = run(DONE, device=device)
    assert (device.state, commands(todo)) == (State.ISOLATED, [Command.RECORD_RESUMED])


def test_an_isolation_that_cannot_be_installed_stays_wanted_and_is_shown_as_not_actual() -> None:
    device, todo = run(isolate(), DONE, happens(Event.FAILED, "kernel refused"))
    assert Command.REPORT_FAILED in commands(todo)
    assert (device.state, device.wanted, device.actual) == (State.NOT_INSTALLED, Mode.FULL, Mode.NONE)
    device, _ = run(happens(Event.RETRY), DONE, device=device)
    assert (device.state, device.actual) == (State.ISOLATED, Mode.FULL)


def test_asking_again_for_what_could_not_be_installed_tries_at_once_and_reports() -> None:
    device, todo = run(isolate(), DONE, happens(Event.FAILED), isolate("i2"), DONE)
    assert device.state is State.ISOLATED
    assert todo == [Instruction(command=Command.REPORT_SUCCEEDED, action=Action(id="i2", choice=FULL))]


@pytest.mark.parametrize(
    ("choice", "command"),
    [
        pytest.param(Choice(mode=Mode.SELECTIVE), Command.REPORT_UNCHANGED, id="same"),
        pytest.param(Choice(mode=Mode.SELECTIVE, use_exclusions=False), Command.REFUSE_RELEASE_FIRST, id="box"),
        pytest.param(Choice(mode=Mode.FULL), Command.REFUSE_RELEASE_FIRST, id="type"),
    ],
)
def test_isolating_an_isolated_device_never_takes_a_new_snapshot(choice: Choice, command: Command) -> None:
    isolated, _ = run(isolate(choice=SELECTIVE), DONE, DONE)
    device, todo = run(isolate("i2", choice), device=isolated)
    assert device == isolated
    assert [(one.command, one.action) for one in todo] == [(command, Action(id="i2", choice=choice))]
    assert ("release" in todo[0].detail) is (command is Command.REFUSE_RELEASE_FIRST)


def test_the_box_makes_no_difference_to_full() -> None:
    assert Choice(mode=Mode.FULL, use_exclusions=True) == Choice(mode=Mode.FULL, use_exclusions=False)


def test_releasing_a_released_device_says_that_nothing_changed() -> None:
    device, todo = run(release())
    assert device == Device()
    assert commands(todo) == [Command.REPORT_UNCHANGED]


def test_a_release_waits_for_the_isolation_and_then_follows_at_once() -> None:
    waiting, todo = run(isolate(), release())
    assert commands(todo) == [Command.QUEUE]
    assert waiting.queue == (Action(id="r1"),)
    device, todo = run(DONE, DONE, device=waiting)
    assert commands(todo) == [Command.REPORT_SUCCEEDED, Command.INSTALL_RELEASED, Command.PERSIST_RELEASED]
    assert [one.action.id for one in todo if one.action] == ["i1", "r1", "r1"]
    assert (device.state, device.queue) == (State.RELEASING, ())


def test_waiting_actions_are_judged_in_order_when_their_turn_comes() -> None:
    """Refused and unchanged ones do not hold up those behind them."""
    device, todo = run(isolate(), isolate("i2", SELECTIVE), isolate("i3", FULL), release(), isolate("i4", SELECTIVE))
    assert [action.id for action in device.queue] == ["i2", "i3", "r1", "i4"]
    device, todo = run(DONE, DONE, device=device)
    assert [(one.command, one.action.id if one.action else "") for one in todo] == [
        (Command.REPORT_SUCCEEDED, "i1"),
        (Command.REFUSE_RELEASE_FIRST, "i2"),
        (Command.REPORT_UNCHANGED, "i3"),
        (Command.INSTALL_RELEASED, "r1"),
        (Command.PERSIST_RELEASED, "r1"),
    ]
    device, todo = run(DONE, device=device)
    assert (device.state, device.choice, device.queue) == (State.PREPARING, SELECTIVE, ())
    assert commands(todo) == [Command.REPORT_SUCCEEDED, Command.COLLECT_FACTS, Command.COMPILE]


def test_an_action_delivered_twice_counts_once() -> None:
    device, _ = run(isolate(), release())
    assert run(isolate(), device=device) == (device, [])
    assert run(release(), device=device) == (device, [])


def test_too_many_waiting_actions_are_refused() -> None:
    device, _ = run(isolate(), *(release(f"r{number}") for number in range(MAX_QUEUE)))
    after, todo = run(release("late"), device=device)
    assert after == device
    assert commands(todo) == [Command.REFUSE_QUEUE_FULL]
    assert str(MAX_QUEUE) in todo[0].detail


@pytest.mark.parametrize("event", [Event.FAILED, Event.NOT_DURABLE, Event.START])
def test_fails_closed_a_release_that_does_not_come_off_leaves_the_device_isolated(event: Event) -> None:
    device, todo = run(isolate(), DONE, DONE, release(), happens(event))
    assert commands(todo) == [Command.PERSIST, Command.INSTALL, Command.REPORT_FAILED]
    assert (device.wanted, device.action) == (Mode.FULL, None)
    device, todo = run(DONE, device=device)
    assert (device.state, device.actual) == (State.ISOLATED, Mode.FULL)
    assert commands(todo) == [Command.RECORD_RESUMED]


def test_a_restart_resumes_the_isolation_and_its_age() -> None:
    isolated, _ = run(isolate(choice=SELECTIVE), DONE, DONE)
    later = NOW + 10**18
    device, todo = step(saved(isolated), Notice(event=Event.START, now_ns=later))
    assert [one.command for one in todo] == [Command.INSTALL]
    assert (device.wanted, device.actual) == (Mode.SELECTIVE, Mode.NONE)
    device, _ = step(device, Notice(event=Event.DONE, now_ns=later))
    assert device == isolated


def test_a_restart_reports_the_release_that_the_crash_kept_silent() -> None:
    releasing, _ = run(isolate(), DONE, DONE, release())
    device, todo = run(happens(Event.START), device=saved(releasing))
    assert device == Device()
    assert todo == [Instruction(command=Command.REPORT_SUCCEEDED, action=Action(id="r1"))]


def test_a_restart_of_a_released_device_does_nothing() -> None:
    assert run(happens(Event.START)) == (Device(), [])


def test_a_restart_goes_on_with_the_actions_that_waited() -> None:
    device, _ = run(isolate(), DONE, DONE, release(), isolate("i2", SELECTIVE))
    device, todo = run(happens(Event.START), device=saved(device))
    assert device.state is State.PREPARING
    assert commands(todo) == [Command.REPORT_SUCCEEDED, Command.COLLECT_FACTS, Command.COMPILE]


def test_fails_closed_a_lost_store_is_full_isolation() -> None:
    device, _ = run(happens(Event.STORE_LOST), DONE)
    assert device == Device(state=State.ISOLATED, choice=FULL, actual=Mode.FULL, since_ns=NOW)


def test_expiry_releases_and_is_nobodys_action() -> None:
    isolated, _ = run(isolate(), DONE, DONE)
    device, todo = run(happens(Event.EXPIRED), device=isolated)
    assert [(one.command, one.action) for one in todo] == [
        (Command.INSTALL_RELEASED, None),
        (Command.PERSIST_RELEASED, None),
    ]
    assert run(DONE, device=device) == (Device(), [])


def test_expiry_while_an_action_runs_does_not_take_its_place() -> None:
    device, _ = run(isolate())
    own_release = Notice(event=Event.EXPIRED, now_ns=NOW, action=Action(id="expiry"))
    assert run(own_release, device=device) == (device, [])


@pytest.mark.parametrize(
    ("maximum", "age", "over"),
    [
        pytest.param(None, 10**18, False, id="never"),
        pytest.param(100, 99, False, id="not yet"),
        pytest.param(100, 100, True, id="now"),
        pytest.param(100, -5, False, id="the clock went back"),
    ],
)
def test_expired(maximum: int | None, age: int, over: bool) -> None:
    device = Device(state=State.ISOLATED, choice=FULL, actual=Mode.FULL, since_ns=NOW)
    assert expired(device, maximum, NOW + age) is over
    assert not expired(replace(device, since_ns=None), maximum, NOW + age)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: Choice(mode=Mode.NONE), id="isolating with mode none"),
        pytest.param(lambda: Notice(event=Event.ISOLATE, now_ns=0), id="no action"),
        pytest.param(lambda: Notice(event=Event.ISOLATE, now_ns=0, action=Action(id="r")), id="isolate by a release"),
        pytest.param(
            lambda: Notice(event=Event.UNISOLATE, now_ns=0, action=Action(id="i", choice=FULL)), id="release by isolate"
        ),
        pytest.param(lambda: Notice(event=Event.DONE, now_ns=0, action=Action(id="r")), id="completion with action"),
    ],
)
def test_values_that_make_no_sense_cannot_be_built(build: object) -> None:
    with pytest.raises(ValueError, match=r"isolat|action"):
        build()  # type: ignore[operator]  # a lambda of the table above
