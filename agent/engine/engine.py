"""The engine: judges each flow once per generation, keeps what it learned, and tells the sinks.

Knows the order: who owns the socket, which way the flow goes, what the policy says of it (verdicts.py has the answers).
Never: files, clocks (time is the packet's), wire formats.

    engine = Engine(...); engine.install(policy)
    engine.datapath.attach(batch.data); engine.datapath.process(batch.records, 0, batch.count)
    engine.finish()
"""

from __future__ import annotations

from array import array
from dataclasses import replace

from agent.attribution.chain import Attribution
from agent.datapath.datapath import Datapath
from agent.datapath.flows import FlowTable
from agent.datapath.fragments import FragmentTable
from agent.datapath.layout import (
    AGENT_DENIED,
    APART_BYTES,
    APART_PACKETS,
    AUTHORISED_AT,
    BYTES,
    BYTES_REPLY,
    FIRST_SEEN,
    FLOW_ID,
    INSPECT,
    KEY,
    LAST_SEEN,
    LOCAL_HIGH,
    LOCAL_LOW,
    LOOPBACK,
    M32,
    NAMES,
    OPENED,
    OUTBOUND,
    OWNER,
    REMOTE_HIGH,
    REMOTE_LOW,
    WAS_CUT,
)
from agent.engine.classify import DNS_PORT, essential
from agent.engine.direction import Directions
from agent.engine.essentials import DHCP, DISCOVERY, DNS, LISTENER, Essentials, needs_inspection
from agent.engine.events import EventSink, FlowEvent
from agent.engine.names import NameTable
from agent.engine.tally import Tally
from agent.engine.verdicts import Verdicts
from agent.model.address import Address
from agent.model.moment import format_time
from agent.model.protocols import ICMP, ICMPV6, WITH_PORTS
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import DirectionBasis, FlowEnd, Reason
from agent.policy.effective import EffectivePolicy

CUT, REAUTHORISED, NO_END = int(FlowEnd.CUT), int(FlowEnd.REAUTHORISED), -1
CLOUD = int(Reason.CLOUD_CHANNEL)
GUESSES = int(DirectionBasis.UNMATCHED_REPLY)
SYN, SYN_ACK, FLAGS = 2, 18, 22
MAX_GROUPS = 4096
MAX_REMOTES = 1_000_000
MAX_NAME_SETS = 262_144

PORTED = bytes(number in WITH_PORTS for number in range(256))
"""WITH_PORTS as a table of bytes."""
_KNOWN = {None: 0, False: 1, True: 2}  # of who opened a connection, as Directions.weigh wants it


def _flow_id(event: FlowEvent) -> int:
    return event.flow_id


class Engine:
    """One device's engine over one datapath. Mutable; not thread-safe."""

    def __init__(
        self,
        *,
        flows: FlowTable,
        fragments: FragmentTable,
        attribution: Attribution | None,
        names: NameTable,
        resolvers: set[Address],
        directions: Directions,
        trust_guesses: bool,
        reauthorise: bool,
        multicast_reply: int,
        enforcement: str,
        sink: EventSink | None = None,
        all_events: bool = False,
    ) -> None:
        """`multicast_reply`: nanoseconds in which anyone may answer what this host sent to a group (0: nobody)."""
        self.flows = flows
        self.datapath = Datapath(flows, fragments, self)
        self.attribution = attribution
        self.names = names
        self.essentials = Essentials(names, resolvers)
        self.directions = directions
        self.trust_guesses = trust_guesses
        self.reauthorises = reauthorise
        self.multicast_reply = multicast_reply
        self.enforcement = enforcement
        self.sink = sink
        self.all_events = all_events and sink is not None
        self.subjects: list[Subject] = attribution.subjects if attribution is not None else [UNATTRIBUTED]
        complete = attribution is not None and attribution.complete
        explained = sink is not None  # only records show near misses
        flows.listener = self
        self.policy: EffectivePolicy | None = None
        self.policies: dict[int, EffectivePolicy] = {}
        self.name_sets: list[tuple[str, ...]] = [()]
        self.name_ids: dict[tuple[str, ...], int] = {(): 0}
        self.verdicts = Verdicts(self.subjects, self.name_sets, resolvers, complete, explained, flows.seed)
        self.groups: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        self.answers: dict[int, int] = {}  # flows that answer what was sent to a group -> that flow's classification
        # Counters, all of them by small numbers: classifications, subjects, verdict * 32 + reason.
        self.class_counts = array("Q", bytes(8 * 3 * 64))
        self.subject_counts = array("Q", bytes(8 * 5 * 64))  # kept and lost packets and bytes in turn, flows
        self.flow_outcomes = array("Q", bytes(8 * 3 * 32))
        self.denied_remotes = Tally(flows.seed, MAX_REMOTES)
        # Of flows whose owner no source knew; without any source that is all of them, and says nothing.
        self.unattributed_remotes = Tally(flows.seed, MAX_REMOTES if attribution is not None else 1)
        self.guesses = 0
        self.attributed = 0
        self.unattributed = 0
        self.cut = 0
        self.counterfactual = 0
        self.agent_denied = 0
        self.cloud_last = 0
        self.faults: dict[str, int] = {}
        self.adopted: dict[int, int] = {}  # flows that kept their verdict: the generation that gave it
        self.held: list[FlowEvent] = []  # records of flows that ended at the packet in work
        self.holding = self.sink is not None

    # Policy -------------------------------------------------------------------------------------------------

    def install(self, policy: EffectivePolicy) -> None:
        """Put `policy` in force from the next packet on."""
        self.policy = policy
        self.policies[policy.generation] = policy
        self.verdicts.install(policy)
        deny_link = policy.settings["link.other"] == "deny"
        self.datapath.own_traffic = bool(policy.settings["loopback"])
        self.datapath.install(policy.generation, policy.isolated, deny_link)

    # The datapath's questions ------------------------------------------------------------------------------------

    def authorise(self, slot: int, out: bool, flag: int, loopback: bool) -> None:
        """A new flow: owner, direction, verdict."""
        header = self.datapath.header
        flows = self.flows
        now = self.datapath.now
        protocol = header.protocol
        version = header.version
        if out:
            local_high, local_low = header.source_high, header.source_low
            remote_high, remote_low = header.destination_high, header.destination_low
            local_port = header.source_port
            remote_port = header.destination_port
        else:
            local_high, local_low = header.destination_high, header.destination_low
            remote_high, remote_low = header.source_high, header.source_low
            local_port = header.destination_port
            remote_port = header.source_port
        icmp = header.icmp_key != 0
        if icmp:
            local_port = remote_port = 0
        opening = protocol == 6 and (header.tcp_flags & FLAGS) == SYN
        owner = None
        subject = 0
        if self.attribution is not None:
            hint = (2 if out else 1) if opening else 0
            owner = self.attribution.owner_of(
                protocol, version, local_high, local_low, local_port, remote_high, remote_low, remote_port, now, hint
            )
            if owner is not None:
                subject = owner.subject_id
        if opening:
            outbound = out
            basis = 0
        else:
            known = 0
            if owner is not None and protocol == 6:
                known = 1 if owner.listening else _KNOWN[owner.initiated]
            found = self.directions.weigh(
                protocol, out, header.source_port, header.destination_port, header.tcp_flags,
                header.icmp_type if icmp else -1, flag, known, self._other_half(protocol, out),
            )  # fmt: skip
            outbound = (found & 1) != 0
            basis = found >> 1
        names = 0
        if self.names.may_know(remote_high, remote_low):
            names = self._names_of(self._address(version, remote_high, remote_low), now)
        group = self.datapath.group(version, local_high, local_low)
        number = self.verdicts.of_flow(
            outbound, basis < GUESSES or self.trust_guesses, protocol, version, remote_high, remote_low,
            local_port, remote_port, header.icmp_type if icmp else -1, subject, names, loopback, group,
        )  # fmt: skip
        flows.set_direction(slot, outbound, basis)
        self._store(slot, subject, number, names)
        if protocol == 17 and self.multicast_reply and not out and (self.verdicts.outcomes[number] & 3) == 0:
            answered = self._group_answer(out, version, local_high, local_low, local_port, now)
            if answered >= 0 and len(self.answers) < MAX_GROUPS:
                # Judged packet by packet: an answer in time opens nothing for what follows it.
                self.answers[flows.word(slot, FLOW_ID)] = answered
                flows.set_flag(slot, INSPECT)
        may_need = remote_port == DNS_PORT or local_port == 68 or local_port == 546 or protocol == 58
        if may_need and not loopback and needs_inspection(protocol, version, local_port, remote_port, header.icmp_type):
            flows.set_flag(slot, INSPECT)
        if protocol == 17 and outbound and self.multicast_reply:
            self._note_group(slot, version, local_high, local_low, local_port, remote_high, remote_low)
        if self.all_events:
            self._emit(slot, "decision", NO_END)
        # Last: a flow that a bug above took away again counts nowhere.
        if subject:
            self.attributed += 1
        else:
            self.unattributed += 1
        if basis >= GUESSES:
            self.guesses += 1

    def reauthorise(self, slot: int) -> None:
        """A flow of an older generation: its own direction, its owner, and the names it had when it began."""
        flows = self.flows
        policy = self.policy
        assert policy is not None
        if not self.reauthorises:
            self.adopted.setdefault(flows.word(slot, FLOW_ID), flows.generation(slot))
            flows.adopt(slot, policy.generation)
            return
        meta = flows.meta(slot)
        key = flows.word(slot, KEY)
        protocol = (key >> 24) & 255
        version = (key >> 16) & 255
        icmp = (key & 0xFFFF) != 0
        subject = flows.word(slot, OWNER) >> 32
        names = flows.extra_word(slot, NAMES) >> 32
        number = self.verdicts.of_flow(
            (meta & OUTBOUND) != 0, (meta >> 12) & 15 < GUESSES or self.trust_guesses, protocol, version,
            flows.word(slot, REMOTE_HIGH), flows.word(slot, REMOTE_LOW),
            0 if icmp else key >> 48, 0 if icmp else (key >> 32) & 0xFFFF,
            (flows.extra_word(slot, NAMES) >> 8) & 255 if icmp else -1, subject, names, (meta & LOOPBACK) != 0,
            self.datapath.group(version, flows.word(slot, LOCAL_HIGH), flows.word(slot, LOCAL_LOW)),
        )  # fmt: skip
        denied = (self.verdicts.outcomes[number] & 3) == 0
        cut = (meta & 3) == 1 and denied
        self._record(slot, CUT if cut else REAUTHORISED)
        if cut:
            flows.set_flag(slot, WAS_CUT)
        flows.restart_counts(slot, self.datapath.now)
        self._store(slot, subject, number, names)
        if self.all_events:
            self._emit(slot, "reverdict", NO_END)

    def inspect(self, slot: int, out: bool) -> int:
        """One packet of a flow whose packets are judged one by one; -1 leaves it to the flow's verdict."""
        header = self.datapath.header
        policy = self.policy
        assert policy is not None
        now = self.datapath.now
        service = None
        if header.protocol == 17:
            allowed = (self.flows.meta(slot) & 3) == 1
            port = header.destination_port if out else header.source_port
            flow = self.flows.word(slot, FLOW_ID)
            if flow in self.answers:
                return self._answer(slot, out, now)
            if port == DNS_PORT:
                # Who asks for a name of the channel needs no fragments: what follows could be anything.
                message = b"" if out and header.fragment else header.message()
                flows = self.flows
                resolver = self.essentials.is_resolver(
                    header.version, flows.word(slot, REMOTE_HIGH), flows.word(slot, REMOTE_LOW)
                )
                service = self.essentials.judge_dns(policy, flow, resolver, out, message, allowed, now)
            else:
                version = header.version
                remote = self._remote(slot)
                service = self.essentials.judge_dhcp(policy, version, remote, out, header.message(), allowed, now)
        else:
            source = self._address(6, header.source_high, header.source_low)
            service = self.essentials.judge_discovery(
                policy, header.icmp_type, header.hop_limit, source, header.fragment != 0
            )
        if service is None:
            return -1
        number = self.verdicts.number(essential(service))
        return 1 | (int(Reason.ESSENTIAL) << 2) | (number << 8)

    def _answer(self, slot: int, out: bool, now: int) -> int:
        """The outcome of a packet from whoever answered what this host sent to a group: the group flow's, in time."""
        flows = self.flows
        key = flows.word(slot, KEY)
        number = self._group_answer(
            out, (key >> 16) & 255, flows.word(slot, LOCAL_HIGH), flows.word(slot, LOCAL_LOW), key >> 48, now
        )
        if number < 0 or number != self.answers[flows.word(slot, FLOW_ID)]:
            return -1
        return (self.verdicts.outcomes[number] & 0x7F) | (number << 8)

    def tell(self) -> None:
        """What ended at one packet is told by flow id: the order in which it was found says nothing."""
        held = self.held
        if not held or self.sink is None:
            return
        if len(held) > 1:
            held.sort(key=_flow_id)
        for event in held:
            self.sink.flow(event)
        held.clear()

    def failed(self, place: str, error: Exception) -> None:
        """A bug the last guard caught: counted and told, never hidden."""
        self.fault("policy_error", f"{place}: {type(error).__name__}: {error}")

    def ended(self, slot: int, end: int) -> None:
        """The flow table lets a flow go."""
        self._record(slot, end)
        if self.adopted:
            self.adopted.pop(self.flows.word(slot, FLOW_ID), None)
        meta = self.flows.meta(slot)
        if self.flows.authorisations(slot) == 1 and self._unused(slot):
            return
        verdict = meta & 3
        reason = (meta >> 2) & 31
        if self.flows.extra_word(slot, APART_PACKETS) != 0:
            verdict, reason, _ = self._verdict(slot)
        if self.answers:
            self.answers.pop(self.flows.word(slot, FLOW_ID), None)
        self.flow_outcomes[verdict * 32 + reason] += 1
        self._count_flow(self.flows.word(slot, OWNER) >> 32)
        if verdict == 0 and (meta & WAS_CUT) != 0:
            self.cut += 1

    def _unused(self, slot: int) -> bool:
        """True for a flow none of whose packets was judged (a refused first fragment): it counts nowhere."""
        if self.flows.packets(slot) + self.flows.replies(slot) > 0:
            return False
        if self.flows.word(slot, OWNER) >> 32:
            self.attributed -= 1
        else:
            self.unattributed -= 1
        if (self.flows.meta(slot) >> 12) & 15 >= GUESSES:
            self.guesses -= 1
        return True

    def fault(self, name: str, text: str) -> None:
        """A named exception policy acted: counted always, told once per name."""
        count = self.faults.get(name, 0) + 1
        self.faults[name] = count
        if count == 1 and self.sink is not None:
            self.sink.fault({"timestamp": format_time(self.datapath.now), "name": name, "text": text})

    def finish(self) -> None:
        """The run is over: every live flow gets its record."""
        self.tell()
        self.holding = False  # the datapath ends them by id
        self.datapath.finish()

    # Verdicts -----------------------------------------------------------------------------------------------------

    def _store(self, slot: int, subject: int, number: int, names: int) -> int:
        outcome = self.verdicts.outcomes[number]
        if outcome & AGENT_DENIED:
            self.agent_denied += 1
        reason = (outcome >> 2) & 31
        self.flows.authorise(
            slot, outcome & 3, reason, (subject << 32) | number, names, self.datapath.generation, reason == CLOUD
        )
        return 0

    def _verdict(self, slot: int) -> tuple[int, int, int]:
        """(verdict, reason, classification) of a whole flow: packets judged apart can make it mixed, or turn it."""
        flows = self.flows
        meta = flows.meta(slot)
        verdict = meta & 3
        reason = (meta >> 2) & 31
        number = flows.word(slot, OWNER) & M32
        apart = flows.extra_word(slot, APART_PACKETS)
        if apart and verdict == 0:
            let = self._apart_class(slot)
            reason = (self.verdicts.outcomes[let] >> 2) & 31
            if apart < flows.packets(slot) + flows.replies(slot):
                return 2, reason, self._mixed_class(slot, number)
            return 1, reason, let
        return verdict, reason, number

    def _mixed_class(self, slot: int, number: int) -> int:
        """The flow's own classification, with the service that let some of its packets through."""
        classes = self.verdicts.classes
        return self.verdicts.number(replace(classes[number], service=classes[self._apart_class(slot)].service))

    def _apart_class(self, slot: int) -> int:
        """The class of the packets judged apart: an answer's, else an essential service's, from the flow's tuple."""
        answered = self.answers.get(self.flows.word(slot, FLOW_ID))
        if answered is not None:
            return answered
        key = self.flows.word(slot, KEY)
        if (key >> 24) & 255 == ICMPV6:
            kind = (self.flows.extra_word(slot, NAMES) >> 8) & 255
            return self.verdicts.number(essential(DISCOVERY if 133 <= kind <= 137 else LISTENER))
        return self.verdicts.number(essential(DNS if (key >> 32) & 0xFFFF == DNS_PORT else DHCP))

    # Counting and telling -----------------------------------------------------------------------------------------

    def _record(self, slot: int, end: int) -> int:
        """An authorisation is over: count it, and tell the sink."""
        flows = self.flows
        owner = flows.word(slot, OWNER)
        number = owner & M32
        subject = owner >> 32
        replies = flows.replies(slot)
        packets = flows.packets(slot) + replies
        octets = flows.word(slot, BYTES) + flows.word(slot, BYTES_REPLY)
        if packets == 0:
            return 0  # nothing was judged under this authorisation
        apart_packets = flows.extra_word(slot, APART_PACKETS)
        apart_octets = flows.extra_word(slot, APART_BYTES)
        if apart_packets:
            self._count_class(self._apart_class(slot), apart_packets, apart_octets)
        self._count_class(number, packets - apart_packets, octets - apart_octets)
        meta = flows.meta(slot)
        while 5 * subject + 5 > len(self.subject_counts):
            self.subject_counts = self._doubled(self.subject_counts)
        counts = self.subject_counts
        if subject == 0 and self.attribution is not None:
            self._count_unattributed(slot, packets, octets)
        if (meta & 3) == 1:
            counts[5 * subject] += packets
            counts[5 * subject + 1] += octets
            if (meta >> 2) & 31 == CLOUD and flows.word(slot, LAST_SEEN) > self.cloud_last:
                self.cloud_last = flows.word(slot, LAST_SEEN)
        else:
            counts[5 * subject] += apart_packets
            counts[5 * subject + 1] += apart_octets
            counts[5 * subject + 2] += packets - apart_packets
            counts[5 * subject + 3] += octets - apart_octets
            if packets > apart_packets:
                self._count_denied(slot, packets - apart_packets, octets - apart_octets)
            if replies > apart_packets:
                self.counterfactual += 1
        if self.sink is not None:
            self._emit(slot, "flow", end)
        return 0

    def _count_class(self, number: int, packets: int, octets: int) -> int:
        while 3 * number + 3 > len(self.class_counts):
            self.class_counts = self._doubled(self.class_counts)
        counts = self.class_counts
        counts[3 * number] += packets
        counts[3 * number + 1] += octets
        counts[3 * number + 2] += 1
        return 0

    def _count_denied(self, slot: int, packets: int, octets: int) -> int:
        flows = self.flows
        version = (flows.word(slot, KEY) >> 16) & 255
        self.denied_remotes.add(version, flows.word(slot, REMOTE_HIGH), flows.word(slot, REMOTE_LOW), packets, octets)
        return 0

    def _count_unattributed(self, slot: int, packets: int, octets: int) -> int:
        flows = self.flows
        version = (flows.word(slot, KEY) >> 16) & 255
        remotes = self.unattributed_remotes
        remotes.add(version, flows.word(slot, REMOTE_HIGH), flows.word(slot, REMOTE_LOW), packets, octets)
        return 0

    def _count_flow(self, subject: int) -> int:
        while 5 * subject + 5 > len(self.subject_counts):
            self.subject_counts = self._doubled(self.subject_counts)
        self.subject_counts[5 * subject + 4] += 1
        return 0

    def _doubled(self, counts: array[int]) -> array[int]:
        grown = array("Q", bytes(16 * len(counts)))
        memoryview(grown)[: len(counts)] = memoryview(counts)
        return grown

    def _emit(self, slot: int, kind: str, end: int) -> int:
        """Tell the sink about the flow in `slot` as it stands."""
        flows = self.flows
        event = FlowEvent()
        meta = flows.meta(slot)
        key = flows.word(slot, KEY)
        owner = flows.word(slot, OWNER)
        protocol = (key >> 24) & 255
        names = flows.extra_word(slot, NAMES)
        apart = flows.extra_word(slot, APART_PACKETS)
        verdict = meta & 3
        reason = (meta >> 2) & 31
        number = owner & M32
        if apart != 0:
            verdict, reason, number = self._verdict(slot)
        event.event_type = kind
        event.timestamp = flows.word(slot, AUTHORISED_AT)
        event.flow_id = flows.word(slot, FLOW_ID)
        event.authorisation = flows.authorisations(slot)
        event.version = (key >> 16) & 255
        event.protocol = protocol
        event.outbound = (meta & OUTBOUND) != 0
        event.basis_number = (meta >> 12) & 15
        event.local_high = flows.word(slot, LOCAL_HIGH)
        event.local_low = flows.word(slot, LOCAL_LOW)
        event.remote_high = flows.word(slot, REMOTE_HIGH)
        event.remote_low = flows.word(slot, REMOTE_LOW)
        event.local_port_number = -1
        event.remote_port_number = -1
        if PORTED[protocol] != 0:
            event.local_port_number = key >> 48
            event.remote_port_number = (key >> 32) & 0xFFFF
        event.icmp_type_number = -1
        event.icmp_code_number = -1
        if protocol in (ICMP, ICMPV6) and (key & 0xFFFF) != 0:
            event.icmp_type_number = (names >> 8) & 255
            event.icmp_code_number = names & 255
        event.names = self.name_sets[names >> 32]
        event.subject_id = owner >> 32
        event.subject = self.subjects[owner >> 32]
        event.verdict_number = verdict
        event.reason_number = reason
        event.classification = self.verdicts.classes[number]
        generation = flows.generation(slot)
        if self.adopted:
            generation = self.adopted.get(event.flow_id, generation)
        event.policy = self.policies[generation]
        event.enforcement = self.enforcement
        event.packets_original = flows.packets(slot)
        event.packets_reply = flows.replies(slot)
        event.bytes_original = flows.word(slot, BYTES)
        event.bytes_reply = flows.word(slot, BYTES_REPLY)
        event.attempted_count = -1
        if verdict == 0:
            event.attempted_count = flows.attempted(slot)
        event.mixed_allowed = 0
        event.mixed_denied = 0
        if verdict == 2:
            event.mixed_allowed = apart
            event.mixed_denied = event.packets_original + event.packets_reply - apart
        event.first_seen = flows.word(slot, FIRST_SEEN)
        event.last_seen = flows.word(slot, LAST_SEEN)
        event.end_number = end
        if self.holding and kind == "flow":
            self.held.append(event)
        else:
            self.tell()
            self.sink.flow(event)  # type: ignore[union-attr]  # callers ask for a sink first
        return 0

    # What a flow is like --------------------------------------------------------------------------------------------

    def _address(self, version: int, high: int, low: int) -> Address:
        wide = high  # a Python integer (engine.pxd): 128 bits fit no C type
        return Address(version, wide << 64 | low)

    def _remote(self, slot: int) -> Address:
        flows = self.flows
        return self._address(
            (flows.word(slot, KEY) >> 16) & 255, flows.word(slot, REMOTE_HIGH), flows.word(slot, REMOTE_LOW)
        )

    def _names_of(self, remote: Address, now: int) -> int:
        names = self.names.lookup(remote, now)
        number = self.name_ids.get(names)
        if number is None:
            if len(self.name_sets) >= MAX_NAME_SETS:
                self.fault("name_sets_full", "the names of further addresses are not kept: their flows have none")
                return 0
            number = self.name_ids[names] = len(self.name_sets)
            self.name_sets.append(names)
        return number

    def _other_half(self, protocol: int, out: bool) -> bool:
        """The SYN of this SYN+ACK, or the question of this answer, was seen in the flow that has just timed out."""
        path = self.datapath
        if not path.previous_flow or out == ((path.previous_meta & OUTBOUND) != 0):
            return False
        if protocol == 6:
            return (self.datapath.header.tcp_flags & FLAGS) == SYN_ACK and (path.previous_meta & OPENED) != 0
        if protocol != 17 or self.datapath.header.source_port != DNS_PORT:
            return False
        return self.essentials.answered(path.previous_flow, self.datapath.header.message(), path.now)

    def _note_group(
        self,
        slot: int,
        version: int,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
    ) -> int:
        """This host sent to a group from here: anyone may answer for a moment (WFP)."""
        if self.datapath.group(version, remote_high, remote_low):
            if len(self.groups) >= MAX_GROUPS:
                self.groups.pop(next(iter(self.groups)))
            self.groups[version, local_high, local_low, local_port] = (slot, self.flows.word(slot, FLOW_ID))
        return 0

    def _group_answer(self, out: bool, version: int, local_high: int, local_low: int, local_port: int, now: int) -> int:
        """The classification of the flow to a group that this packet answers in time, else -1."""
        if out or len(self.groups) == 0:
            return -1
        asked = self.groups.get((version, local_high, local_low, local_port))
        if asked is None or self.flows.flow_in(asked[0]) != asked[1]:
            return -1
        sent = self.flows.word(asked[0], LAST_SEEN)
        if self.flows.generation(asked[0]) != self.datapath.generation:
            return -1
        if now > sent and now - sent > self.multicast_reply:  # a sum could pass the end of 64 bits
            return -1
        if (self.flows.meta(asked[0]) & 3) != 1:
            return -1
        return self.flows.word(asked[0], OWNER) & M32
