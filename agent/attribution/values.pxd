# C types of values.py.


cdef class Owner:
    cdef public object subject, initiated, chain
    cdef public Py_ssize_t subject_id
    cdef public bint listening
