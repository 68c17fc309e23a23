"""Who owns the sockets of the running system: the part of attribution that asks the kernel."""
