"""1, in: a message from the bus is stored, understood, and routed to an incident."""
