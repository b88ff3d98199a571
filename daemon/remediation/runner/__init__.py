"""Takes incidents whose timer is due and gives them turns."""
