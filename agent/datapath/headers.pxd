# C types of headers.py. What is not named here stays a Python object.
cimport cython
from agent.datapath.layers cimport Link
from agent.datapath.links cimport find

cdef int IP, NOT_IP, UNDECODABLE, CUT
cdef int MAX_TAGS, MAX_EXTENSIONS
cdef int ETHERNET


@cython.final
cdef class Header:
    cdef const unsigned char[::1] data
    cdef Link link
    cdef public unsigned int ether_type
    cdef public int link_direction
    cdef public bint link_group
    cdef public bint link_loopback
    cdef Py_ssize_t mac_at
    cdef bint on_ethernet
    cdef bint message_cut
    cdef public unsigned long long version
    cdef public unsigned long long source_high
    cdef public unsigned long long source_low
    cdef public unsigned long long destination_high
    cdef public unsigned long long destination_low
    cdef public unsigned long long protocol
    cdef public int hop_limit
    cdef public unsigned long long source_port
    cdef public unsigned long long destination_port
    cdef public int tcp_flags
    cdef public unsigned long long tcp_sequence
    cdef public int icmp_type
    cdef public int icmp_code
    cdef public unsigned long long icmp_key
    cdef public int fragment
    cdef public long long fragment_offset
    cdef public long long fragment_end
    cdef public Py_ssize_t fragment_start
    cdef public unsigned long long fragment_id
    cdef public Py_ssize_t payload
    cdef public Py_ssize_t end
    cdef public Py_ssize_t transport
    cdef public int status, source_at, destination_at
    cdef public unsigned long long tail, tag
    cdef object buffer
    cdef public unsigned long long steps

    cpdef int attach(self, object data) except -1
    cpdef int share(self, Header other) except -1
    @cython.locals(end=cython.Py_ssize_t)
    cpdef int decode(self, Py_ssize_t offset, Py_ssize_t captured, int link_type) except -1 nogil
    @cython.locals(ether_type=cython.uint, tags=cython.int)
    cdef int _ethernet_type(self, Py_ssize_t position, Py_ssize_t end) except -1 nogil
    @cython.locals(status=cython.int)
    cdef int _other_link(self, Py_ssize_t offset, Py_ssize_t end, int link_type) except -1 nogil
    cpdef unsigned long long source_mac(self) except? 0xFFFFFFFFFFFFFFFF nogil
    cpdef bint on_loopback(self) except -1 nogil
    cpdef bytes message(self)
    @cython.locals(version=cython.int)
    cpdef int network(self, Py_ssize_t position, Py_ssize_t end, int quoted) except -1 nogil
    @cython.locals(header=cython.Py_ssize_t, total=cython.Py_ssize_t, limit=cython.Py_ssize_t, stop=cython.Py_ssize_t, word=cython.uint)
    cdef int _ipv4(self, Py_ssize_t position, Py_ssize_t end, int quoted) except -1 nogil
    @cython.locals(length=cython.Py_ssize_t, following=cython.int, cursor=cython.Py_ssize_t, limit=cython.Py_ssize_t, stop=cython.Py_ssize_t, extensions=cython.int, size=cython.Py_ssize_t, word=cython.uint)
    cdef int _ipv6(self, Py_ssize_t position, Py_ssize_t end, int quoted) except -1 nogil
    cdef unsigned long long wide(self, Py_ssize_t position) except? 0xFFFFFFFFFFFFFFFF nogil
    cdef unsigned long long _join(self, unsigned long long first, unsigned long long second, unsigned long long third, unsigned long long fourth) noexcept nogil
    @cython.locals(high=cython.ulonglong)
    cdef unsigned long long _mac(self, Py_ssize_t position) except? 0xFFFFFFFFFFFFFFFF nogil
    cdef unsigned long long word(self, Py_ssize_t position) except? 0xFFFFFFFFFFFFFFFF nogil
    @cython.locals(checked=cython.bint, protocol=cython.int, left=cython.Py_ssize_t, size=cython.Py_ssize_t)
    cdef int _transport(self, Py_ssize_t position, Py_ssize_t stop, Py_ssize_t limit, int quoted) except -1 nogil
    @cython.locals(kind=cython.int, query=cython.bint)
    cdef int _icmp_query(self, Py_ssize_t position, Py_ssize_t left) except -1 nogil
    cdef int _ports(self, Py_ssize_t position) except -1 nogil
