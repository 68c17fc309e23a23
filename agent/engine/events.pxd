# C types of events.py: the engine fills an event and the sinks read it without a dictionary in between.
cimport cython


@cython.final
@cython.freelist(64)
cdef class FlowEvent:
    cdef public unsigned long long timestamp, first_seen, last_seen, flow_id, authorisation, subject_id
    cdef public unsigned long long local_high, local_low, remote_high, remote_low
    cdef public unsigned long long packets_original, packets_reply, bytes_original, bytes_reply, mixed_allowed, mixed_denied
    cdef public long long attempted_count
    cdef public int version, protocol, basis_number, local_port_number, remote_port_number
    cdef public int icmp_type_number, icmp_code_number, verdict_number, reason_number, end_number
    cdef public bint outbound
    cdef public object event_type, names, subject, classification, policy, enforcement
