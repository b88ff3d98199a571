"""The doctor: can exmedic work with a server, and do the facts that it was built on hold there?"""
