"""`python -m daemon` is `exmedic`."""

from daemon.cli import main

main()
