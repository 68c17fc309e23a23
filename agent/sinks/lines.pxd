# C types of lines.py.
cimport cython
from agent.engine.events cimport FlowEvent
from agent.sinks.buffer cimport Buffer
from agent.sinks.community cimport put_community

cdef int MIXED, BY_TYPE
cdef dict _STARTS
cdef list _PROTOCOLS, _DIRECTIONS, _VERDICTS, _ENDS


@cython.final
cdef class LineRenderer:
    cdef Buffer buffer
    cdef dict names
    cdef dict subjects
    cdef dict reasons
    cdef object policy
    cdef object enforcement
    cdef bytes policy_json

    cpdef bytes flow(self, FlowEvent event)
    @cython.locals(before=cython.Py_ssize_t)
    cpdef int add(self, FlowEvent event) except -1
    @cython.locals(buffer=Buffer)
    cdef int _put(self, FlowEvent event) except -1
    cdef int _number_or_null(self, long long value) except -1
    @cython.locals(first=cython.int, second=cython.int, from_local=cython.bint)
    cdef int _community(self, FlowEvent event) except -1
    @cython.locals(known=bytes)
    cdef bytes _names(self, tuple names)
    @cython.locals(known=tuple)
    cdef bytes _process(self, FlowEvent event)
    @cython.locals(known=tuple)
    cdef bytes _why(self, object found)
