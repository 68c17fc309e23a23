# C types of tally.py.
cimport cython
from agent.engine.pairs cimport Pairs


@cython.final
cdef class Tally:
    cdef readonly Pairs known4, known6
    cdef unsigned long long[::1] counts4, counts6

    @cython.locals(number=cython.Py_ssize_t)
    cpdef int add(self, int version, unsigned long long high, unsigned long long low, unsigned long long packets, unsigned long long octets) except -1
    @cython.locals(packets=cython.ulonglong, octets=cython.ulonglong)
    cdef list _rows(self, int version, Pairs known, unsigned long long[::1] counts, Py_ssize_t count)
    @cython.locals(number=cython.Py_ssize_t, packets=cython.ulonglong, octets=cython.ulonglong, full=cython.bint)
    cdef list _best(self, Py_ssize_t size, unsigned long long[::1] counts, Py_ssize_t count)
    @cython.locals(known=Pairs, wide=object)
    cdef object _address(self, int version, Py_ssize_t number)
