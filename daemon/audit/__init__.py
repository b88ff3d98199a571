"""The audit trail: copied to the journal, verified, and watched."""
