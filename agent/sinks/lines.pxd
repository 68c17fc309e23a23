# C types of lines.py.
cimport cython
from agent.engine.events cimport FlowEvent

cdef class LineRenderer:
    cdef dict seconds
    cdef dict addresses
    cdef dict names
    cdef dict subjects
    cdef dict reasons
    cdef object policy
    cdef str enforcement
    cdef str policy_json

    @cython.locals(
        protocol=cython.int, event_type=str, local=tuple, remote=str, remote_packed=bytes, timestamp_text=str, first_text=str,
        last_text=str, tail=str, icmp=str, community=str, line=str, enforcement=str,
        end_json=str,
    )
    cpdef bytes flow(self, FlowEvent event)

    @cython.locals(fraction=cython.long, prefix=str)
    cdef str time(self, object ns)

    @cython.locals(known=tuple)
    cdef tuple address(self, object address)

    @cython.locals(known=str)
    cdef str names_json(self, tuple names)

    @cython.locals(known=tuple)
    cdef str process(self, FlowEvent event)

    @cython.locals(known=tuple)
    cdef str why(self, FlowEvent event)

    @cython.locals(protocol=cython.int)
    cdef str icmp_community(self, FlowEvent event, bytes local, bytes remote)
