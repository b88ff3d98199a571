"""The forms of payloads, a file each, and the table that names them. docs/alerts.md shows the same table to people."""
