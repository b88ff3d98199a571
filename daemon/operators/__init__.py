"""What operators order: over the socket, on the bus (which may only pause), by whom, and how it is carried out."""
