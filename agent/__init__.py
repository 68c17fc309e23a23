"""A host-side packet-filter agent simulator that isolates a device as Microsoft Defender for Endpoint does.

Rooms, from the ground up: `model` (values), `policy` (what rules mean), `isolation` (the state machine),
`capture`, `attribution`, `datapath` (compiled), `engine`, `sinks`, `replay`, `traffic`, `cli`.
"""

__version__ = "0.1.0"
