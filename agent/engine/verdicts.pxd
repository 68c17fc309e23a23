# C types of verdicts.py. What is not named here stays a Python object.
cimport cython
from agent.engine.pairs cimport Pairs
from agent.policy.intervals cimport Intervals

cdef int AGENT_DENIED, MAX_CACHED, DNS_PORT, FILTERS_DECIDE, AGENT_KEPT, UNDECIDED


@cython.final
cdef class Verdicts:
    cdef public object policy, tables, table, edges
    cdef public set resolvers
    cdef public list classes, subjects, name_sets
    cdef public unsigned long long[::1] outcomes
    cdef public bint complete, explained
    cdef bint filtering
    cdef dict numbers, program_facts, program_numbers, place_numbers, edge_numbers, services, mask_numbers, permits, kind_numbers
    cdef list program_masks, program_kinds, place_masks, direction_masks
    cdef readonly Pairs cache
    cdef unsigned int[::1] cached
    cdef int[::1] programs, places, cloud_names, edge_places
    cdef Intervals intervals, edge_intervals
    cdef unsigned short[::1] tcp_services, udp_services
    cdef int dns_service

    @cython.locals(
        port=cython.int, service=cython.ulonglong, program=cython.longlong, place=cython.longlong, edge=cython.longlong,
        interval=cython.Py_ssize_t, named=cython.int, bits=cython.ulonglong, first=cython.ulonglong,
        second=cython.ulonglong, found=cython.Py_ssize_t, number=cython.Py_ssize_t, permit=cython.Py_ssize_t,
        program_kind=cython.int,
    )
    cpdef Py_ssize_t of_flow(
        self, bint outbound, bint trusted, int protocol, int version, unsigned long long remote_high,
        unsigned long long remote_low, unsigned int local_port, unsigned int remote_port, int icmp_type,
        Py_ssize_t subject, Py_ssize_t names, bint loopback, bint group,
    ) except -2
    cdef Py_ssize_t _classified(self, object facts, object subject, bint loopback) except -2
    cdef int _note_permit(self, int kind, unsigned long long second, object facts, object subject, bint loopback) except -1
    @cython.locals(number=cython.Py_ssize_t)
    cdef Py_ssize_t _by_filters(self, Py_ssize_t program, Py_ssize_t place, Py_ssize_t directions, bint agent_denied) except -2
    @cython.locals(number=cython.Py_ssize_t)
    cpdef Py_ssize_t number(self, object found) except -2
    @cython.locals(wide=object)
    cdef object _address(self, int version, unsigned long long high, unsigned long long low)
    cdef int _program(self, Py_ssize_t subject) except -2
    cdef int _place(self, Py_ssize_t interval) except -2
    cdef int _edge(self, Py_ssize_t interval) except -2
    cdef int _cloud_name(self, Py_ssize_t names) except -2
