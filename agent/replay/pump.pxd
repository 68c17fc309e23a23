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
    static void agent_take(PyThread_type_lock lock) { PyThread_acquire_lock(lock, WAIT_LOCK); }
    static int agent_take_soon(PyThread_type_lock lock) {
        return PyThread_acquire_lock_timed(lock, 100000, 0) == PY_LOCK_ACQUIRED;
    }
    """
    ctypedef void *Lock "PyThread_type_lock"
    Py_ssize_t read_file "agent_read_file"(int file, void *target, Py_ssize_t size) noexcept nogil
    Lock new_lock "PyThread_allocate_lock"() noexcept nogil
    void take "agent_take"(Lock lock) noexcept nogil
    int take_soon "agent_take_soon"(Lock lock) noexcept nogil  # within a tenth of a second
    void give "PyThread_release_lock"(Lock lock) noexcept nogil
    void free_lock "PyThread_free_lock"(Lock lock) noexcept nogil
    int check_signals "PyErr_CheckSignals"() except -1

cdef enum:
    MOST_SLOTS = 8

cdef int PATIENCE
cdef Py_ssize_t SIGHT_WORDS, RECORD_WORDS, PIECE, SLOTS, SLOT_BYTES, SLOT_PACKETS
cdef int _MORE, _FULL


@cython.final
cdef class Pump:
    cdef object frames, thread, reader
    cdef list parts, record_parts, sight_parts, items
    cdef readonly Scout scout
    cdef PcapScanner classic
    cdef PcapngScanner blocks
    cdef unsigned char[::1] data
    cdef unsigned long long[::1] records, sights
    cdef long long[::1] counts, numbers, orders
    cdef Py_ssize_t slot, following, taken, at, end, count, got, passed
    cdef int descriptor
    cdef bint stopping, ended, told
    cdef Lock vacant[MOST_SLOTS]
    cdef Lock filled[MOST_SLOTS]

    cpdef scan(self, object scanner, object window, object records, Py_ssize_t count)
    @cython.locals(stop=cython.int, room=cython.Py_ssize_t, place=cython.Py_ssize_t, size=cython.Py_ssize_t, done=cython.Py_ssize_t)
    cdef int _fill(self, bint classic) except -1
    @cython.locals(before=cython.Py_ssize_t, base=cython.Py_ssize_t, first=cython.Py_ssize_t, stop=cython.int, data="unsigned char[::1]", records="unsigned long long[::1]")
    cdef int _scan_piece(self, bint classic) except -1 nogil
    @cython.locals(full=cython.Py_ssize_t, following=cython.Py_ssize_t, left=cython.Py_ssize_t, offset=cython.Py_ssize_t)
    cdef int _next_slot(self) except -1 nogil
    @cython.locals(slot=cython.int)
    cdef _make_locks(self)
    cdef _await_vacant(self, int slot)
    cdef _hand_over(self, int slot)
    @cython.locals(done=cython.int)
    cdef bint _await_filled(self, int slot, int tries) except -1
    cdef _give_back(self, int slot)
    @cython.locals(slot=cython.int)
    cdef _free_locks(self)
