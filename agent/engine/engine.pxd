# C types of engine.py. Addresses are Python integers here (128 bits fit no C type), like everything not named.
cimport cython
from agent.datapath.datapath cimport Datapath
from agent.datapath.flows cimport FlowTable
from agent.datapath.headers cimport Header
from agent.engine.events cimport FlowEvent

cdef int APART_BYTES, APART_PACKETS, AUTHORISED_AT, BYTES, BYTES_REPLY, FIRST_SEEN, FLOW_ID, LAST_SEEN, NAMES, OWNER
cdef int PACKETS, PACKETS_REPLY
cdef unsigned long long SPECIAL, AGENT_DENIED, INSPECT, LOOPBACK, M32, OPENED, OUTBOUND, WAS_CUT
cdef int CUT, REAUTHORISED, NO_END, CLOUD, GUESSES, SYN, SYN_ACK, FLAGS, MAX_CACHED, MAX_GROUPS, MAX_NAME_SETS, DNS_PORT


@cython.final
cdef class Engine:
    cdef public FlowTable flows
    cdef public Datapath datapath
    cdef public object attribution, names, essentials, directions, sink, policy, table, edges
    cdef public bint filtering, trust_guesses, reauthorises, all_events, complete, holding
    cdef public unsigned long long multicast_reply
    cdef public object enforcement
    cdef public list programs, places, cloud_names, edge_places, subjects, classes, name_sets, held
    cdef public dict program_facts, program_numbers, place_numbers, edge_numbers, policies, class_ids, name_ids, cache, services, groups, answers, denied_remotes, faults, adopted
    cdef int dns_service
    cdef unsigned short[::1] tcp_services, udp_services
    cdef public unsigned long long[::1] class_counts, class_outcomes, subject_counts, flow_outcomes
    cdef public unsigned long long guesses, attributed, unattributed, cut, counterfactual, agent_denied, cloud_last

    @cython.locals(header=Header, flows=FlowTable, now=cython.ulonglong, protocol=cython.int, version=cython.int, local_port=cython.uint, remote_port=cython.uint, icmp=cython.bint, opening=cython.bint, may_need=cython.bint, subject=cython.ulonglong, outbound=cython.bint, basis=cython.int, names=cython.ulonglong, number=cython.Py_ssize_t)
    cpdef authorise(self, Py_ssize_t slot, bint out, int flag, bint loopback)
    @cython.locals(flows=FlowTable, meta=cython.ulonglong, key=cython.ulonglong, protocol=cython.int, version=cython.int, icmp=cython.bint, subject=cython.ulonglong, names=cython.ulonglong, number=cython.Py_ssize_t, cut=cython.bint)
    cpdef reauthorise(self, Py_ssize_t slot)
    @cython.locals(header=Header, now=cython.ulonglong, allowed=cython.bint, version=cython.int, flow=cython.ulonglong, number=cython.Py_ssize_t)
    cpdef Py_ssize_t inspect(self, Py_ssize_t slot, bint out) except -2
    @cython.locals(meta=cython.ulonglong, verdict=cython.Py_ssize_t, reason=cython.Py_ssize_t)
    cpdef ended(self, Py_ssize_t slot, int end)
    cdef bint _unused(self, Py_ssize_t slot) except -1
    @cython.locals(interval=cython.Py_ssize_t, plain=cython.longlong, program=cython.longlong, place=cython.longlong, trusted=cython.bint, port=cython.int, service=cython.int)
    cdef Py_ssize_t _class_of(self, bint outbound, int basis, int protocol, int version, object remote, unsigned int local_port, unsigned int remote_port, int icmp_type, unsigned long long subject, unsigned long long names, bint loopback, object local) except -2
    @cython.locals(named=cython.longlong, interval=cython.Py_ssize_t, edge=cython.longlong, bits=cython.longlong)
    cdef object _special_key(self, unsigned long long plain, unsigned long long service, bint loopback, int version, object remote, object local, Py_ssize_t names)
    @cython.locals(flows=FlowTable, key=cython.ulonglong, version=cython.int, number=cython.Py_ssize_t)
    cdef Py_ssize_t _answer(self, Py_ssize_t slot, bint out, unsigned long long now) except -2
    cdef Py_ssize_t _class_id(self, object found) except -2
    @cython.locals(outcome=cython.ulonglong, reason=cython.ulonglong)
    cdef int _store(self, Py_ssize_t slot, unsigned long long subject, unsigned long long number, unsigned long long names) except -1
    @cython.locals(flows=FlowTable, meta=cython.ulonglong, verdict=cython.Py_ssize_t, reason=cython.Py_ssize_t, number=cython.Py_ssize_t, apart=cython.ulonglong)
    cdef tuple _verdict(self, Py_ssize_t slot)
    @cython.locals(key=cython.ulonglong, kind=cython.int)
    cdef Py_ssize_t _apart_class(self, Py_ssize_t slot) except -2
    @cython.locals(flows=FlowTable, owner=cython.ulonglong, number=cython.Py_ssize_t, subject=cython.Py_ssize_t, replies=cython.ulonglong, packets=cython.ulonglong, octets=cython.ulonglong, apart_packets=cython.ulonglong, apart_octets=cython.ulonglong, meta=cython.ulonglong)
    cdef int _record(self, Py_ssize_t slot, int end) except -1
    cdef int _count_class(self, Py_ssize_t number, unsigned long long packets, unsigned long long octets) except -1
    @cython.locals(flows=FlowTable, remote=object)
    cdef int _count_denied(self, Py_ssize_t slot, unsigned long long packets, unsigned long long octets) except -1
    @cython.locals(event=FlowEvent, flows=FlowTable, generation=cython.ulonglong, meta=cython.ulonglong, key=cython.ulonglong, owner=cython.ulonglong, protocol=cython.int, version=cython.int, verdict=cython.Py_ssize_t, reason=cython.Py_ssize_t, number=cython.Py_ssize_t)
    cdef int _emit(self, Py_ssize_t slot, object kind, int end) except -1
    @cython.locals(wide=object)
    cdef object _wide(self, unsigned long long high, unsigned long long low)
    cdef object _remote(self, Py_ssize_t slot)
    cdef bint _group(self, int version, object address) except -1
    cdef Py_ssize_t _names_of(self, object remote, unsigned long long now) except -2
    @cython.locals(path=Datapath)
    cdef bint _other_half(self, int protocol, bint out) except -1
    cdef int _note_group(self, Py_ssize_t slot, int version, object local, unsigned int local_port, object remote) except -1
    @cython.locals(sent=cython.ulonglong)
    cdef Py_ssize_t _group_answer(self, bint out, int version, object local, unsigned int local_port, unsigned long long now) except -2
