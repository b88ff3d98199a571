"""The shipped scripts run by a real PowerShell, over stubs that play Windows and Exchange. Nothing is answered here."""
