# C types of pairs.py.
cimport cython

cdef unsigned long long M64, M32, K1


@cython.final
cdef class Pairs:
    cdef unsigned long long secret0, secret1, secret2, secret3, mask, vacant
    cdef readonly Py_ssize_t limit, count
    cdef readonly unsigned long long steps
    cdef unsigned int[::1] index
    cdef unsigned long long[::1] words

    @cython.locals(number=cython.Py_ssize_t, found=cython.Py_ssize_t)
    cpdef Py_ssize_t number(self, unsigned long long first, unsigned long long second) except -2
    @cython.locals(place=cython.ulonglong, entry=cython.Py_ssize_t, base=cython.Py_ssize_t)
    cpdef Py_ssize_t find(self, unsigned long long first, unsigned long long second) except -2
    cpdef unsigned long long first(self, Py_ssize_t number) except? 1
    cpdef unsigned long long second(self, Py_ssize_t number) except? 1
    cpdef clear(self)
    @cython.locals(value=cython.ulonglong)
    cdef unsigned long long _hash(self, unsigned long long first, unsigned long long second) noexcept
    @cython.locals(number=cython.Py_ssize_t, place=cython.ulonglong)
    cdef int _rehash(self, Py_ssize_t places) except -1
