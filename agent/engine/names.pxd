# C types of names.py. What is not named here stays a Python object.
cimport cython

cdef int A, CNAME, AAAA, OPT, IN, MAX_RECORDS, MAX_POINTERS
cdef unsigned long long SPREAD, M64
cdef unsigned long long _steps


cpdef unsigned long long steps() except? 1
cpdef object parse_dns(bytes message)
@cython.locals(flags=cython.int, questions=cython.int, answers=cython.int, kind=cython.int, at=cython.Py_ssize_t, plain=cython.bint)
cdef object _parse(bytes message)
cdef bint _ends(bytes message, Py_ssize_t at, int additional) except -1
cpdef object read_addresses(bytes message, object answer)
@cython.locals(kind=cython.int, group=cython.int, size=cython.Py_ssize_t, number=cython.int)
cdef object _addresses(bytes message, Py_ssize_t at, int records, object asked)
@cython.locals(size=cython.int, pointers=cython.int, length=cython.int, end=cython.Py_ssize_t)
cdef tuple _name(bytes message, Py_ssize_t at)


cdef class NameTable:
    cdef public object _names
    cdef Py_ssize_t _given
    cdef dict _pending
    cdef set _taught
    cdef unsigned char[::1] _marks

    cpdef bint may_know(self, unsigned long long high, unsigned long long low) except -1
    @cython.locals(high=cython.ulonglong, low=cython.ulonglong)
    cdef _mark(self, object address)
