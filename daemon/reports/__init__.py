"""Reads the record and tells a human."""
