"""The compiled room: frame -> header -> flow -> cached verdict. It asks the engine once per flow and generation.

Never: what a rule means, who owns a socket, files. Packet content never raises here; undecodable is a value.
"""
