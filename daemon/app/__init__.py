"""The composition root: puts adapters behind the ports, for the daemon and for commands beside it."""
