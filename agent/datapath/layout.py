"""Where a flow's facts lie in its words: the numbers that flows, datapath and engine share.

Not compiled itself; each compiled module types the names it imports in its .pxd, which makes them C numbers there.
"""

from __future__ import annotations

from agent.model.vocabulary import Reason

WORDS = 16
EXTRA = 5

# One flow's words. The first eight are one cache line, and all that a packet of a known IPv4 flow touches.
KEY, REMOTE_LOW, LOCAL_LOW, META, LAST_SEEN = 0, 1, 2, 3, 4  # the key: ports, protocol, version, ICMP key
PACKETS, BYTES, BYTES_REPLY = 5, 6, 7  # packets: original | reply << 32
REMOTE_HIGH, LOCAL_HIGH, FLOW_ID, FIRST_SEEN, AUTHORISED_AT, OWNER, QUEUE = 8, 9, 10, 11, 12, 13, 14
MORE_PACKETS = 15  # what PACKETS has no bits for
ONE_REPLY = 1 << 32  # in either
# ... and of its extras: sequence and attempted; names and ICMP; packets and bytes judged apart; when queued.
SEQUENCE, NAMES, APART_PACKETS, APART_BYTES, QUEUED_AT = 0, 1, 2, 3, 4

# META: verdict 0-1, reason 2-6, state 7-10, outbound 11, basis 12-15, then flags, authorisations 24-39, generation.
REPLIED, INSPECT, USED, LOOPBACK, WAS_CUT, OPENED = 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21
OUTBOUND = 1 << 11
QUEUE_SHIFT = 22
STATE_MASK = 15 << 7
COUNT_MASK = 0xFFFF << 24
GENERATION_MASK = 0xFFFFFF << 40
M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF
K1 = 0x9E3779B97F4A7C15

# What was seen of a packet ahead of judging it (scout.py). Words 0-4: addresses and key as in a flow, then these.
FACTS, TIME, LENGTH = 5, 6, 7
SIGHT_WORDS = 8
# FACTS: hash of the tuple << 32 | TCP flags << 8 | these. Not PLAIN: nothing else is told.
PLAIN, OUT = 1, 2

# States: the TCP ones are conntrack's.
NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE = 0, 1, 2, 3, 4, 5, 6, 7, 8
UDP_UNREPLIED, UDP_REPLIED, ICMP_FLOW, OTHER_FLOW, SCTP_FLOW, ICMPV6_FLOW = 9, 10, 11, 12, 13, 14
STATE_NAMES = (
    "none", "syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close",
    "udp_unreplied", "udp_replied", "icmp", "other", "sctp", "icmpv6",
)  # fmt: skip

# Queues of the flows that may be evicted, in this order; the last is never evicted.
DENIED, UNREPLIED, REPLIED_QUEUE, KEPT = 0, 1, 2, 3

# Beside a classification's verdict and reason: the Defender agent was kept from its cloud channel.
AGENT_DENIED = 1 << 7

# How a flow ends; FlowEnd of the vocabulary.
FIN, RST, TIMEOUT, EVICTED = 0, 1, 2, 5
END_OF_RUN = 4
SUPERSEDED = 7  # another connection took the tuple

# Reasons the datapath gives on its own; the rest come from the engine.
LINK = int(Reason.LINK)
FOREIGN = int(Reason.FOREIGN)
NOT_ISOLATED = int(Reason.NOT_ISOLATED)
OWN_TRAFFIC = int(Reason.LOOPBACK)  # LOOPBACK is the flag
RELATED = int(Reason.RELATED)
UNDECODABLE = int(Reason.UNDECODABLE)
MARTIAN = int(Reason.MARTIAN)
FRAGMENT = int(Reason.FRAGMENT)
FLOW_TABLE_FULL = int(Reason.FLOW_TABLE_FULL)
POLICY_ERROR = int(Reason.POLICY_ERROR)
