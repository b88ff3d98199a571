"""Runbooks as data: their model, their actions, their loader and the compiler to state machines.

Nothing here does I/O beyond reading runbook files, and nothing here knows the daemon.
"""
