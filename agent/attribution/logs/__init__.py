"""Formats of side files: what a host, or a tool beside it, wrote down about its sockets and processes."""
