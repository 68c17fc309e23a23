# C types of pump.py. What is not named here stays a Python object.
cimport cython
from agent.capture.scan cimport PcapngScanner, PcapScanner
from agent.datapath.scout cimport Scout

cdef extern from *:
    """
    #include <errno.h>
    #ifdef _WIN32
    #include <io.h>
    #define agent_read(file, target, size) _read(file, target, (unsigned int)(size))
    #else
    #include <unistd.h>
    #define agent_read(file, target, size) read(file, target, size)
    #endif
    static Py_ssize_t agent_read_file(int file, void *target, Py_ssize_t size) {
        Py_ssize_t done;
        do {
            done = agent_read(file, target, size);
        } while (done < 0 && errno == EINTR);
        return done;
    }
    static int agent_last_error(void) { return errno; }
    """
    Py_ssize_t read_file "agent_read_file"(int file, void *target, Py_ssize_t size) noexcept nogil
    int last_error "agent_last_error"() noexcept nogil

cdef Py_ssize_t SIGHT_WORDS, PIECE
cdef int _MORE


@cython.final
cdef class Pump:
    cdef object source, slot, reader, free, full, used, thread, switch_interval
    cdef readonly Scout scout
    cdef PcapScanner classic
    cdef PcapngScanner blocks
    cdef unsigned char[::1] data
    cdef unsigned long long[::1] records, sights
    cdef Py_ssize_t at, end, count, got
    cdef int descriptor, error
    cdef bint stopping

    cpdef scan(self, object scanner, object window, object records, Py_ssize_t count)
    @cython.locals(before=cython.Py_ssize_t, stop=cython.int, size=cython.Py_ssize_t, done=cython.Py_ssize_t)
    cdef int _fill(self, bint classic) except -1
