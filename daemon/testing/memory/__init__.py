"""The parts of the store in memory, by the names of those of the durable one."""
