"""The words of exmedic: frozen records, and what is needed from outside as Protocols. Without I/O."""
