# C types of chain.py. What is not named here stays a Python object.
cimport cython
from agent.attribution.timeline cimport Timeline
from agent.attribution.values cimport Owner

cdef int TCP


cdef class Attribution:
    cdef public list subjects
    cdef public Py_ssize_t failures
    cdef public object first_failure
    cdef dict _ids, _together
    cdef list _sources, _steps, _witnesses

    cpdef object resolve(
        self, int protocol, int version, object local, unsigned int local_port, object remote,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    @cython.locals(owner=Owner, found=Owner, best=Owner, others=list, step=tuple)
    cpdef object owner_of(
        self, int protocol, int version, unsigned long long local_high, unsigned long long local_low,
        unsigned int local_port, unsigned long long remote_high, unsigned long long remote_low,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    @cython.locals(index=Timeline)
    cdef object _ask(
        self, tuple step, int protocol, int version, unsigned long long local_high, unsigned long long local_low,
        unsigned int local_port, unsigned long long remote_high, unsigned long long remote_low,
        unsigned int remote_port, unsigned long long now_ns, int direction,
    )
    cdef object _agreed(self, list owners)
    @cython.locals(wide=object)
    cdef object _wide(self, unsigned long long high, unsigned long long low)
    cdef object _adopt(self, Owner owner)
    cdef object _failed(self, object source, object error)
