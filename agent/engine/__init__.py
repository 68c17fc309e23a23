"""The slow path: once per flow and generation, who and which way, what the policy says, and the event that tells it.

Never: packets' bytes but for DNS, DHCP and neighbour discovery, whose messages are judged one by one; files; clocks.
"""
