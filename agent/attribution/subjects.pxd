# C types of subjects.py. What is not named here stays a Python object.


cdef class SubjectMaker:
    cdef readonly object source, family, drives, confidence
    cdef object _root
    cdef dict _known, _strange, _unmapped
    cdef set _facts

    cpdef object subject(
        self, object image, object services, object package, object pid, object user, object process_created=*,
        object container=*,
    )
    cdef object _make(
        self, object image, object services, object package, object pid, object user, object process_created,
        object container,
    )
