"""Captures live traffic together with its sockets' processes, so that it can be judged elsewhere."""
