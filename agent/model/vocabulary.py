"""The closed lists of words: modes, directions, verdicts, reasons. One word, one meaning.

Reasons are small integers because the compiled datapath counts by them; `Reason.EXCLUSION.label` is the word
that people and records see. See `REASONS` for the bucket of each, which is the table of outcomes.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Mode(StrEnum):
    """The isolation of a device."""

    NONE = "none"
    FULL = "full"
    SELECTIVE = "selective"


class Direction(StrEnum):
    """Of a flow: outbound if this host initiated it."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class Verdict(IntEnum):
    """What happens to a packet or flow; MIXED only for a flow whose packets are judged one by one (DNS, DHCP, ND)."""

    DENY = 0
    ALLOW = 1
    MIXED = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Reason(IntEnum):
    """Why a verdict was given. Closed: each has a counter, and `label` is its name in every record."""

    LINK = 0
    FOREIGN = 1
    NOT_ISOLATED = 2
    LOOPBACK = 3
    CLOUD_CHANNEL = 4
    ESSENTIAL = 5
    EMBEDDED_EXCLUSION = 6
    EXCLUSION = 7
    RELATED = 8
    UNDECODABLE = 9
    MARTIAN = 10
    FRAGMENT = 11
    FULL_ISOLATION = 12
    NO_MATCHING_EXCLUSION = 13
    FLOW_TABLE_FULL = 14
    QUEUE_OVERFLOW = 15
    STARTUP = 16
    POLICY_ERROR = 17

    @property
    def label(self) -> str:
        return self.name.lower()


class Bucket(StrEnum):
    """Every packet of a capture is in exactly one of these."""

    ALLOWED = "allowed"
    DENIED = "denied"
    IGNORED = "ignored"
    LINK = "link"


class Confidence(IntEnum):
    """How far an attribution can be believed; ordered, so that a minimum can be compared."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class DirectionBasis(IntEnum):
    """The evidence a flow's direction rests on, strongest first. From UNMATCHED_REPLY on it is a guess."""

    TCP_SYN = 0
    ATTRIBUTION = 1
    CAPTURE_FLAG = 2
    ICMP_TYPE = 3
    REPLY_SEEN = 4
    FIRST_PACKET = 5
    UNMATCHED_REPLY = 6
    PORTS = 7
    LOWER_PORT = 8
    FIRST_SENDER = 9

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def guessed(self) -> bool:
        return self >= DirectionBasis.UNMATCHED_REPLY


class FlowEnd(IntEnum):
    """Why a flow's record was written.

    REAUTHORISED: the policy changed and the flow was judged anew without a cut. SUPERSEDED: another connection took
    its tuple.
    """

    FIN = 0
    RST = 1
    TIMEOUT = 2
    CUT = 3
    EOF = 4
    EVICTED = 5
    REAUTHORISED = 6
    SUPERSEDED = 7

    @property
    def label(self) -> str:
        return self.name.lower()


class ConditionState(StrEnum):
    """What became of one condition of a rule. UNDEFINED: the rule does not restrict it."""

    MET = "met"
    NOT_MET = "not_met"
    UNKNOWN = "unknown"
    UNDEFINED = "undefined"
