# C types of scout.py.
cimport cython
from agent.datapath.flows cimport FlowTable
from agent.datapath.headers cimport Header

cdef int FACTS, TIME, LENGTH, SIGHT_WORDS, IP, FLAG_IN, REMOTE, BY_PREFIX, EXACT, LOOPBACK_ADDRESS, RECORD_WORDS
cdef unsigned long long PLAIN, OUT, NO_TIME, M32, M64


@cython.final
cdef class Scout:
    cdef FlowTable flows
    cdef readonly Header header
    cdef unsigned long long[::1] exact, prefixes
    cdef int exact_count, prefix_count
    cdef unsigned long long first_version, first_low
    cdef unsigned long long local_high, local_low, remote_high, remote_low, key

    @cython.locals(twin=Scout)
    cpdef Scout twin(self)
    cpdef attach(self, object data)
    cpdef int look(
        self, unsigned long long[::1] records, Py_ssize_t start, Py_ssize_t end, unsigned long long[::1] sights,
        Py_ssize_t first,
    ) except -1 nogil
    @cython.locals(
        at=cython.Py_ssize_t, position=cython.Py_ssize_t, base=cython.Py_ssize_t, bits=cython.ulonglong,
        facts=cython.ulonglong, status=cython.int,
    )
    cdef int look_at(
        self, Py_ssize_t origin, unsigned long long[::1] records, Py_ssize_t start, Py_ssize_t end, unsigned long long[::1] sights,
        Py_ssize_t first,
    ) except -1 nogil
    @cython.locals(version=cython.ulonglong, tail=cython.ulonglong, source=cython.int, destination=cython.int)
    cdef unsigned long long _orient(self, int flag) except? 9 nogil
    @cython.locals(number=cython.int, before=cython.int, behind=cython.int)
    cdef int locality(self, unsigned long long version, unsigned long long high, unsigned long long low) except -1 nogil
    @cython.locals(first_high=cython.ulonglong, last_high=cython.ulonglong)
    cdef bint _within(
        self, Py_ssize_t base, unsigned long long version, unsigned long long high, unsigned long long low
    ) except -1 nogil
