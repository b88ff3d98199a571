"""exmedic: an unattended remediation daemon for Microsoft Exchange health-set alerts.

An alert flows one way, by file name: adapters/mqtt -> intake -> store -> dispatch -> runner -> gates -> actions
-> adapters/winrm; outcomes go runner -> engine -> store -> outbox -> adapters/mqtt, and audit -> adapters/journal.
"""

__version__ = "0.1.0"
