"""What must be true of servers before each effect: pure decisions on facts read afresh.

Allow, hold (not now, ask again) or refuse (never; escalate), each with the sentence and the figures that decided; and
where the facts do not decide, cannot tell, which allows nothing either.
"""
