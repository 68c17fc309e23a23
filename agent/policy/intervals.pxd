# C types of intervals.py.
cimport cython


@cython.final
cdef class Intervals:
    cdef unsigned long long[::1] lows4, highs6, lows6
    cdef Py_ssize_t count4, count6

    @cython.locals(first=cython.Py_ssize_t, last=cython.Py_ssize_t, middle=cython.Py_ssize_t, edge=cython.ulonglong)
    cpdef Py_ssize_t find(self, int version, unsigned long long high, unsigned long long low) except -1
