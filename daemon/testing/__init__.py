"""Fakes that ship, each held to the same contract suite as the real adapter. Also of use to whoever tests a runbook."""
