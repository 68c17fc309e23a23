# C types of links.py. What is not named here stays a Python object.
cimport cython
from agent.datapath.layers cimport Link
from agent.datapath.wireless cimport ppi, prism, radiotap, wifi

cdef int NOT_IP, UNDECODABLE, INBOUND, OUTBOUND
cdef int NULL, ETHERNET, PPP, RAW_12, RAW_14, PPP_HDLC, PPP_ETHER, RAW, C_HDLC, WIFI
cdef int LOOP, ENC, SLL, PFLOG, PRISM, RADIOTAP, USER2, AVS, PPP_PPPD, PPI
cdef int PPP_WITH_DIR, MPLS, IPV4_ONLY, IPV6_ONLY, NFLOG, PKTAP, SLL2
cdef int IPV4, IPV6, PPP_CONTROL
cdef int ARPHRD_LOOPBACK, ARPHRD_RADIOTAP, ARPHRD_NETLINK, IFT_LOOP
cdef int SHORTEST_PKTAP, LONGEST_PKTAP, MAX_ATTRIBUTES

cpdef int find(Link link, Py_ssize_t offset, Py_ssize_t end, int link_type) except -1 nogil
cdef int _plain(Link link, Py_ssize_t offset, Py_ssize_t end, int link_type) except -1 nogil
cdef int _serial(Link link, Py_ssize_t offset, Py_ssize_t end, int link_type) except -1 nogil
@cython.locals(address=cython.int)
cdef int _ppp(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _cisco(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _cooked(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _cooked2(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _sent(Link link, int packet_type) noexcept nogil
cdef int _by_hardware(Link link, Py_ssize_t position, Py_ssize_t end, int hardware, int number) except -1 nogil
cdef int _null(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _enc(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
@cython.locals(family=cython.int)
cdef int _family(Link link, Py_ssize_t offset) except -1 nogil
cdef int _by_family(Link link, int family, Py_ssize_t position, Py_ssize_t end) noexcept nogil
@cython.locals(size=cython.int, way=cython.int)
cdef int _pflog(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
@cython.locals(family=cython.int, number=cython.int, cursor=cython.Py_ssize_t, attributes=cython.int, left=cython.Py_ssize_t, size=cython.int, kind=cython.int)
cdef int _nflog(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _hooked(Link link, int family, int hook) noexcept nogil
@cython.locals(first=cython.int)
cdef int _user2(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
@cython.locals(flags=cython.longlong, size=cython.longlong, inner=cython.longlong, device=cython.int, status=cython.int, way=cython.int)
cdef int _pktap(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
@cython.locals(size=cython.int, inner=cython.longlong)
cdef int _ppi(Link link, Py_ssize_t offset, Py_ssize_t end) except -1 nogil
cdef int _inside(Link link, Py_ssize_t position, Py_ssize_t end, long long link_type) except -1 nogil
