"""All that talks to a server: the scripts, how they are started, what they answer, and who asks."""
