"""The way from SCOM to the broker: a PowerShell script that a site runs on its management server."""

from importlib.resources import files

NAME = "Publish-ScomAlert.ps1"


def script() -> bytes:
    """The script as it is laid down, all ASCII: PowerShell 5.1 takes a file without a mark for the ANSI code page."""
    return (files(__package__) / NAME).read_bytes()
