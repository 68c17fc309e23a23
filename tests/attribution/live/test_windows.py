"""Services by pid, from lists as the service manager gives them; the manager itself is Windows' only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import psutil
import pytest

from agent.attribution.live.windows import HostedServices

SECOND = 1_000_000_000
NOW = 1_767_603_600 * SECOND


class Service(NamedTuple):
    """As psutil's WindowsService is asked."""

    called: str
    process: int | None

    def name(self) -> str:
        return self.called

    def pid(self) -> int | None:
        if self.process == 13:
            raise psutil.AccessDenied(13)
        return self.process


class Manager:
    """A list that changes, and is counted."""

    def __init__(self, *services: Service) -> None:
        self.services: Iterable[Service] = services
        self.count = 0
        self.now = NOW

    def list(self) -> Iterable[Service]:
        self.count += 1
        return self.services

    def clock(self) -> int:
        return self.now


def test_a_process_hosts_what_the_list_says() -> None:
    """Names as Windows compares them; stopped services have no pid; what may not be looked at is left out."""
    manager = Manager(Service("TermService", 980), Service("Dnscache", 980), Service("Spooler", None), Service("X", 13))
    hosted = HostedServices(clock=manager.clock, services=manager.list)
    assert hosted.of(980, NOW - SECOND) == ("termservice", "dnscache")
    assert hosted.of(4242, NOW - SECOND) == ()
    assert manager.count == 1


def test_a_list_older_than_the_process_says_nothing_of_it() -> None:
    """The pid may have been another process's: a new list is read, and believed only if it is younger."""
    manager = Manager(Service("TermService", 980))
    hosted = HostedServices(clock=manager.clock, services=manager.list)
    assert hosted.of(980, NOW - SECOND) == ("termservice",)
    manager.services = ()
    assert hosted.of(980, NOW + SECOND) is None, "created after what the clock says"
    manager.now = NOW + 2 * SECOND
    assert hosted.of(980, NOW + SECOND) == ()


@pytest.mark.parametrize("moved", [2 * SECOND, -SECOND], ids=["later", "clock-set-back"])
def test_a_list_is_read_again_when_it_is_old(moved: int) -> None:
    manager = Manager(Service("TermService", 980))
    hosted = HostedServices(clock=manager.clock, services=manager.list)
    hosted.of(980, NOW - 5 * SECOND)
    manager.now += moved
    hosted.of(980, NOW - 5 * SECOND)
    assert manager.count == 2


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError("the manager is not there")])
def test_no_list_is_not_no_services(error: Exception) -> None:
    def broken() -> Iterable[Service]:
        raise error

    assert HostedServices(clock=lambda: NOW, services=broken).of(980, NOW - SECOND) is None
