"""A model of the agent's edge around the machine: any command may fail, a crash may come between any two.

Both an exhaustive walk over everything that can happen and a random one (which also lets many actions wait) hold:
an isolation that was reported, or that came to rest, survives every crash; only a release ends it; `actual` never
claims more than what is installed; and whatever happened, the machine comes to rest once nothing fails any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.isolation.machine import REPORTS, Action, Choice, Device, Instruction, Notice, saved, step
from agent.isolation.transitions import RUNNING, WORK, Command, Event, State
from agent.model.vocabulary import Mode

FULL, SELECTIVE = Choice(mode=Mode.FULL), Choice(mode=Mode.SELECTIVE)
ISOLATED = (State.ISOLATED, State.NOT_DURABLE, State.NOT_INSTALLED)


class Store(NamedTuple):
    """What is on disk."""

    device: Device
    snapshot: bool
    """It holds the snapshot of `device.choice` too."""


class World(NamedTuple):
    """The agent, its store and what the datapath runs."""

    device: Device = Device()
    store: Store | None = Store(Device(), False)
    """None: lost or set aside."""
    compiled: bool = False
    """The snapshot of `device.choice` is in memory."""
    installed: Mode = Mode.NONE
    todo: tuple[Instruction, ...] = ()
    failed: Event = Event.DONE
    """How the running commands have gone so far."""
    promised: Choice | None = None
    """The isolation that nothing but a release may end any more."""


def tell(world: World, event: Event, action: Action | None = None) -> World:
    device, instructions = step(world.device, Notice(event=event, now_ns=0, action=action))
    return settled(world._replace(device=device, todo=world.todo + instructions))


def settled(world: World) -> World:
    """At rest with nothing left to do, an isolation is a promise."""
    if not world.todo and world.device.state in ISOLATED:
        return world._replace(promised=world.device.choice)
    return world


def outcomes(command: Command) -> tuple[str, ...]:
    """How a command can end. A write may reach the disk and yet be reported as failed."""
    if command is Command.PERSIST_RELEASED:
        return ("good", "bad", "bad but written")
    return ("good", "bad") if command in WORK else ("good",)


def perform(world: World, outcome: str) -> World:
    """The world after its next command; after the last one of a running state, the machine is told how it went."""
    one, *rest = world.todo
    world = world._replace(todo=tuple(rest))
    if outcome != "bad":
        world = _effect(world, one)
    if outcome != "good":
        if one.command is Command.PERSIST:
            world = world._replace(failed=Event.NOT_DURABLE)
        else:
            left = tuple(other for other in world.todo if other.command not in WORK)
            world = world._replace(failed=Event.FAILED, todo=left)
    if not world.todo and world.device.state in RUNNING:
        return tell(world._replace(failed=Event.DONE), world.failed)
    return settled(world)


def _effect(world: World, one: Instruction) -> World:
    device = world.device
    if one.command is Command.COMPILE:
        return world._replace(compiled=True)
    if one.command is Command.PERSIST:
        assert world.compiled, "there must be a snapshot to write"
        return world._replace(store=Store(saved(device), True))
    if one.command is Command.INSTALL:
        assert world.compiled, "there must be a snapshot to install"
        assert device.choice is not None
        return world._replace(installed=device.choice.mode)
    if one.command is Command.INSTALL_RELEASED:
        assert one.action is not None, "every release of this model is an action"
        assert one.action.choice is None, "only a release releases"
        return world._replace(installed=Mode.NONE, promised=None)
    if one.command is Command.PERSIST_RELEASED:
        return world._replace(store=Store(saved(device), False))
    if one.command is Command.SET_STORE_ASIDE and not holds(world.store, device):
        return world._replace(store=None)
    if one.command in (Command.REPORT_SUCCEEDED, Command.REPORT_NOT_DURABLE) and one.action is not None:
        return world._replace(promised=one.action.choice or world.promised)
    return world


def holds(store: Store | None, device: Device) -> bool:
    return store is not None and store.snapshot and store.device.choice == device.choice


def noted(world: World) -> World:
    """The store is brought up to date, as an edge may do after any step."""
    if world.device.state in (State.RELEASED, State.PREPARING):
        return world._replace(store=Store(world.device, False))
    return world._replace(store=Store(world.device, True)) if holds(world.store, world.device) else world


def crashed(world: World) -> World:
    """Power off and on: memory and datapath are empty, the store is what it was."""
    fresh = World(store=world.store, promised=world.promised)
    if world.store is None:
        return tell(fresh._replace(compiled=True, promised=FULL), Event.STORE_LOST)  # Full needs no snapshot
    return tell(fresh._replace(device=world.store.device, compiled=world.store.snapshot), Event.START)


def run_on(world: World) -> World:
    """Nothing fails any more, nothing new is asked."""
    for _ in range(200):
        if world.todo:
            world = perform(world, "good")
        elif world.device.state in (State.NOT_DURABLE, State.NOT_INSTALLED):
            world = tell(world, Event.RETRY)
        else:
            return world
    raise AssertionError(f"never comes to rest: {world}")


def check(world: World) -> None:
    """What holds at every moment."""
    assert world.device.actual in (Mode.NONE, world.installed), "nobody may mistake it for protection"
    last = run_on(world)
    assert last.device.state in (State.RELEASED, State.ISOLATED)
    assert last.device.queue == ()
    assert last.device.actual == last.device.wanted == last.installed
    if world.promised is None or (world.store and any(one.choice is None for one in world.store.device.queue)):
        return  # nothing was promised, or a start finds a release waiting
    after = run_on(crashed(world))
    assert after.installed is (world.promised.mode if world.store else Mode.FULL), "a crash must not lift an isolation"


def requests(world: World) -> Iterator[World]:
    """One action of each kind, while none waits."""
    if not world.device.queue:
        for choice in (FULL, SELECTIVE):
            yield tell(world, Event.ISOLATE, Action(id=choice.mode.value, choice=choice))
        yield tell(world, Event.UNISOLATE, Action(id="release"))
    yield tell(world, Event.EXPIRED, Action(id="expiry"))
    yield tell(world, Event.RETRY)


def successors(world: World) -> Iterator[World]:
    if world.todo:
        for outcome in outcomes(world.todo[0].command):
            yield perform(world, outcome)
    if len(world.todo) <= 2:  # else reports could pile up without end
        yield from requests(world)
    yield noted(world)
    yield crashed(world)


@pytest.mark.slow
def test_fails_closed_whatever_fails_and_wherever_it_crashes() -> None:
    """Every world that can be reached, each checked with a crash in it."""
    seen = {World()}
    frontier = [World()]
    while frontier:
        world = frontier.pop()
        check(world)
        new = {after for after in successors(world) if after not in seen}
        seen |= new
        frontier += new
    assert {world.device.state for world in seen} == set(State)


class Agent(RuleBasedStateMachine):
    """Random runs: many actions wait at once, and each is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.asked: list[str] = []
        self.answers: Counter[str] = Counter()
        self.number = 0

    def action(self, choice: Choice | None) -> Action:
        self.number += 1
        return Action(id=str(self.number), choice=choice)

    @rule(choice=st.sampled_from((FULL, SELECTIVE, None)))
    def ask(self, choice: Choice | None) -> None:
        action = self.action(choice)
        self.asked.append(action.id)
        self.world = tell(self.world, Event.UNISOLATE if choice is None else Event.ISOLATE, action)

    @precondition(lambda self: self.world.device.state in ISOLATED)
    @rule()
    def expire(self) -> None:
        """A release by the agent itself."""
        action = self.action(None)
        self.asked.append(action.id)
        self.world = tell(self.world, Event.EXPIRED, action)

    @rule()
    def retry(self) -> None:
        self.world = tell(self.world, Event.RETRY)

    @precondition(lambda self: self.world.todo)
    @rule(chance=st.integers(0, 5))
    def work(self, chance: int) -> None:
        """The next command: it works more often than not."""
        one = self.world.todo[0]
        if one.command in REPORTS and one.action is not None:
            self.answers[one.action.id] += 1
        ways = outcomes(one.command)
        self.world = perform(self.world, ways[chance] if chance < len(ways) else "good")

    @rule()
    def note(self) -> None:
        self.world = noted(self.world)

    @rule()
    def crash(self) -> None:
        """What was not answered may be lost or answered again: the one who asked delivers it once more."""
        self.world = crashed(self.world)
        self.asked, self.answers = [], Counter()

    @invariant()
    def holds(self) -> None:
        check(self.world)

    @precondition(lambda self: self.asked and not self.world.todo)
    @invariant()
    def every_action_is_answered_once(self) -> None:
        done = [one for one in self.asked if one not in {action.id for action in self.waiting()}]
        assert {one: self.answers[one] for one in done} == dict.fromkeys(done, 1)

    def waiting(self) -> list[Action]:
        device = self.world.device
        return [*device.queue, *([device.action] if device.action else [])]


TestAgent = Agent.TestCase
TestAgent.settings = settings(max_examples=60, stateful_step_count=40)
