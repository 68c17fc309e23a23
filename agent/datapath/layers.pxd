# C types of layers.py. What is not named here stays a Python object.
cimport cython

cdef int IP, NOT_IP, UNDECODABLE
cdef int MAX_TAGS, MAX_LAYERS, MAX_LABELS
cdef int IPV4, IPV6, LLC, PPP, PPPOE_DISCOVERY, PPPOE, MPLS, LONGEST_8023


@cython.final
cdef class Link:
    cdef const unsigned char[::1] data
    cdef public Py_ssize_t position, end, mac_at
    cdef public int ether_type, direction
    cdef public bint group, loopback, on_ethernet
    cdef int tags, layers, labels

    cpdef int attach(self, object data) except -1
    cpdef int share(self, Link other) except -1
    cdef int begin(self) noexcept nogil
    cdef int packet(self, Py_ssize_t position, Py_ssize_t end, int ether_type) noexcept nogil
    @cython.locals(version=cython.int)
    cdef int by_nibble(self, Py_ssize_t position, Py_ssize_t end) except -1 nogil
    cdef int other(self, int ether_type) noexcept nogil
    cdef bint _deeper(self) noexcept nogil
    cpdef int ether(self, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
    @cython.locals(size=cython.int)
    cdef int by_type(self, Py_ssize_t position, Py_ssize_t end, int ether_type) except -1 nogil
    cdef int by_number(self, Py_ssize_t position, Py_ssize_t end, int number) except -1 nogil
    @cython.locals(service=cython.int, organisation=cython.int, last=cython.int, number=cython.int)
    cdef int llc(self, Py_ssize_t position, Py_ssize_t end) except -1 nogil
    cdef int pppoe(self, Py_ssize_t position, Py_ssize_t end) except -1 nogil
    @cython.locals(protocol=cython.int)
    cdef int ppp_protocol(self, Py_ssize_t position, Py_ssize_t end) except -1 nogil
    @cython.locals(bottom=cython.int, nibble=cython.int, status=cython.int)
    cdef int mpls(self, Py_ssize_t position, Py_ssize_t end) except -1 nogil
    cdef int byte(self, Py_ssize_t position) except -1 nogil
    cdef int big16(self, Py_ssize_t position) except -1 nogil
    cdef int little16(self, Py_ssize_t position) except -1 nogil
    cdef unsigned long long big32(self, Py_ssize_t position) except? 0xFFFFFFFFFFFFFFFF nogil
    cdef unsigned long long little32(self, Py_ssize_t position) except? 0xFFFFFFFFFFFFFFFF nogil
    cdef unsigned long long _pair(self, unsigned long long high, unsigned long long low) noexcept nogil
