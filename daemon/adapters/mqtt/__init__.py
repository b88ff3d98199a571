"""The alert bus over MQTT."""
