# C types of community.py.
cimport cython
from agent.sinks.buffer cimport Buffer

cdef unsigned int ICMP, ICMPV6, SCTP, TCP, UDP, M16, M32, END, H0, H1, H2, H3, H4, R0, R1, R2, R3
cdef Py_ssize_t LENGTH
cdef const unsigned char *ALPHABET

@cython.locals(one_way=cython.bint, ports=cython.bint, backward=cython.bint)
cpdef int put_community(Buffer buffer, unsigned int protocol, int version, unsigned long long source_high, unsigned long long source_low, unsigned long long destination_high, unsigned long long destination_low, unsigned int first, unsigned int second) except -1
@cython.locals(words=cython.uint[80], last=cython.int)
cdef int _put_block(Buffer buffer, unsigned int protocol, int version, unsigned long long source_high, unsigned long long source_low, unsigned long long destination_high, unsigned long long destination_low, bint ports, unsigned int first, unsigned int second) except -1
@cython.locals(a=cython.uint, b=cython.uint, c=cython.uint, d=cython.uint, e=cython.uint, mixed=cython.uint, place=cython.int, room=cython.p_uchar, at=cython.Py_ssize_t, bits=cython.int, pending=cython.ulonglong)
cdef int _put_hash(Buffer buffer, unsigned int *words) except -1
