"""Topics of profiles: what they find, what they subscribe to, and what cannot be used."""

import pytest

from drivers.mqtt.topic_pattern import TopicPattern, covers, narrowed


@pytest.mark.parametrize(
    ("pattern", "heard", "topic", "found"),
    [
        ("a/{device}/up", "a/+/up", "a/x/up", {"device": "x"}),
        ("a/{device}/up", "a/+/up", "a/x/y/up", None),
        ("a/{device}/up", "a/+/up", "a//up", None),
        ("a/{device...}", "a/#", "a/x/y", {"device": "x/y"}),
        ("a/{device...}/availability", "a/#", "a/x/y/availability", {"device": "x/y"}),
        ("a/{device...}/availability", "a/#", "a/availability", None),
        ("{base}/{device}", "z2m/one/+", "z2m/one/x", {"device": "x"}),
        ("shellies/shelly-{device}/+", "shellies/+/+", "shellies/shelly-7/x", {"device": "7"}),
        ("a/+/{x}", "a/+/+", "a/1/2", {"x": "2"}),
        ("a/#", "a/#", "a", {}),
        ("a/#", "a/#", "a/b/c", {}),
        ("#", "#", "b", {}),
        ("a.b/{x}", "a.b/+", "aXb/1", None),
        ("{x}/{y}/state", "+/+/state", "n\nm/o/state", {"x": "n\nm", "y": "o"}),
    ],
)
def test_patterns(pattern: str, heard: str, topic: str, found: dict[str, str] | None) -> None:
    made = TopicPattern(pattern, {"base": "z2m/one"})
    assert made.filter == heard
    assert made.match(topic) == found
    assert found is None or covers(heard, topic)


@pytest.mark.parametrize(
    "pattern", ["", "a/#/b", "a/x+", "a/{}", "a/{1x}", "a/{x}/{x}", "{a...}/{b...}", "a/b{x...}", "a/{x", "a/x}", "a/{x y}", "a/x#"]
)
def test_patterns_that_cannot_be_used(pattern: str) -> None:
    with pytest.raises(ValueError):
        TopicPattern(pattern, {})


def test_subscriptions_do_not_overlap_where_one_covers_the_other() -> None:
    assert narrowed(["a/+/c", "a/#", "b/x", "b/+", "c/x"]) == ("a/#", "b/+", "c/x")
    assert not covers("#", "$SYS/x")
    assert covers("a/+", "a/+")
    assert not covers("a/+", "a/#")
    assert not covers("a/b", "a")
