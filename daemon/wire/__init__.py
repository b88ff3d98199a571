"""The shapes on the wire: alerts that come in, script answers that come back, messages that go out."""
