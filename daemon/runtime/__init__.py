"""Loops, bells and sockets: what runs the daemon. It knows nothing of the domain."""
