"""The journal, the daemon's own log, and what systemd is told."""
