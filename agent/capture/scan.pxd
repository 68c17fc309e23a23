cimport cython

cdef Py_ssize_t _WORDS, _ROW, _LINK, _MULTIPLIER, _EXACT, _FCS, _SNAPLEN, _LIMIT
cdef Py_ssize_t _UNITS, _SHIFT, _TIMES, _DIVISOR, _AHEAD, _BACK
cdef int _SWAPPED, _MAYBE_SWAPPED, _MORE, _FULL, _SECTION, _INTERFACE, _BAD, _PROCESS
cdef int _RECORD, _NO_MAGIC, _BLOCK, _TRAILER, _SHORT_PACKET, _OVERLONG_PACKET, _PACKET_LIMIT, _SHORT_SIMPLE
cdef unsigned long long _LAST_TIME, _LAST_SECOND, _LOW_HALF
cdef unsigned long long _MAX_BLOCK, _SECTION_BLOCK, _ORDER_MAGIC, _ORDER_MAGIC_SWAPPED, _INTERFACE_BLOCK
cdef unsigned long long _CUSTOM_BLOCK, _CUSTOM_BLOCK_KEPT, _WIRESHARK, _PROCESS_ENTRY, _APPLE_BLOCK
cdef unsigned long long _HONE_PROCESS, _HONE_CONNECTION
cdef unsigned long long _OLD_PACKET_BLOCK, _SIMPLE_PACKET_BLOCK, _PACKET_BLOCK, _NO_TIME, _SECOND

cdef unsigned long long _join(
    unsigned long long first, unsigned long long second, unsigned long long third, unsigned long long fourth, bint big
) noexcept nogil


cdef Py_ssize_t _outside(Py_ssize_t at, Py_ssize_t end) except -1 with gil


@cython.final
cdef class PcapScanner:
    cdef bint big_endian
    cdef unsigned long long unit_ns, link_bits, fcs, limit
    cdef Py_ssize_t header
    cdef int order
    cdef readonly Py_ssize_t undeclared, undeclared_at, position, need
    cdef readonly int stop
    cdef int wrong
    cdef unsigned long long claimed, allowed

    @cython.locals(
        big=cython.bint, header=cython.Py_ssize_t, fcs=cython.ulonglong, unit=cython.ulonglong,
        limit=cython.ulonglong, link_bits=cython.ulonglong, room=cython.Py_ssize_t, stop=cython.int,
        need=cython.Py_ssize_t, frame=cython.Py_ssize_t, captured=cython.ulonglong, original=cython.ulonglong,
        seconds=cython.ulonglong, subsecond=cython.ulonglong, word=cython.Py_ssize_t,
        order=cython.int,
    )
    cpdef Py_ssize_t scan(
        self, const unsigned char[::1] data, Py_ssize_t at, Py_ssize_t end, unsigned long long[::1] records,
        Py_ssize_t count
    ) except -1 nogil


@cython.final
cdef class PcapngScanner:
    cdef bint big_endian, understood
    cdef public bint watching
    cdef Py_ssize_t count
    cdef unsigned long long[::1] table, records
    cdef const unsigned char[::1] data
    cdef readonly unsigned long long declared, steps, unwatched
    cdef unsigned long long kind, last_time
    cdef readonly Py_ssize_t undeclared, undeclared_at, position, need
    cdef readonly int stop
    cdef int wrong
    cdef unsigned long long claimed, allowed

    @cython.locals(room=cython.Py_ssize_t, kind=cython.ulonglong)
    cpdef Py_ssize_t scan(
        self, const unsigned char[::1] data, Py_ssize_t at, Py_ssize_t end, unsigned long long[::1] records,
        Py_ssize_t count
    ) except -1 nogil

    @cython.locals(big=cython.bint, order=cython.ulonglong, length=cython.ulonglong, last=cython.Py_ssize_t,
                   trailer=cython.ulonglong)
    cdef bint _whole_block(self, Py_ssize_t at, Py_ssize_t end) except -1 nogil

    @cython.locals(number=cython.ulonglong, entry=cython.ulonglong)
    cdef bint _names_process(self, Py_ssize_t at) except -1 nogil

    @cython.locals(
        big=cython.bint, last=cython.Py_ssize_t, frame=cython.Py_ssize_t, interface=cython.ulonglong,
        captured=cython.ulonglong, original=cython.ulonglong, limit=cython.ulonglong, size=cython.ulonglong,
        row=cython.Py_ssize_t, stamp=cython.ulonglong, options=cython.Py_ssize_t, flags=cython.ulonglong,
    )
    cdef bint _packet(self, Py_ssize_t at) except -1 nogil

    @cython.locals(
        big=cython.bint, frame=cython.Py_ssize_t, original=cython.ulonglong, captured=cython.ulonglong,
        snaplen=cython.ulonglong, limit=cython.ulonglong,
    )
    cdef bint _simple_packet(self, Py_ssize_t at) except -1 nogil

    cdef bint _without_interface(self, Py_ssize_t at) except -1 nogil

    @cython.locals(fcs=cython.ulonglong, direction=cython.ulonglong, word=cython.Py_ssize_t)
    cdef Py_ssize_t _record(
        self, Py_ssize_t row, Py_ssize_t frame, unsigned long long captured, unsigned long long original,
        unsigned long long flags
    ) except -1 nogil

    @cython.locals(big=cython.bint, code=cython.ulonglong, size=cython.ulonglong)
    cdef unsigned long long _flags(self, Py_ssize_t at, Py_ssize_t end) except? 0xFFFFFFFFFFFFFFFF nogil

    @cython.locals(units=cython.ulonglong, shift=cython.ulonglong, seconds=cython.ulonglong, rest=cython.ulonglong,
                   high=cython.ulonglong, ahead=cython.ulonglong)
    cdef unsigned long long _nanoseconds(
        self, Py_ssize_t row, unsigned long long stamp
    ) except? 0xFFFFFFFFFFFFFFFF nogil

    cdef bint _bad(self, int wrong, unsigned long long claimed, unsigned long long allowed) except -1 nogil
