"""The differences between lab and scripts that are meant, each by name: where, and why it may be so.

A key is the beginning of `SCRIPT PATH`, with `*` for any number of a list. One that nothing needs fails its test.
"""

EXPLAINED: dict[str, str] = {}
