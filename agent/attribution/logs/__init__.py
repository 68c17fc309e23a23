"""Logs and dumps that a host wrote of its own sockets, each format as evidence for a Collector."""
