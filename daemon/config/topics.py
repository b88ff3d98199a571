"""MQTT topic filters (MQTT 5.0, section 4.7): exact levels, `+` for one level and a final `#` for the rest."""


def filter_problem(topic_filter: str) -> str:
    """What is wrong with a topic filter as one of our subscriptions, in words; empty when nothing is."""
    levels = topic_filter.split("/")
    if not topic_filter or "\0" in topic_filter:
        return "must be a topic filter, such as alerts/scom/#"
    if topic_filter.startswith("$"):
        # A dead member of a shared subscription strands its messages until its session expires, then loses them.
        return "must not begin with $: neither shared subscriptions nor the broker's own topics carry alerts"
    if "#" in levels[:-1] or any(len(level) > 1 and ("#" in level or "+" in level) for level in levels):
        return "must have # only as its last level, and + only as a whole level"
    return ""


def pause_topic(prefix: str) -> str:
    """Where people pause over the bus: on this topic with `/USER` at its end."""
    return f"{prefix}/control/pause"


def overlap(one: str, other: str) -> bool:
    """Whether some topic fits both filters. With a topic for one of them: whether it fits the filter."""
    return _overlap(one.split("/"), other.split("/"))


def _overlap(one: list[str], other: list[str]) -> bool:
    for mine, yours in zip(one, other, strict=False):
        if "#" in (mine, yours):
            return True
        if "+" not in (mine, yours) and mine != yours:
            return False
    shorter, longer = sorted((one, other), key=len)
    return len(one) == len(other) or longer[len(shorter) :] == ["#"]  # `a/#` also fits `a` itself
