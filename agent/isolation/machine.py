"""The isolation of one device: events in, the next value and instructions out. Pure.

Knows which isolation is wanted, which action runs and which wait; the order of things is the table in
`transitions.py`. Must not know: stores, sockets, clocks, what a policy holds.

    >>> order = Action(id="1", choice=Choice(mode=Mode.FULL))
    >>> device, instructions = step(Device(), Notice(event=Event.ISOLATE, now_ns=0, action=order))
    >>> device.state.value, [one.command.value for one in instructions]
    ('preparing', ['collect_facts', 'compile'])

The edge performs the instructions of one step in order, then, if the state is running, answers with DONE,
NOT_DURABLE or FAILED (see `Event`). The store gets `saved(device)` from PERSIST and PERSIST_RELEASED. After other
steps it may get the device itself, so that a start knows more, unless it lacks the snapshot of that isolation.
The edge feeds every action once: a release delivered again after a new isolation would lift that one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from agent.isolation.transitions import RUNNING, TRANSITIONS, Command, Event, State
from agent.model.vocabulary import Mode

MAX_QUEUE: Final = 32
"""Actions that may wait; more are refused."""


REPORTS: Final = frozenset(
    {
        Command.REPORT_SUCCEEDED,
        Command.REPORT_NOT_DURABLE,
        Command.REPORT_UNCHANGED,
        Command.REPORT_FAILED,
        Command.REFUSE_RELEASE_FIRST,
        Command.REFUSE_QUEUE_FULL,
    }
)
"""The commands that answer an action; left out where none asked."""

_DETAILS: Final = {
    (State.ISOLATED, Event.ISOLATE): "the device is isolated with another type or choice: release it first",
    (State.NOT_DURABLE, Event.ISOLATE): "the device is isolated with another type or choice: release it first",
    (State.NOT_INSTALLED, Event.ISOLATE): "another isolation is still being installed: release the device first",
    (State.RELEASING, Event.START): "the agent was interrupted: the device stays isolated, release it again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What an isolate action asks for. Two actions are the same if these are."""

    mode: Mode
    use_exclusions: bool = True
    """The box in the dialog; by API always ticked. Full ignores it."""

    def __post_init__(self) -> None:
        if self.mode is Mode.NONE:
            raise ValueError("an isolation is full or selective; to end one, release the device")
        if self.mode is Mode.FULL:
            object.__setattr__(self, "use_exclusions", False)


STORE_LOST_CHOICE: Final = Choice(mode=Mode.FULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One machine action for this device, as the edge stored it (with its frozen rules, under the same id)."""

    id: str
    choice: Choice | None = None
    """None: a release."""


_ISOLATIONS: Final = (Event.ISOLATE, Event.ISOLATE_SAME)
_RELEASES: Final = (Event.UNISOLATE, Event.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that happened."""

    event: Event
    now_ns: int
    """Wall-clock time since 1970."""
    action: Action | None = None
    """With ISOLATE and UNISOLATE always; with EXPIRED the release that the agent orders itself, if it records one."""
    error: str = ""
    """With FAILED and NOT_DURABLE: what went wrong, for people."""

    def __post_init__(self) -> None:
        if self.action is None:
            if self.event in (Event.ISOLATE, Event.ISOLATE_SAME, Event.UNISOLATE):
                raise ValueError(f"{self.event.value}: an action must come with it")
        elif self.event not in (_RELEASES if self.action.choice is None else _ISOLATIONS):
            raise ValueError(f"{self.event.value}: action {self.action.id!r} is not of that type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One command for the edge, and what it is about."""

    command: Command
    action: Action | None
    """The action to prepare, persist or report; None where no action asked."""
    detail: str = ""
    """Why, for people; empty where the command says it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The isolation of one device. `state` says what is going on; the rest says about what."""

    state: State = State.RELEASED
    choice: Choice | None = None
    """The isolation in force, being made, or being released; None when released."""
    actual: Mode = Mode.NONE
    """The mode that is known to be installed. NONE when in doubt: nobody may mistake it for protection."""
    since_ns: int | None = None
    """When this isolation came into force."""
    action: Action | None = None
    """The action that runs."""
    queue: tuple[Action, ...] = ()
    """The actions that wait, first come first."""

    @property
    def wanted(self) -> Mode:
        """The mode that the action in work, or else the last one, asked for."""
        if self.choice is None or self.state is State.RELEASING:
            return Mode.NONE
        return self.choice.mode


Step = tuple[Device, tuple[Instruction, ...]]


def step(device: Device, notice: Notice) -> Step:
    """What `notice` makes of `device`, and what the edge must do, in order. Waiting actions follow at once."""
    device, instructions = _one(device, notice)
    while device.queue and device.state not in RUNNING:
        action, *waiting = device.queue
        device = replace(device, queue=tuple(waiting))
        event = Event.UNISOLATE if action.choice is None else Event.ISOLATE
        device, more = _one(device, Notice(event=event, now_ns=notice.now_ns, action=action))
        instructions += more
    return device, instructions


def saved(device: Device) -> Device:
    """What PERSIST and PERSIST_RELEASED write. A release keeps its action, to be reported at the start if need be."""
    if device.state is not State.RELEASING:
        return device
    return replace(device, state=State.RELEASED, choice=None, since_ns=None)


def expired(device: Device, max_duration_ns: int | None, now_ns: int) -> bool:
    """True if isolation.max_duration has passed. None: it never does."""
    return max_duration_ns is not None and device.since_ns is not None and now_ns >= device.since_ns + max_duration_ns


def _one(device: Device, notice: Notice) -> Step:
    """One row of the table."""
    asked = notice.action
    if asked is not None and asked.id in {one.id for one in (device.action, *device.queue) if one is not None}:
        return device, ()  # delivered twice
    event = notice.event
    if event is Event.ISOLATE and asked is not None and asked.choice == device.choice:
        event = Event.ISOLATE_SAME
    state, commands = TRANSITIONS[device.state, event]
    if not commands:
        return device, ()
    if commands == (Command.QUEUE,) and asked is not None:
        return _queue(device, asked)

    about = asked or device.action
    detail = notice.error or _DETAILS.get((device.state, event), "")
    instructions = tuple(
        Instruction(command=command, action=about, detail=detail)
        for command in commands
        if about is not None or command not in REPORTS
    )
    return _moved(device, state, event, about, notice.now_ns), instructions


def _queue(device: Device, action: Action) -> Step:
    if len(device.queue) >= MAX_QUEUE:
        detail = f"{MAX_QUEUE} actions are waiting already: try again when they are done"
        return device, (Instruction(command=Command.REFUSE_QUEUE_FULL, action=action, detail=detail),)
    waiting = replace(device, queue=(*device.queue, action))
    return waiting, (Instruction(command=Command.QUEUE, action=action),)


def _moved(device: Device, state: State, event: Event, about: Action | None, now_ns: int) -> Device:
    """`device` in its next state, with what follows from that for the other fields."""
    choice, actual, since_ns = device.choice, device.actual, device.since_ns
    if event in (Event.START, Event.STORE_LOST):
        actual = Mode.NONE
    if event is Event.STORE_LOST:
        choice = STORE_LOST_CHOICE
    if state is State.PREPARING and about is not None:
        choice = about.choice
    if state in (State.ISOLATED, State.NOT_DURABLE) and choice is not None:
        actual = choice.mode
        since_ns = now_ns if since_ns is None else since_ns
    elif state is State.RELEASING:
        actual = Mode.NONE
    elif state is State.RELEASED:
        choice, actual, since_ns = None, Mode.NONE, None
    # An action runs from its acceptance until it is reported; resuming is nobody's action.
    runs = state in RUNNING and state is not State.RESUMING
    return replace(device, state=state, choice=choice, actual=actual, since_ns=since_ns, action=about if runs else None)
