"""What the administrator wrote, turned into what the datapath runs. Never: packets, sockets, clocks."""
