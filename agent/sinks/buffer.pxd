# C types of buffer.py. Compiled, `room` is where the bytes of `data` are: who writes there has called reserve().
cimport cython

cdef extern from "string.h":
    void *copy "memcpy"(void *target, const void *source, size_t length) noexcept nogil

cdef Py_ssize_t _DAY, _FIRST_SIZE, _NUMBER, _ADDRESS, _TIME
cdef const unsigned char *HEX
cdef const unsigned char *PAIRS


@cython.final
cdef class Buffer:
    cdef bytearray data
    cdef unsigned char *room
    cdef Py_ssize_t used
    cdef unsigned long long day
    cdef bytes date

    cpdef Py_ssize_t length(self) except -1
    cpdef memoryview view(self)
    cpdef bytes take(self)
    cpdef int cut(self, Py_ssize_t length) except -1
    @cython.locals(data=bytearray)
    cpdef int reserve(self, Py_ssize_t length) except -1
    @cython.locals(length=cython.Py_ssize_t, source=cython.p_const_char)
    cpdef int put(self, bytes text) except -1
    @cython.locals(length=cython.Py_ssize_t, at=cython.Py_ssize_t, bound=cython.ulonglong, rest=cython.ulonglong, pair=cython.uint, room=cython.p_uchar)
    cpdef int number(self, unsigned long long value) except -1
    cpdef int address(self, int version, unsigned long long high, unsigned long long low) except -1
    @cython.locals(second=cython.ulonglong, day=cython.ulonglong, fraction=cython.uint, rest=cython.uint, micro=cython.uint, nano=cython.uint)
    cpdef int time(self, unsigned long long ns) except -1

    cdef int _byte(self, unsigned char value) noexcept
    cdef int _pair(self, unsigned int value) noexcept
    cdef int _small(self, unsigned int value) noexcept
    @cython.locals(best_start=cython.int, best_length=cython.int, length=cython.int, group=cython.int, word=cython.ulonglong)
    cdef int _ipv6(self, unsigned long long high, unsigned long long low) noexcept
