# C types of chain.py. What is not named here stays a Python object.
cimport cython
from agent.attribution.timeline cimport Timeline
from agent.attribution.values cimport Owner


cdef class Attribution:
    cdef public list subjects
    cdef public Py_ssize_t failures
    cdef public object first_failure
    cdef dict _ids
    cdef list _sources, _finds

    cpdef object resolve(
        self, int protocol, int version, object local, unsigned int local_port, object remote,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    @cython.locals(index=Timeline, owner=Owner)
    cpdef object owner_of(
        self, int protocol, int version, unsigned long long local_high, unsigned long long local_low,
        unsigned int local_port, unsigned long long remote_high, unsigned long long remote_low,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    @cython.locals(wide=object)
    cdef object _wide(self, unsigned long long high, unsigned long long low)
