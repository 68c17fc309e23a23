"""What a log says, before it is known what it means: sockets seen, processes started, how far the source is believed.

Knows the vocabulary that every format shares. Must not know any format, or how owners are looked up.

    Observation(
        host="WS5", time=..., protocol=6, first=parse_endpoint("10.0.0.5:50123"), second=parse_endpoint("1.2.3.4:443"),
        local=Side.FIRST, initiated=True, claim=Claim(pid=980, image="/usr/sbin/nginx"),
    )
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from agent.model.address import Endpoint
from agent.model.device import Device


class Rank(IntEnum):
    """How much a source is believed: the lower number is asked first, equals are asked together.

    The order is measured (which evidence is right where several exist): a record written for the purpose, then what
    lies in the capture itself, then host logs, then a pid without a process, then a snapshot of one instant.
    """

    RECORDS = 1
    """Socket records, and the live system."""
    CARRIED = 2
    """Inside the capture, naming a process."""
    LOG = 3
    """The host's own logs: Sysmon, Security, DeviceNetworkEvents."""
    PID = 4
    """A pid whose process nobody names: pfirewall.log, etl2pcapng comments, a bare epb_processid_threadid."""
    SNAPSHOT = 5
    """The sockets of one instant: ss, psutil."""


class Side(IntEnum):
    """Which end of an observation is the host's own."""

    UNSURE = 0
    """Told by the host's addresses, which its other observations show."""
    FIRST = 1
    SECOND = 2


class Claim(NamedTuple):
    """What a log says of the process, as it says it; None: nothing. Make equal ones the same object: logs are long."""

    pid: int | None = None
    guid: str | None = None
    """A name of the process that no other process ever gets (Sysmon's ProcessGuid), upper case, without braces."""
    created: int | None = None
    """When the process was created: nanoseconds since 1970 by the log's clock."""
    image: str | None = None
    command_line: str | None = None
    user: str | None = None
    services: tuple[str, ...] | None = None
    package_family_name: str | None = None
    container: str | None = None


FOREVER = (1 << 64) - 2
"""An `end` after every packet: the last nanosecond that a timeline can hold."""

NOBODY = Claim()
"""The row says nothing of the process."""


class Observation(NamedTuple):
    """One row of a log that shows a socket."""

    host: str
    """As the log spells it; "" if it does not say."""
    time: int
    """Nanoseconds since 1970 by the log's clock."""
    protocol: int
    first: Endpoint
    second: Endpoint | None
    """None for listening and unconnected sockets."""
    local: Side
    claim: Claim = NOBODY
    initiated: bool | None = None
    """True if the local end opened the connection; None where the row does not prove it (UDP mostly)."""
    listening: bool = False
    end: int | None = None
    """The last nanosecond the socket existed; None: until the next record of the tuple."""
    proves_address: bool = True
    """With `local` FIRST or SECOND: that end's address is the host's own (false for group addresses and the like)."""


class ProcessStart(NamedTuple):
    """One row of a log that shows a process begin."""

    host: str
    created: int
    claim: Claim
    """`claim.pid` at least; `claim.created` may be left out, it is `created`."""


class HostedServices(NamedTuple):
    """One process of a table that says which services each process hosts.

    A pid is no process: see Processes.services_of for what must hold before a row is believed of a claim.
    """

    host: str
    """"" if the table does not say."""
    pid: int
    services: tuple[str, ...]
    """As the table spells them; () is known to be none."""
    created: int | None = None
    """When the process was created, where the table says it: nanoseconds since 1970."""
    image: str | None = None
    """The program's path or file name; None: a service host's."""
    taken: int | None = None
    """When the table was made, if it says."""


@dataclass(slots=True, kw_only=True)
class Context:
    """What the formats of one run are opened with."""

    device: Device = field(default_factory=lambda: Device(assumed=True))
    """Whose sockets are wanted: its name and addresses choose among several hosts; path form, drive map."""
    slack_ns: int = 60_000_000_000
    """The setting attribution.slack."""
    lenient: bool = False
    """Use the good lines of a file however many are broken."""
    progress: Callable[[str, int, int | None], None] | None = None
    """Told while a file is read: see TextFile."""
