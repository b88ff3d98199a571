"""A simulated Exchange organisation behind real WinRM endpoints, and an embedded broker.

For the demo, the tests and training.
"""
