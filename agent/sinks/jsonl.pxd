# C types of jsonl.py.
cimport cython
from agent.engine.events cimport FlowEvent
from agent.sinks.buffer cimport Buffer
from agent.sinks.lines cimport LineRenderer

cdef Py_ssize_t HELD


@cython.final
cdef class JsonlWriter:
    cdef object _file, _compressor
    cdef bint _flows_only
    cdef Buffer _lines
    cdef LineRenderer _renderer

    cpdef flow(self, FlowEvent event)
    cpdef _record(self, str event_type, object record)
    cpdef _write_out(self)
