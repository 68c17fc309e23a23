"""Captures: pcap and pcapng to packets and back. Never: what a frame holds, direction of flows, policy."""
