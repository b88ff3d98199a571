"""The Shell port over WinRM."""
