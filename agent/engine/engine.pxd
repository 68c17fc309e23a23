# C types of engine.py. Addresses are two words; what is not named here stays a Python object.
cimport cython
from agent.attribution.chain cimport Attribution
from agent.attribution.values cimport Owner
from agent.datapath.datapath cimport Datapath
from agent.datapath.flows cimport FlowTable
from agent.datapath.headers cimport Header
from agent.engine.direction cimport Directions
from agent.engine.events cimport FlowEvent
from agent.engine.names cimport NameTable
from agent.engine.tally cimport Tally
from agent.engine.verdicts cimport Verdicts

cdef int APART_BYTES, APART_PACKETS, AUTHORISED_AT, BYTES, BYTES_REPLY, FIRST_SEEN, FLOW_ID, LAST_SEEN, NAMES, OWNER
cdef int KEY, LOCAL_HIGH, LOCAL_LOW, REMOTE_HIGH, REMOTE_LOW
cdef int ICMP, ICMPV6
cdef const unsigned char[::1] PORTED
cdef unsigned long long AGENT_DENIED, INSPECT, LOOPBACK, M32, OPENED, OUTBOUND, WAS_CUT
cdef int CUT, REAUTHORISED, NO_END, CLOUD, GUESSES, SYN, SYN_ACK, FLAGS, MAX_GROUPS, MAX_NAME_SETS, MAX_REMOTES, DNS_PORT


@cython.final
cdef class Engine:
    cdef public FlowTable flows
    cdef public Datapath datapath
    cdef public Attribution attribution
    cdef public NameTable names
    cdef public Directions directions
    cdef public Verdicts verdicts
    cdef public Tally denied_remotes, unattributed_remotes
    cdef public object essentials, sink, policy
    cdef public bint trust_guesses, reauthorises, all_events, holding
    cdef public unsigned long long multicast_reply
    cdef public object enforcement
    cdef public list subjects, name_sets, held
    cdef public dict policies, name_ids, groups, answers, faults, adopted
    cdef public unsigned long long[::1] class_counts, subject_counts, flow_outcomes
    cdef public unsigned long long guesses, attributed, unattributed, cut, counterfactual, agent_denied, cloud_last

    @cython.locals(header=Header, flows=FlowTable, now=cython.ulonglong, protocol=cython.int, version=cython.int, local_port=cython.uint, remote_port=cython.uint, icmp=cython.bint, opening=cython.bint, may_need=cython.bint, subject=cython.ulonglong, outbound=cython.bint, basis=cython.int, names=cython.ulonglong, number=cython.Py_ssize_t, owner=Owner, known=cython.int, found=cython.int, group=cython.bint, local_high=cython.ulonglong, local_low=cython.ulonglong, remote_high=cython.ulonglong, remote_low=cython.ulonglong)
    cpdef authorise(self, Py_ssize_t slot, bint out, int flag, bint loopback)
    @cython.locals(flows=FlowTable, meta=cython.ulonglong, key=cython.ulonglong, protocol=cython.int, version=cython.int, icmp=cython.bint, subject=cython.ulonglong, names=cython.ulonglong, number=cython.Py_ssize_t, cut=cython.bint)
    cpdef reauthorise(self, Py_ssize_t slot)
    @cython.locals(header=Header, flows=FlowTable, now=cython.ulonglong, allowed=cython.bint, version=cython.int, flow=cython.ulonglong, number=cython.Py_ssize_t)
    cpdef Py_ssize_t inspect(self, Py_ssize_t slot, bint out) except -2
    @cython.locals(meta=cython.ulonglong, verdict=cython.Py_ssize_t, reason=cython.Py_ssize_t)
    cpdef ended(self, Py_ssize_t slot, int end)
    cdef bint _unused(self, Py_ssize_t slot) except -1
    @cython.locals(flows=FlowTable, key=cython.ulonglong, number=cython.Py_ssize_t)
    cdef Py_ssize_t _answer(self, Py_ssize_t slot, bint out, unsigned long long now) except -2
    @cython.locals(outcome=cython.ulonglong, reason=cython.ulonglong)
    cdef int _store(self, Py_ssize_t slot, unsigned long long subject, unsigned long long number, unsigned long long names) except -1
    @cython.locals(flows=FlowTable, meta=cython.ulonglong, verdict=cython.Py_ssize_t, reason=cython.Py_ssize_t, number=cython.Py_ssize_t, apart=cython.ulonglong)
    cdef tuple _verdict(self, Py_ssize_t slot)
    @cython.locals(key=cython.ulonglong, kind=cython.int)
    cdef Py_ssize_t _apart_class(self, Py_ssize_t slot) except -2
    @cython.locals(flows=FlowTable, owner=cython.ulonglong, number=cython.Py_ssize_t, subject=cython.Py_ssize_t, replies=cython.ulonglong, packets=cython.ulonglong, octets=cython.ulonglong, apart_packets=cython.ulonglong, apart_octets=cython.ulonglong, meta=cython.ulonglong)
    cdef int _record(self, Py_ssize_t slot, int end) except -1
    cdef int _count_class(self, Py_ssize_t number, unsigned long long packets, unsigned long long octets) except -1
    @cython.locals(flows=FlowTable, version=cython.int)
    cdef int _count_denied(self, Py_ssize_t slot, unsigned long long packets, unsigned long long octets) except -1
    @cython.locals(flows=FlowTable, version=cython.uint, remotes=Tally)
    cdef int _count_unattributed(self, Py_ssize_t slot, unsigned long long packets, unsigned long long octets) except -1
    cdef int _count_flow(self, Py_ssize_t subject) except -1
    @cython.locals(event=FlowEvent, flows=FlowTable, generation=cython.ulonglong, meta=cython.ulonglong, key=cython.ulonglong, owner=cython.ulonglong, names=cython.ulonglong, apart=cython.ulonglong, protocol=cython.int, verdict=cython.Py_ssize_t, reason=cython.Py_ssize_t, number=cython.Py_ssize_t)
    cdef int _emit(self, Py_ssize_t slot, object kind, int end) except -1
    @cython.locals(wide=object)
    cdef object _address(self, int version, unsigned long long high, unsigned long long low)
    @cython.locals(flows=FlowTable)
    cdef object _remote(self, Py_ssize_t slot)
    cdef Py_ssize_t _names_of(self, object remote, unsigned long long now) except -2
    @cython.locals(path=Datapath)
    cdef bint _other_half(self, int protocol, bint out) except -1
    cdef int _note_group(self, Py_ssize_t slot, int version, unsigned long long local_high, unsigned long long local_low, unsigned int local_port, unsigned long long remote_high, unsigned long long remote_low) except -1
    @cython.locals(sent=cython.ulonglong)
    cdef Py_ssize_t _group_answer(self, bint out, int version, unsigned long long local_high, unsigned long long local_low, unsigned int local_port, unsigned long long now) except -2
