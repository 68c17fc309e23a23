# C types of direction.py. What is not named here stays a Python object.
cimport cython

cdef int SYN, ACK, RST, FLAG_IN, FLAG_OUT, SYSTEM_PORTS, TCP, UDP
cdef int TCP_SYN, ATTRIBUTION, CAPTURE_FLAG, ICMP_TYPE, REPLY_SEEN, FIRST_PACKET, UNMATCHED_REPLY, PORTS, LOWER_PORT
cdef int FIRST_SENDER


@cython.final
cdef class Directions:
    cdef int first, last

    @cython.locals(looks_like_reply=cython.bint)
    cpdef tuple decide(self, int protocol, bint out, int source_port, int destination_port, int tcp_flags, int icmp_type, int flag, object initiated, bint asked)
    cdef tuple _guess_tcp(self, bint out, int source_port, int destination_port, int tcp_flags)
    @cython.locals(source_ephemeral=cython.bint, destination_ephemeral=cython.bint)
    cdef tuple _guess_ports(self, bint out, int source_port, int destination_port)
    cdef bint _ephemeral(self, int port) except -1
