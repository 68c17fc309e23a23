# C types of sockets.py. What is not named here stays a Python object.
cimport cython
from agent.attribution.subjects cimport SubjectMaker
from agent.attribution.timeline cimport Timeline

cdef unsigned int ZERO, NINE, DOT, COLON, OPENING, CLOSING, ZULU, LETTER_A, LETTER_F, LOWER
cdef Py_ssize_t MIN_ENDPOINT
cdef unsigned long long WORD, MAPPED

@cython.locals(
    maker=SubjectMaker, timeline=Timeline, parser=RecordParser, number=cython.Py_ssize_t, torn=cython.bint,
)
cpdef object load_socket_records(
    object source, object family=*, object drives=*, object packages_root=*, object slack_ns=*, object lenient=*,
)


@cython.final
cdef class End:
    cdef int version
    cdef bint anywhere
    cdef unsigned long long high, low
    cdef unsigned int port
    cdef unsigned short[::1] groups

    @cython.locals(text=str)
    cdef object read(self, str key, object value)
    @cython.locals(
        value=cython.ulonglong, part=cython.uint, digits=cython.int, dots=cython.int, index=cython.Py_ssize_t,
        code=cython.uint,
    )
    cdef bint _ipv4(self, str text) except -1
    @cython.locals(
        size=cython.Py_ssize_t, count=cython.Py_ssize_t, group=cython.uint, digits=cython.int, gap=cython.Py_ssize_t,
        index=cython.Py_ssize_t, code=cython.uint, high=cython.ulonglong, low=cython.ulonglong,
        place=cython.Py_ssize_t,
    )
    cdef bint _ipv6(self, str text) except -1
    @cython.locals(size=cython.Py_ssize_t, index=cython.Py_ssize_t, code=cython.uint, port=cython.uint)
    cdef bint _port(self, str text, Py_ssize_t begin) except -1


@cython.final
cdef class RecordParser:
    cdef SubjectMaker maker
    cdef Timeline timeline
    cdef readonly dict addresses
    cdef End _local, _remote, _last4, _last6
    cdef dict _doubtful
    cdef readonly bint complete
    cdef readonly object rank
    cdef dict _seconds, _processes, _protocols

    @cython.locals(row=dict, local=End, remote=End, connected=cython.bint, listening=cython.bint, protocol=cython.int)
    cpdef add(self, object value)
    @cython.locals(text=str, size=cython.Py_ssize_t, nanoseconds=cython.Py_ssize_t)
    cdef object _time(self, str key, object value)
    @cython.locals(local=End, remote=End)
    cdef bint _connected(self, object text, object local_text) except -1
    cdef bint _listening(self, object state, bint connected, object remote_text) except -1
    cdef object _created(self, object value)
    @cython.locals(last=End, wide=object)
    cdef object _note(self, End local)
    cdef int _protocol(self, object value) except -1


@cython.locals(nanoseconds=cython.Py_ssize_t, index=cython.Py_ssize_t, code=cython.uint)
cdef Py_ssize_t _fraction(str text) except -2
