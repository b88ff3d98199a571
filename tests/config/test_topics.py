import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from daemon.config.topics import filter_problem, overlap

_LEVELS = st.sampled_from(["a", "b", "", "exmedic"])
_TOPICS = st.lists(_LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
_FILTERS = st.tuples(st.lists(_LEVELS | st.just("+"), min_size=1, max_size=4), st.sampled_from([[], ["#"]])).map(
    lambda parts: "/".join([*parts[0], *parts[1]])
)


@given(_FILTERS, _TOPICS)
def test_a_topic_fits_a_filter_when_the_mqtt_client_says_so(topic_filter: str, topic: str) -> None:
    assert overlap(topic_filter, topic) is topic_matches_sub(topic_filter, topic)


@given(_FILTERS, _FILTERS, _TOPICS)
def test_filters_that_share_a_topic_overlap_in_either_order(one: str, other: str, topic: str) -> None:
    assert overlap(one, other) is overlap(other, one)
    if overlap(one, topic) and overlap(other, topic):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("a/b", "a"), ("a/+", "a/b/c"), ("a/b/#", "a/c/#"), ("a/+/c", "+/b/d"), ("a/b/+", "a/#x")]
)
def test_filters_that_share_no_topic_do_not_overlap(one: str, other: str) -> None:
    assert not overlap(one, other)


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a/b+", "$share/group/a", "$SYS/#", "a\0b"])
def test_what_cannot_be_subscribed_to_is_refused(topic_filter: str) -> None:
    assert filter_problem(topic_filter)


@given(_FILTERS)
def test_a_sound_filter_is_accepted(topic_filter: str) -> None:
    assert bool(filter_problem(topic_filter)) is (topic_filter == "")
