# C types of events.py: the engine fills an event and the sinks read it without a dictionary in between.


cdef class FlowEvent:
    cdef public unsigned long long authorisation, bytes_original, bytes_reply, flow_id, mixed_allowed, mixed_denied, near_miss_count, packets_original, packets_reply, protocol, subject_id
    cdef public object timestamp, first_seen, last_seen, attempted, classification, direction, direction_basis, end, enforcement, event_type, evidence, icmp_code, icmp_type, local, local_port, names, near_misses, policy, reason, remote, remote_port, rules, service, subject, verdict
