# C types of wireless.py. What is not named here stays a Python object.
cimport cython
from agent.datapath.layers cimport Link

cdef int NOT_IP, UNDECODABLE
cdef int WIFI_CONTROL, MAX_WORDS, MAX_FIELDS

@cython.locals(size=cython.int, present=cython.int, more=cython.int, at=cython.int, words=cython.int, flags=cython.int)
cpdef int radiotap(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
@cython.locals(aligned=cython.int, cursor=cython.Py_ssize_t, fields=cython.int, size=cython.int)
cpdef int ppi(Link link, Py_ssize_t offset, Py_ssize_t position, Py_ssize_t end) except -1 nogil
@cython.locals(size=cython.longlong)
cpdef int prism(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
@cython.locals(kind=cython.int, flags=cython.int, size=cython.int, qos=cython.Py_ssize_t, body=cython.Py_ssize_t)
cpdef int wifi(Link link, Py_ssize_t position, Py_ssize_t end, int alignment) except -1 nogil
@cython.locals(stop=cython.Py_ssize_t)
cdef int _aggregate(Link link, Py_ssize_t position, Py_ssize_t end) except -1 nogil
cdef Py_ssize_t _without_checksum(Py_ssize_t position, Py_ssize_t end) noexcept nogil
