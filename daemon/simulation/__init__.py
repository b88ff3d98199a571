"""The whole daemon on virtual time against the lab's organisation, with faults at every port and a check of every rule.

`generate` makes a story from a seed, `run` plays it, `rules` watches, `shrink` makes a failing one short, `campaign`
plays many. Nothing here is random or timed by itself: a seed is played the same way each time, bit for bit.
"""
