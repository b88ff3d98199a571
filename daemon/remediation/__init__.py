"""2, one incident, one turn at a time: the runner asks the guardrails, the incident decides, an action acts."""
