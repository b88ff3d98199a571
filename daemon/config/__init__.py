"""What the administrator writes, validated as a whole."""
