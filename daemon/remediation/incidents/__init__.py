"""The life of an incident: opened, decided step by step, ended."""
