"""Values every room shares. Never: files, clocks, sockets, what a rule means."""
