"""The states of one device's isolation, and what happens in each: a table that code, tests and documents read.

Knows the order of things: what follows what, and what is refused. Must not know: policies, stores, HTTP, threads,
clocks. `machine.py` walks the table, an edge performs the commands. Next states (`.`: it stays):

    event         released   preparing  isolating      isolated   not_durable  not_installed  resuming       releasing
    isolate       preparing  .          .              .          .            .              .              .
    isolate_same  preparing  .          .              .          .            isolating      .              .
    unisolate     .          .          .              releasing  releasing    releasing      .              .
    expired       .          .          .              releasing  releasing    releasing      .              .
    done          .          isolating  isolated       .          .            .              isolated       released
    not_durable   .          released   not_durable    .          .            .              not_durable    resuming
    failed        .          released   not_installed  .          .            .              not_installed  resuming
    retry         .          .          .              .          resuming     resuming       .              .
    start         .          .          .              resuming   resuming     resuming       .              resuming
    store_lost    resuming   resuming   resuming       resuming   resuming     resuming       .              resuming

    >>> TRANSITIONS[State.PREPARING, Event.FAILED]
    (<State.RELEASED: 'released'>, (<Command.REPORT_FAILED: 'report_failed'>,))
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a device stands. In a running state (RUNNING) commands are being performed; in the others nothing is."""

    RELEASED = "released"
    PREPARING = "preparing"
    """An isolate action runs; nothing has changed yet."""
    ISOLATING = "isolating"
    """The policy is compiled and is being made durable and actual."""
    ISOLATED = "isolated"
    NOT_DURABLE = "not_durable"
    """Isolated, but the store does not know: tried again at every RETRY."""
    NOT_INSTALLED = "not_installed"
    """Isolation is wanted, but the last attempt to install it failed: tried again at every RETRY."""
    RESUMING = "resuming"
    """An isolation that was in force is being made so again."""
    RELEASING = "releasing"
    """A release runs."""


RUNNING: Final = frozenset({State.PREPARING, State.ISOLATING, State.RESUMING, State.RELEASING})


class Event(StrEnum):
    """What can happen. DONE, NOT_DURABLE and FAILED each end the commands of a running state, exactly once."""

    ISOLATE = "isolate"
    """An isolate action."""
    ISOLATE_SAME = "isolate_same"
    """An isolate action whose type and choice are already wanted: `machine.step` makes it of ISOLATE."""
    UNISOLATE = "unisolate"
    EXPIRED = "expired"
    """isolation.max_duration has passed, if one is set; said again until it has effect."""
    DONE = "done"
    NOT_DURABLE = "not_durable"
    """All was done but PERSIST."""
    FAILED = "failed"
    """Another command than PERSIST failed, and those behind it were left out."""
    RETRY = "retry"
    """Time to try again what failed; harmless where nothing did."""
    START = "start"
    """The agent has started and read this state from its store: nothing is installed."""
    STORE_LOST = "store_lost"
    """The agent has started without a readable store although it was installed here."""


class Command(StrEnum):
    """What the edge is to do. Those of WORK take time and can fail; the others only note or send."""

    COLLECT_FACTS = "collect_facts"
    """Ask the host which executables, services and packages exist."""
    COMPILE = "compile"
    """Frozen rules and host facts become the exclusion snapshot and the effective policy."""
    PERSIST = "persist"
    """Write the isolation and its snapshot to the store, on disk. A failure does not stop what follows."""
    INSTALL = "install"
    """Put the wanted isolation in force, compiled from its snapshot if need be. Repeating it changes nothing."""
    INSTALL_RELEASED = "install_released"
    PERSIST_RELEASED = "persist_released"
    SET_STORE_ASIDE = "set_store_aside"
    """Unless the store holds this isolation, rename it: a start without it isolates fully, never releases."""
    QUEUE = "queue"
    """The action waits for those before it."""
    REPORT_SUCCEEDED = "report_succeeded"
    REPORT_NOT_DURABLE = "report_not_durable"
    """Succeeded, with the flag not_durable."""
    REPORT_UNCHANGED = "report_unchanged"
    """Succeeded, nothing had to change."""
    REPORT_FAILED = "report_failed"
    REFUSE_RELEASE_FIRST = "refuse_release_first"
    """Failed: the device is isolated otherwise; a new snapshot needs a release first."""
    REFUSE_QUEUE_FULL = "refuse_queue_full"
    RECORD_RESUMED = "record_resumed"
    """Note that the isolation is in force again."""
    RAISE_FAULT = "raise_fault"
    LOG_STRAY = "log_stray"
    """A completion that nothing waits for: a bug of the edge, without effect."""


WORK: Final = frozenset(
    {
        Command.COLLECT_FACTS,
        Command.COMPILE,
        Command.PERSIST,
        Command.INSTALL,
        Command.INSTALL_RELEASED,
        Command.PERSIST_RELEASED,
    }
)
S, E, C = State, Event, Command
Transition = tuple[State, tuple[Command, ...]]

PREPARE: Final = (S.PREPARING, (C.COLLECT_FACTS, C.COMPILE))
ISOLATE: Final = (S.ISOLATING, (C.PERSIST, C.INSTALL))
RELEASE: Final = (S.RELEASING, (C.INSTALL_RELEASED, C.PERSIST_RELEASED))
RESUME: Final = (S.RESUMING, (C.PERSIST, C.INSTALL))
STAY_ISOLATED: Final = (S.RESUMING, (C.PERSIST, C.INSTALL, C.REPORT_FAILED))
"""The end of a release that did not come off."""
RECOVER: Final = (S.RESUMING, (C.SET_STORE_ASIDE, C.PERSIST, C.INSTALL, C.RAISE_FAULT))
"""Full isolation with the cloud channel, whatever was wanted before: nobody releases by deleting the store."""

TRANSITIONS: Final[Mapping[tuple[State, Event], Transition]] = {
    # Released. What a crash kept from being reported is reported at the start.
    (S.RELEASED, E.ISOLATE): PREPARE,
    (S.RELEASED, E.ISOLATE_SAME): PREPARE,
    (S.RELEASED, E.UNISOLATE): (S.RELEASED, (C.REPORT_UNCHANGED,)),
    (S.RELEASED, E.EXPIRED): (S.RELEASED, ()),
    (S.RELEASED, E.DONE): (S.RELEASED, (C.LOG_STRAY,)),
    (S.RELEASED, E.NOT_DURABLE): (S.RELEASED, (C.LOG_STRAY,)),
    (S.RELEASED, E.FAILED): (S.RELEASED, (C.LOG_STRAY,)),
    (S.RELEASED, E.RETRY): (S.RELEASED, ()),
    (S.RELEASED, E.START): (S.RELEASED, (C.REPORT_SUCCEEDED,)),
    (S.RELEASED, E.STORE_LOST): RECOVER,
    # Preparing: a failure here changes nothing.
    (S.PREPARING, E.ISOLATE): (S.PREPARING, (C.QUEUE,)),
    (S.PREPARING, E.ISOLATE_SAME): (S.PREPARING, (C.QUEUE,)),
    (S.PREPARING, E.UNISOLATE): (S.PREPARING, (C.QUEUE,)),
    (S.PREPARING, E.EXPIRED): (S.PREPARING, ()),
    (S.PREPARING, E.DONE): ISOLATE,
    (S.PREPARING, E.NOT_DURABLE): (S.RELEASED, (C.REPORT_FAILED,)),
    (S.PREPARING, E.FAILED): (S.RELEASED, (C.REPORT_FAILED,)),
    (S.PREPARING, E.RETRY): (S.PREPARING, ()),
    (S.PREPARING, E.START): PREPARE,
    (S.PREPARING, E.STORE_LOST): RECOVER,
    # Isolating: a full disk does not stop it, and what cannot be installed is tried again until it is released.
    (S.ISOLATING, E.ISOLATE): (S.ISOLATING, (C.QUEUE,)),
    (S.ISOLATING, E.ISOLATE_SAME): (S.ISOLATING, (C.QUEUE,)),
    (S.ISOLATING, E.UNISOLATE): (S.ISOLATING, (C.QUEUE,)),
    (S.ISOLATING, E.EXPIRED): (S.ISOLATING, ()),
    (S.ISOLATING, E.DONE): (S.ISOLATED, (C.REPORT_SUCCEEDED,)),
    (S.ISOLATING, E.NOT_DURABLE): (S.NOT_DURABLE, (C.SET_STORE_ASIDE, C.REPORT_NOT_DURABLE, C.RAISE_FAULT)),
    (S.ISOLATING, E.FAILED): (S.NOT_INSTALLED, (C.SET_STORE_ASIDE, C.REPORT_FAILED, C.RAISE_FAULT)),
    (S.ISOLATING, E.RETRY): (S.ISOLATING, ()),
    (S.ISOLATING, E.START): ISOLATE,
    (S.ISOLATING, E.STORE_LOST): RECOVER,
    # Isolated: never a new snapshot.
    (S.ISOLATED, E.ISOLATE): (S.ISOLATED, (C.REFUSE_RELEASE_FIRST,)),
    (S.ISOLATED, E.ISOLATE_SAME): (S.ISOLATED, (C.REPORT_UNCHANGED,)),
    (S.ISOLATED, E.UNISOLATE): RELEASE,
    (S.ISOLATED, E.EXPIRED): RELEASE,
    (S.ISOLATED, E.DONE): (S.ISOLATED, (C.LOG_STRAY,)),
    (S.ISOLATED, E.NOT_DURABLE): (S.ISOLATED, (C.LOG_STRAY,)),
    (S.ISOLATED, E.FAILED): (S.ISOLATED, (C.LOG_STRAY,)),
    (S.ISOLATED, E.RETRY): (S.ISOLATED, ()),
    (S.ISOLATED, E.START): (S.RESUMING, (C.INSTALL,)),  # the store holds it, byte for byte
    (S.ISOLATED, E.STORE_LOST): RECOVER,
    # Isolated, but not durable.
    (S.NOT_DURABLE, E.ISOLATE): (S.NOT_DURABLE, (C.REFUSE_RELEASE_FIRST,)),
    (S.NOT_DURABLE, E.ISOLATE_SAME): (S.NOT_DURABLE, (C.REPORT_UNCHANGED,)),
    (S.NOT_DURABLE, E.UNISOLATE): RELEASE,
    (S.NOT_DURABLE, E.EXPIRED): RELEASE,
    (S.NOT_DURABLE, E.DONE): (S.NOT_DURABLE, (C.LOG_STRAY,)),
    (S.NOT_DURABLE, E.NOT_DURABLE): (S.NOT_DURABLE, (C.LOG_STRAY,)),
    (S.NOT_DURABLE, E.FAILED): (S.NOT_DURABLE, (C.LOG_STRAY,)),
    (S.NOT_DURABLE, E.RETRY): RESUME,
    (S.NOT_DURABLE, E.START): RESUME,
    (S.NOT_DURABLE, E.STORE_LOST): RECOVER,
    # Wanted, but not installed: its action was reported as failed; asking again tries at once.
    (S.NOT_INSTALLED, E.ISOLATE): (S.NOT_INSTALLED, (C.REFUSE_RELEASE_FIRST,)),
    (S.NOT_INSTALLED, E.ISOLATE_SAME): ISOLATE,
    (S.NOT_INSTALLED, E.UNISOLATE): RELEASE,
    (S.NOT_INSTALLED, E.EXPIRED): RELEASE,
    (S.NOT_INSTALLED, E.DONE): (S.NOT_INSTALLED, (C.LOG_STRAY,)),
    (S.NOT_INSTALLED, E.NOT_DURABLE): (S.NOT_INSTALLED, (C.LOG_STRAY,)),
    (S.NOT_INSTALLED, E.FAILED): (S.NOT_INSTALLED, (C.LOG_STRAY,)),
    (S.NOT_INSTALLED, E.RETRY): RESUME,
    (S.NOT_INSTALLED, E.START): RESUME,
    (S.NOT_INSTALLED, E.STORE_LOST): RECOVER,
    # Resuming: there is no way from here to released but a release.
    (S.RESUMING, E.ISOLATE): (S.RESUMING, (C.QUEUE,)),
    (S.RESUMING, E.ISOLATE_SAME): (S.RESUMING, (C.QUEUE,)),
    (S.RESUMING, E.UNISOLATE): (S.RESUMING, (C.QUEUE,)),
    (S.RESUMING, E.EXPIRED): (S.RESUMING, ()),
    (S.RESUMING, E.DONE): (S.ISOLATED, (C.RECORD_RESUMED,)),
    (S.RESUMING, E.NOT_DURABLE): (S.NOT_DURABLE, (C.SET_STORE_ASIDE, C.RAISE_FAULT)),
    (S.RESUMING, E.FAILED): (S.NOT_INSTALLED, (C.SET_STORE_ASIDE, C.RAISE_FAULT)),
    (S.RESUMING, E.RETRY): (S.RESUMING, ()),
    (S.RESUMING, E.START): RESUME,
    (S.RESUMING, E.STORE_LOST): RECOVER,
    # Releasing: until it is done on disk, every way out leads back to isolation.
    (S.RELEASING, E.ISOLATE): (S.RELEASING, (C.QUEUE,)),
    (S.RELEASING, E.ISOLATE_SAME): (S.RELEASING, (C.QUEUE,)),
    (S.RELEASING, E.UNISOLATE): (S.RELEASING, (C.QUEUE,)),
    (S.RELEASING, E.EXPIRED): (S.RELEASING, ()),
    (S.RELEASING, E.DONE): (S.RELEASED, (C.REPORT_SUCCEEDED,)),
    (S.RELEASING, E.NOT_DURABLE): STAY_ISOLATED,
    (S.RELEASING, E.FAILED): STAY_ISOLATED,
    (S.RELEASING, E.RETRY): (S.RELEASING, ()),
    (S.RELEASING, E.START): STAY_ISOLATED,
    (S.RELEASING, E.STORE_LOST): RECOVER,
}
"""(state, event) -> (next state, commands in order). Every pair has a row, so that nothing happens by omission."""
