# C types of flows.py. What is not named here stays a Python object.
cimport cython

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define agent_prefetch(address) __builtin_prefetch(address, 1)
    #else
    #define agent_prefetch(address) ((void)(address))
    #endif
    """
    void prefetch "agent_prefetch"(const void *address) noexcept nogil

cdef Py_ssize_t WORDS, EXTRA, META, LAST_SEEN, FLOW_ID, PACKETS, MORE_PACKETS, KEY, LOCAL_HIGH, LOCAL_LOW, REMOTE_HIGH, REMOTE_LOW, BYTES, BYTES_REPLY, FIRST_SEEN, AUTHORISED_AT, OWNER, QUEUE, NAMES, APART_PACKETS, APART_BYTES, QUEUED_AT, FACTS, SIGHT_WORDS
cdef int QUEUE_SHIFT, LAST_ACK, TIME_WAIT, CLOSE, UDP_UNREPLIED, UDP_REPLIED, DENIED, UNREPLIED, REPLIED_QUEUE, KEPT, FIN, RST, TIMEOUT, EVICTED
cdef unsigned long long REPLIED, USED, OPENED, OUTBOUND, STATE_MASK, M32, M64, K1, OUT, ONE_REPLY

cdef unsigned long long COUNT_MASK, GENERATION_MASK, INSPECT
cdef int ESTABLISHED


@cython.final
cdef class FlowTable:
    cdef public Py_ssize_t size, limit, capacity, used, live, kept, hand
    cdef public unsigned long long seed, created, evicted, ended, steps
    cdef unsigned long long mask
    cdef unsigned long long secret0, secret1, secret2, secret3, secret4, secret5, secret6, secret7, secret8, secret9
    cdef public object listener
    cdef unsigned long long[::1] timeouts
    cdef const unsigned char[::1] tcp
    cdef readonly unsigned long long[::1] words
    cdef unsigned long long[::1] extra
    cdef unsigned long long[::1] index
    cdef public Py_ssize_t found
    cdef Py_ssize_t free
    cdef bint reused
    cdef long long[::1] heads
    cdef long long[::1] tails

    @cython.locals(places=cython.ulonglong)
    cdef int _new_index(self) except -1
    @cython.locals(entry=cython.ulonglong, place=cython.Py_ssize_t, capacity=cython.Py_ssize_t)
    cdef int _grow(self) except -1
    @cython.locals(place=cython.ulonglong)
    cdef int _place(self, unsigned long long entry) except -1
    @cython.locals(value=cython.ulonglong)
    cpdef unsigned long long hash(self, unsigned long long local_high, unsigned long long local_low, unsigned long long remote_high, unsigned long long remote_low, unsigned long long key) noexcept nogil
    @cython.locals(place=cython.ulonglong, entry=cython.ulonglong, slot=cython.Py_ssize_t, base=cython.Py_ssize_t)
    cdef Py_ssize_t find_at(self, unsigned long long tag, unsigned long long local_high, unsigned long long local_low, unsigned long long remote_high, unsigned long long remote_low, unsigned long long key) except -2
    @cython.locals(tag=cython.ulonglong)
    cpdef Py_ssize_t find(self, unsigned long long local_high, unsigned long long local_low, unsigned long long remote_high, unsigned long long remote_low, unsigned long long key) except -2
    @cython.locals(number=cython.Py_ssize_t, tag=cython.ulonglong)
    cdef int seek(self, unsigned long long[::1] sights, Py_ssize_t first, Py_ssize_t last) except -1
    @cython.locals(number=cython.Py_ssize_t, tag=cython.ulonglong, entry=cython.ulonglong, base=cython.Py_ssize_t)
    cdef int fetch(self, unsigned long long[::1] sights, Py_ssize_t first, Py_ssize_t last) except -1
    @cython.locals(tag=cython.ulonglong, slot=cython.Py_ssize_t, base=cython.Py_ssize_t)
    cpdef Py_ssize_t insert(self, unsigned long long local_high, unsigned long long local_low, unsigned long long remote_high, unsigned long long remote_low, unsigned long long key, unsigned long long now) except -2
    @cython.locals(tag=cython.ulonglong, place=cython.ulonglong, entry=cython.ulonglong, gap=cython.ulonglong, base=cython.Py_ssize_t)
    cpdef int remove(self, Py_ssize_t slot) except -1
    cpdef int end(self, Py_ssize_t slot, int end) except -1
    cpdef int close(self, Py_ssize_t slot, int end) except -1
    @cython.locals(base=cython.Py_ssize_t, tail=cython.Py_ssize_t)
    cdef int _enqueue(self, Py_ssize_t slot, int queue) except -1
    @cython.locals(base=cython.Py_ssize_t, queue=cython.int, links=cython.ulonglong, before=cython.Py_ssize_t, after=cython.Py_ssize_t)
    cdef int _dequeue(self, Py_ssize_t slot) except -1
    @cython.locals(queue=cython.int, slot=cython.Py_ssize_t)
    cdef int _evict(self) except -1
    @cython.locals(slot=cython.Py_ssize_t)
    cdef int _sweep(self, unsigned long long now) except -1
    @cython.locals(base=cython.Py_ssize_t, last=cython.ulonglong)
    cpdef bint expired(self, Py_ssize_t slot, unsigned long long now) except -1
    @cython.locals(state=cython.int)
    cpdef int ending(self, Py_ssize_t slot) except -1
    @cython.locals(slot=cython.Py_ssize_t, flags=cython.int, base=cython.Py_ssize_t, meta=cython.ulonglong, last=cython.ulonglong, state=cython.ulonglong, reply=cython.bint)
    cpdef int packet(self, unsigned long long facts, unsigned long long local_high, unsigned long long local_low, unsigned long long remote_high, unsigned long long remote_low, unsigned long long key, unsigned long long length, unsigned long long now, unsigned long long generation) except -2
    cpdef int count(self, Py_ssize_t slot, int reply, unsigned long long length, unsigned long long now) except -1
    @cython.locals(base=cython.Py_ssize_t, packets=cython.ulonglong)
    cdef int _count(self, Py_ssize_t slot, int reply, unsigned long long length) except -1
    @cython.locals(base=cython.Py_ssize_t)
    cpdef unsigned long long packets(self, Py_ssize_t slot) except? 0xFFFFFFFFFFFFFFFF
    @cython.locals(base=cython.Py_ssize_t)
    cpdef unsigned long long replies(self, Py_ssize_t slot) except? 0xFFFFFFFFFFFFFFFF
    @cython.locals(base=cython.Py_ssize_t, attempted=cython.ulonglong, meta=cython.ulonglong, state=cython.int)
    cdef int _first_reply(self, Py_ssize_t slot) except -1
    @cython.locals(kind=cython.int, base=cython.Py_ssize_t, meta=cython.ulonglong, state=cython.ulonglong, following=cython.ulonglong)
    cpdef int tcp_packet(self, Py_ssize_t slot, int reply, int flags) except -1
    @cython.locals(base=cython.Py_ssize_t)
    cpdef int set_state(self, Py_ssize_t slot, unsigned long long state) except -1
    cpdef int opened_with(self, Py_ssize_t slot, unsigned long long sequence) except -1
    @cython.locals(opened=cython.bint)
    cpdef bint same_opening(self, Py_ssize_t slot, unsigned long long sequence) except -1
    @cython.locals(base=cython.Py_ssize_t, extra=cython.Py_ssize_t, meta=cython.ulonglong, count=cython.ulonglong, queue=cython.int)
    cpdef int authorise(self, Py_ssize_t slot, unsigned long long verdict, unsigned long long reason, unsigned long long owner, unsigned long long names, unsigned long long generation, int keep) except -1
    @cython.locals(base=cython.Py_ssize_t, meta=cython.ulonglong)
    cpdef int adopt(self, Py_ssize_t slot, unsigned long long generation) except -1
    @cython.locals(base=cython.Py_ssize_t, meta=cython.ulonglong)
    cpdef int set_direction(self, Py_ssize_t slot, int outbound, unsigned long long basis) except -1
    cpdef int set_flag(self, Py_ssize_t slot, unsigned long long flag) except -1
    @cython.locals(extra=cython.Py_ssize_t)
    cpdef int set_icmp(self, Py_ssize_t slot, unsigned long long kind, unsigned long long code) except -1
    cpdef int apart(self, Py_ssize_t slot, unsigned long long length) except -1
    @cython.locals(base=cython.Py_ssize_t)
    cpdef int restart_counts(self, Py_ssize_t slot, unsigned long long now) except -1
    cpdef unsigned long long meta(self, Py_ssize_t slot) except? 1
    cpdef int state(self, Py_ssize_t slot) except -1
    cpdef unsigned long long generation(self, Py_ssize_t slot) except? 1
    cpdef unsigned long long authorisations(self, Py_ssize_t slot) except? 1
    cpdef unsigned long long word(self, Py_ssize_t slot, Py_ssize_t index) except? 1
    @cython.locals(base=cython.Py_ssize_t)
    cpdef unsigned long long flow_in(self, Py_ssize_t slot) except? 1
    cpdef unsigned long long attempted(self, Py_ssize_t slot) except? 1
    cpdef unsigned long long extra_word(self, Py_ssize_t slot, Py_ssize_t index) except? 1
