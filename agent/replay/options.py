"""What a replay is asked for and what it answers: plain values between the command line and the run.

Knows every replay option, already parsed to its type. Must not know: how options are spelled, how packets are judged.

    >>> When(ns=90 * 1_000_000_000, absolute=False).resolve(first_packet_ns=1_000)
    90000001000
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.model.settings import Settings
from agent.model.vocabulary import Mode

if TYPE_CHECKING:
    from agent.attribution.chain import Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A moment of a replay: an absolute time, or an offset from the first packet of the first capture."""

    ns: int
    """Nanoseconds since 1970 if `absolute`, else nanoseconds after the first packet."""
    absolute: bool

    def resolve(self, first_packet_ns: int) -> int:
        """Nanoseconds since 1970, given the time of the first packet of the first capture."""
        return self.ns if self.absolute else first_packet_ns + self.ns


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """Every option of `replay`, typed. A None is an option that was not given."""

    captures: tuple[str, ...]
    """Files in run order; `-` is standard input."""
    mode: Mode = Mode.FULL
    rules: str | None = None
    exclusions: bool | None = None
    """Overrides the feature switch of the rules document."""
    use_exclusions: bool = True
    """The dialog's box; False by --no-exclusions."""
    device: str | None = None
    host: str | None = None
    """Instead of the device's name: whose rows of a log that shows several hosts."""
    local: tuple[str, ...] = ()
    """Addresses or prefixes as written; the run parses them and names a bad one."""
    names: str | None = None
    attribution: tuple[str, ...] = ()
    attribution_format: str | None = None
    """None: detected from each file's content."""
    lenient: bool = False
    """Use the good lines of attribution files however many are broken."""
    cloud_channel: str | None = None
    isolate_at: When | None = None
    release_at: When | None = None
    time_from: When | None = None
    time_to: When | None = None
    limit: int | None = None
    """At most so many packets are judged."""
    compare: str | None = None
    """Another rules document to judge the same capture under."""
    decisions: str | None = None
    events: str = "flow"
    """`flow`: one record per authorisation when it ends; `all`: decision and reverdict events as well."""
    format: str = "native"
    allowed: str | None = None
    denied: str | None = None
    summary_json: str | None = None
    """Written by the command line from ReplayResult.summary, not by the run; `-` is standard output."""
    summary_timing: bool = False
    """As `summary_json`: the command line adds the timing."""
    speed: float | None = None
    """None: as fast as possible; 1.0: as recorded; N: N times as fast as recorded."""
    merge: bool = False
    """Order packets of all captures by time instead of file after file."""
    fail_on_deny: bool = False
    simulate: Mapping[str, int] = field(default_factory=dict)
    """Fault name to its number, such as flow_table_full=100000."""
    settings: Settings = field(default_factory=lambda: Settings({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is; given to the progress callback about once per batch."""

    bytes_read: int
    """Over all captures so far, as stored (compressed bytes of a .gz)."""
    bytes_total: int | None
    """Over all captures; None if one is a pipe."""
    packets: int
    path: str
    """The capture being read."""


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """What a replay found."""

    summary: dict[str, Any]
    """The contract's summary, ready to be written as JSON (`sinks.summary.build_summary`)."""
    comparison: dict[str, Any] | None = None
    """With --compare: what changes under the other rules (`sinks.summary.build_comparison`)."""
    attribution: Attribution | None = None
    """The sources that were asked."""
    interrupted: bool = False
    """True if stopped by Ctrl-C; everything judged until then is in the outputs."""
    elapsed: float = 0.0
    """Seconds from opening the first capture to the last record written."""
    engine: str = "interpreted"
    """`compiled` or `interpreted`."""
    faults: tuple[dict[str, Any], ...] = ()
    """The fault records of the run, in order: {"name", "count", "text"}."""

    @property
    def denied(self) -> bool:
        """True if any packet was denied: what --fail-on-deny asks."""
        return bool(self.summary["packets"]["denied"])
