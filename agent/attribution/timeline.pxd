# C types of timeline.py. What is not named here stays a Python object.
cimport cython

cdef int EXACT, REMOTE, LOCAL, ANY
cdef int TCP, UDP, KNOWN_OUTBOUND, BLOCK, CANDIDATES
cdef unsigned long long OPEN, LATEST, WORD, FIRST_FACTOR, SECOND_FACTOR


@cython.final
cdef class Timeline:
    cdef readonly unsigned long long slack
    cdef bint moments
    cdef unsigned long long behind
    cdef unsigned long long ahead
    cdef Py_ssize_t count
    cdef bint frozen
    cdef Py_ssize_t pending
    cdef unsigned long long[::1] new_keys
    cdef unsigned long long[::1] new_starts
    cdef unsigned long long[::1] new_ends
    cdef unsigned int[::1] new_claims
    cdef object added_keys
    cdef object added_starts
    cdef object added_ends
    cdef object added_claims
    cdef list subjects
    cdef dict numbers
    cdef dict numbers_by_id
    cdef dict owners
    cdef dict disputes
    cdef unsigned short[::1] kinds
    cdef unsigned long long[::1] keys
    cdef unsigned int[::1] table
    cdef unsigned long long mask
    cdef unsigned long long vacant
    cdef unsigned int[::1] firsts
    cdef unsigned int[::1] begins
    cdef unsigned long long[::1] starts
    cdef unsigned long long[::1] ends
    cdef unsigned long long[::1] reaches
    cdef unsigned int[::1] claims

    cpdef add(self, object record)
    @cython.locals(kind=cython.int, opened=cython.Py_ssize_t, place=cython.Py_ssize_t, base=cython.Py_ssize_t)
    cpdef take(
        self, object start, object end, int protocol, int version, bint anywhere,
        unsigned long long local_high, unsigned long long local_low, unsigned int port, bint connected,
        unsigned long long remote_high, unsigned long long remote_low, unsigned int remote_port,
        object subject, object initiated, bint listening,
    )
    @cython.locals(pending=cython.Py_ssize_t)
    cdef int _flush(self) except -1
    cdef Py_ssize_t _number(self, object subject) except -1
    @cython.locals(size=cython.Py_ssize_t)
    cpdef freeze(self)
    @cython.locals(place=cython.Py_ssize_t)
    cdef bint _ascending(self, unsigned long long[::1] starts) except -1
    @cython.locals(used=cython.Py_ssize_t, record=cython.Py_ssize_t, base=cython.Py_ssize_t, found=cython.Py_ssize_t)
    cdef Py_ssize_t _group_all(self, unsigned int[::1] groups) except -1
    @cython.locals(
        place=cython.Py_ssize_t, record=cython.Py_ssize_t, group=cython.Py_ssize_t, index=cython.Py_ssize_t,
        cursors="unsigned int[::1]",
    )
    cdef int _place(
        self, unsigned int[::1] groups, unsigned int[::1] order, unsigned long long[::1] starts,
        unsigned long long[::1] ends, unsigned int[::1] claims,
    ) except -1
    @cython.locals(
        group=cython.Py_ssize_t, begin=cython.Py_ssize_t, stop=cython.Py_ssize_t, index=cython.Py_ssize_t,
        following=cython.ulonglong, reach=cython.ulonglong,
    )
    cdef int _close(self) except -1

    cpdef object find(
        self, int protocol, int version, object local, unsigned int local_port, object remote,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    @cython.locals(kinds=cython.uint, group=cython.Py_ssize_t, meta=cython.ulonglong)
    cpdef object lookup(
        self, int protocol, int version, unsigned long long local_high, unsigned long long local_low,
        unsigned int local_port, unsigned long long remote_high, unsigned long long remote_low,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    cdef unsigned int _shift(self, int protocol) except? 99
    @cython.locals(head=cython.ulonglong)
    cdef unsigned long long _meta(
        self, unsigned int kind, unsigned int protocol, unsigned int version, unsigned int local_port,
        unsigned int remote_port,
    ) except? 1
    @cython.locals(mixed=cython.ulonglong, slot=cython.Py_ssize_t, entry=cython.Py_ssize_t, base=cython.Py_ssize_t)
    cdef Py_ssize_t _group(
        self, unsigned long long meta, unsigned long long local_low, unsigned long long local_high,
        unsigned long long remote_low, unsigned long long remote_high,
    ) except -1
    @cython.locals(
        begin=cython.Py_ssize_t, stop=cython.Py_ssize_t, after=cython.Py_ssize_t, high=cython.Py_ssize_t,
        middle=cython.Py_ssize_t, index=cython.Py_ssize_t, found=cython.bint, mixed=cython.bint,
        claim=cython.Py_ssize_t, best=cython.ulonglong, away=cython.ulonglong, confidence=cython.int,
    )
    cdef object _choose(self, Py_ssize_t group, unsigned long long now, int direction, int kind)
    cdef unsigned long long _away(self, Py_ssize_t index, unsigned long long now) except? 1
    cdef object _reconcile(
        self, Py_ssize_t begin, Py_ssize_t stop, unsigned long long now, int direction, unsigned long long best,
        int confidence,
    )
    cdef object _owner(self, Py_ssize_t claim, int confidence)
    @cython.locals(index=cython.Py_ssize_t)
    cpdef tuple span(self)
    @cython.locals(meta=cython.ulonglong, group=cython.Py_ssize_t, index=cython.Py_ssize_t)
    cpdef list exact_times(
        self, int protocol, int version, object local, unsigned int local_port, object remote,
        unsigned int remote_port,
    )
    @cython.locals(
        base=cython.Py_ssize_t, meta=cython.ulonglong, claim=cython.Py_ssize_t, kind=cython.int,
        protocol=cython.int, version=cython.int,
    )
    cdef object _record(self, Py_ssize_t group, Py_ssize_t index)
    @cython.locals(wide=object)
    cdef object _wide(self, Py_ssize_t base)
    cdef object _shifted(self, object time)
