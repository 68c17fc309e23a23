# C types of datapath.py. What is not named here stays a Python object.
cimport cython
from agent.datapath.flows cimport FlowTable
from agent.datapath.headers cimport Header
from agent.datapath.scout cimport Scout

cdef int FLOW_ID, OWNER, LOCAL_HIGH, LOCAL_LOW
cdef int IP, NOT_IP, UNREADABLE, CUT, FLAG_IN, FLAG_OUT, REMOTE, BY_PREFIX, EXACT
cdef int LINK, FOREIGN, NOT_ISOLATED, OWN_TRAFFIC, RELATED, UNDECODABLE, MARTIAN, FRAGMENT, FLOW_TABLE_FULL, POLICY_ERROR
cdef int ICMP_FLOW, ICMPV6_FLOW, SCTP_FLOW, OTHER_FLOW, UDP_UNREPLIED, SUPERSEDED, TIMEOUT, END_OF_RUN
cdef int RECORD_WORDS, MAX_MACS, AHEAD, GROUP, FACTS, TIME, LENGTH, SIGHT_WORDS
cdef unsigned long long INSPECT, LOOPBACK, OUTBOUND, REPLIED, M32, NO_TIME, FOREVER, SECOND, PLAIN


@cython.final
cdef class Datapath:
    cdef public FlowTable flows
    cdef public object fragments
    cdef public object engine
    cdef public Header header
    cdef public Header quoted
    cdef public unsigned long long[::1] packets
    cdef public unsigned long long[::1] octets
    cdef public dict ether_types
    cdef public Scout scout
    cdef unsigned long long[::1] sights
    cdef public set macs
    cdef unsigned long long last_mac
    cdef public unsigned long long now
    cdef public unsigned long long stop_at, begin, until, earliest, latest
    cdef public unsigned long long generation
    cdef public bint isolated
    cdef bint deny_link
    cdef public bint own_traffic
    cdef unsigned long long related_rate, related_tokens, related_at
    cdef public unsigned long long fail_flows
    cdef public bint marking
    cdef public unsigned long long[::1] marks
    cdef unsigned long long flow_mark
    cdef unsigned long long class_mark
    cdef public unsigned long long previous_flow, previous_meta
    cdef unsigned long long told
    cdef bint untold

    @cython.locals(position=cython.Py_ssize_t, end=cython.Py_ssize_t, done=cython.Py_ssize_t)
    cpdef Py_ssize_t process(self, unsigned long long[::1] records, Py_ssize_t start, Py_ssize_t count) except -1
    @cython.locals(flows=FlowTable, seen=cython.Py_ssize_t, last=cython.Py_ssize_t, group=cython.Py_ssize_t, fetched=cython.Py_ssize_t, sought=cython.Py_ssize_t, at=cython.Py_ssize_t, facts=cython.ulonglong, position=cython.Py_ssize_t, slot=cython.Py_ssize_t, now=cython.ulonglong, bits=cython.ulonglong, length=cython.ulonglong, outcome=cython.int, place=cython.int)
    cpdef Py_ssize_t judge(self, unsigned long long[::1] records, Py_ssize_t start, Py_ssize_t end, unsigned long long[::1] sights, Py_ssize_t first) except -1
    @cython.locals(key=cython.ulonglong)
    cdef int _place(self, Header header) except -1
    @cython.locals(header=Header, base=cython.Py_ssize_t, flag=cython.int, status=cython.int, source=cython.int, destination=cython.int, loopback=cython.bint, out=cython.bint)
    cdef int _packet(self, unsigned long long[::1] records, Py_ssize_t position, unsigned long long length) except -1
    @cython.locals(header=Header, flows=FlowTable, tail=cython.ulonglong, slot=cython.Py_ssize_t, reply=cython.bint, meta=cython.ulonglong, outcome=cython.int, judged=cython.Py_ssize_t, ending=cython.int)
    cdef int _flow_packet(self, bint out, bint both, bint loopback, int flag, unsigned long long length) except -1
    @cython.locals(header=Header, key=cython.ulonglong)
    cdef Py_ssize_t _find(self, bint out, unsigned long long tail) except -2
    @cython.locals(header=Header, key=cython.ulonglong)
    cdef Py_ssize_t _find_turned(self, unsigned long long tail) except -2
    @cython.locals(header=Header, flows=FlowTable, key=cython.ulonglong, slot=cython.Py_ssize_t)
    cdef Py_ssize_t _new_flow(self, bint out, unsigned long long tail, bint loopback, int flag) except -3
    cdef int _tell(self) except -1
    cdef bint _judge_anew(self, Py_ssize_t slot) except -1
    cdef Py_ssize_t _inspected(self, Py_ssize_t slot, bint out) except -2
    cdef int _without_flow(self, int reason) except -1
    @cython.locals(mac=cython.ulonglong)
    cdef int _learn_mac(self) except -1
    cpdef bint group(self, unsigned long long version, unsigned long long high, unsigned long long low) except -1
    cdef int _unspecified(self, int flag) except -1
    @cython.locals(header=Header, flows=FlowTable, slot=cython.Py_ssize_t, meta=cython.ulonglong, outcome=cython.int, out=cython.bint, admitted=cython.bint)
    cdef int _later_fragment(self, unsigned long long length, bint exempt) except -1
    @cython.locals(header=Header, quoted=Header, status=cython.int, key=cython.ulonglong, meta=cython.ulonglong, slot=cython.Py_ssize_t)
    cdef bint _related(self) except -1
    @cython.locals(full=cython.ulonglong, elapsed=cython.ulonglong)
    cdef bint _within_rate(self) except -1
    cpdef unsigned long long steps(self) except? 1
