# C types of datapath.py. What is not named here stays a Python object.
cimport cython
from agent.datapath.flows cimport FlowTable
from agent.datapath.headers cimport Header

cdef int FLOW_ID, OWNER
cdef int IP, NOT_IP, UNREADABLE, CUT, FLAG_IN, FLAG_OUT, REMOTE, BY_PREFIX, EXACT, LOOPBACK_ADDRESS
cdef int LINK, FOREIGN, NOT_ISOLATED, OWN_TRAFFIC, RELATED, UNDECODABLE, MARTIAN, FRAGMENT, FLOW_TABLE_FULL, POLICY_ERROR
cdef int ICMP_FLOW, ICMPV6_FLOW, SCTP_FLOW, OTHER_FLOW, UDP_UNREPLIED, SUPERSEDED, TIMEOUT, END_OF_RUN
cdef int RECORD_WORDS, MAX_MACS, AHEAD
cdef unsigned long long INSPECT, LOOPBACK, OUTBOUND, REPLIED, M32, NO_TIME, FOREVER, SECOND


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
    cdef unsigned long long[::1] exact
    cdef unsigned long long[::1] prefixes
    cdef int exact_count
    cdef int prefix_count
    cdef unsigned long long first_version
    cdef unsigned long long first_low
    cdef list ahead
    cdef unsigned long long[::1] tags
    cdef public set macs
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

    @cython.locals(position=cython.Py_ssize_t, ahead=cython.Py_ssize_t, first=cython.Py_ssize_t, now=cython.ulonglong, base=cython.Py_ssize_t, bits=cython.ulonglong, length=cython.ulonglong, outcome=cython.int, place=cython.int)
    cpdef Py_ssize_t process(self, unsigned long long[::1] records, Py_ssize_t start, Py_ssize_t count) except -1
    @cython.locals(found=cython.Py_ssize_t, header=Header, position=cython.Py_ssize_t, base=cython.Py_ssize_t)
    cdef int _look_ahead(self, unsigned long long[::1] records, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(key=cython.ulonglong)
    cdef int _place(self, Header header) except -1
    @cython.locals(header=Header, status=cython.int, source=cython.int, destination=cython.int, loopback=cython.bint, out=cython.bint)
    cdef int _packet(self, int flag, unsigned long long length) except -1
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
    @cython.locals(number=cython.int, before=cython.int, behind=cython.int)
    cdef int _locality(self, unsigned long long version, unsigned long long high, unsigned long long low) except -1
    @cython.locals(first_high=cython.ulonglong, last_high=cython.ulonglong)
    cdef bint _within(self, Py_ssize_t base, unsigned long long version, unsigned long long high, unsigned long long low) except -1
    @cython.locals(mac=cython.ulonglong)
    cdef int _learn_mac(self) except -1
    @cython.locals(first=cython.ulonglong)
    cdef bint _group(self) except -1
    cdef int _unspecified(self, int flag) except -1
    @cython.locals(header=Header, flows=FlowTable, slot=cython.Py_ssize_t, meta=cython.ulonglong, outcome=cython.int, out=cython.bint, admitted=cython.bint)
    cdef int _later_fragment(self, unsigned long long length, bint exempt) except -1
    @cython.locals(header=Header, quoted=Header, status=cython.int, key=cython.ulonglong, meta=cython.ulonglong, slot=cython.Py_ssize_t)
    cdef bint _related(self) except -1
    @cython.locals(full=cython.ulonglong, elapsed=cython.ulonglong)
    cdef bint _within_rate(self) except -1
    @cython.locals(header=Header, total=cython.ulonglong)
    cpdef unsigned long long steps(self) except? 1
