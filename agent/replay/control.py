"""Isolates and releases the replayed device: performs the commands of the isolation table on an engine.

Knows which policy each state needs. Never: the order of commands (isolation.transitions has it), packets.
A replay has nothing to make durable, so PERSIST is done by doing nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.engine.engine import Engine
from agent.isolation.machine import Action, Choice, Device, Instruction, Notice, step
from agent.isolation.transitions import RUNNING, Command, Event, State
from agent.model.moment import format_time
from agent.model.vocabulary import Mode
from agent.policy.effective import EffectivePolicy
from agent.sinks.summary import PolicyRow

_REPORTS = {
    Command.REPORT_SUCCEEDED: "succeeded",
    Command.REPORT_NOT_DURABLE: "succeeded",
    Command.REPORT_UNCHANGED: "unchanged",
    Command.REPORT_FAILED: "failed",
    Command.REFUSE_RELEASE_FIRST: "failed",
}


class Isolation:
    """The isolation of one replayed device."""

    def __init__(
        self,
        engine: Engine,
        compile_policy: Callable[[int], EffectivePolicy],
        released_policy: Callable[[int], EffectivePolicy],
    ) -> None:
        """Both callables take a generation. The engine starts released, as generation 1."""
        self.engine = engine
        self.policies: list[PolicyRow] = []
        self.isolated: EffectivePolicy | None = None
        """The policy of the isolation, once there was one."""
        self.intervals: list[list[int]] = []
        """[from, to] in ns of each isolation; the last one's end is open while it is -1."""
        self.released_free = False
        """A release came while nothing was isolated: it succeeded and changed nothing."""
        self._compile = compile_policy
        self._released = released_policy
        self._device = Device()
        self._generation = 0
        self._actions = 0
        self._compiled: EffectivePolicy | None = None
        self._install(released_policy(self._next()), None)

    def isolate(self, mode: Mode, use_exclusions: bool, now_ns: int, at: int | None) -> None:
        """Isolate from the next packet on. `at`: when it was asked for, None if from the start."""
        self._actions += 1
        action = Action(id=f"replay-{self._actions}", choice=Choice(mode=mode, use_exclusions=use_exclusions))
        self._run(Notice(event=Event.ISOLATE, now_ns=now_ns, action=action), at)

    def release(self, now_ns: int, at: int | None) -> None:
        """Release from the next packet on."""
        self._actions += 1
        self._run(Notice(event=Event.UNISOLATE, now_ns=now_ns, action=Action(id=f"replay-{self._actions}")), at)

    def _run(self, notice: Notice, at: int | None) -> None:
        self._device, instructions = step(self._device, notice)
        for instruction in instructions:
            self._perform(instruction, notice.now_ns, at)
        while self._device.state in RUNNING:
            self._device, instructions = step(self._device, Notice(event=Event.DONE, now_ns=notice.now_ns))
            for instruction in instructions:
                self._perform(instruction, notice.now_ns, at)

    def _perform(self, instruction: Instruction, now_ns: int, at: int | None) -> None:
        command = instruction.command
        if command is Command.COMPILE:
            self._compiled = self._compile(self._next())
        elif command is Command.INSTALL and self._compiled is not None:
            self.isolated = self._compiled
            self.intervals.append([now_ns, -1])
            self._install(self._compiled, at)
        elif command is Command.INSTALL_RELEASED:
            self.intervals[-1][1] = now_ns
            self._install(self._released(self._next()), at)
        elif command in _REPORTS:
            free = command is Command.REPORT_UNCHANGED and self._device.state is State.RELEASED
            self.released_free = self.released_free or free
            self._report(instruction, now_ns)

    def _next(self) -> int:
        self._generation += 1
        return self._generation

    def _install(self, policy: EffectivePolicy, at: int | None) -> None:
        self.engine.install(policy)
        self.policies.append(PolicyRow(mode=policy.mode, generation=policy.generation, digest=policy.digest, at=at))

    def _report(self, instruction: Instruction, now_ns: int) -> None:
        if self.engine.sink is None or instruction.action is None:
            return
        policy = self.engine.policy
        assert policy is not None
        self.engine.sink.isolation(
            {
                "timestamp": format_time(now_ns),
                "action": "release" if instruction.action.choice is None else "isolate",
                "action_id": instruction.action.id,
                "status": _REPORTS[instruction.command],
                "detail": instruction.detail,
                "policy": {"generation": policy.generation, "mode": policy.mode.value, "digest": policy.digest},
                "rules": [{"name": rule.name, "ignored_because": rule.ignored_because} for rule in policy.snapshot],
            }
        )
