"""4, out: what was committed to be sent goes to the bus and to humans."""
