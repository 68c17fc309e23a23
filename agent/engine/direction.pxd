# C types of direction.py. What is not named here stays a Python object.
cimport cython

cdef int SYN, ACK, RST, FLAG_IN, FLAG_OUT, SYSTEM_PORTS, DNS_PORT, ICMP, ICMPV6, TCP, UDP
cdef int TCP_SYN, ATTRIBUTION, CAPTURE_FLAG, ICMP_TYPE, REPLY_SEEN, FIRST_PACKET, UNMATCHED_REPLY, PORTS, LOWER_PORT
cdef int FIRST_SENDER


@cython.final
cdef class Directions:
    cdef int first, last

    @cython.locals(known=cython.int, found=cython.int)
    cpdef tuple decide(self, int protocol, bint out, int source_port, int destination_port, int tcp_flags, int icmp_type, int flag, object initiated, bint asked)
    cpdef int weigh(self, int protocol, bint out, int source_port, int destination_port, int tcp_flags, int icmp_type, int flag, int initiated, bint asked) except -1
    @cython.locals(source_ephemeral=cython.bint, destination_ephemeral=cython.bint, forward=cython.int, backward=cython.int)
    cdef int _by_ports(self, bint out, int source_port, int destination_port) except -1
    cdef bint _ephemeral(self, int port) except -1
