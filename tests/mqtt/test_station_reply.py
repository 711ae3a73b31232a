"""Answers of stations."""

from datetime import UTC, datetime

import pytest

from drivers.contract import Rejected, Signal
from drivers.mqtt.station_reply import StationReply
from gateway.event import Kind

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def read(payload: bytes | str, topic: str = "stations/honggu-01/reply") -> Signal | Rejected:
    body = payload if isinstance(payload, bytes) else payload.encode()
    [result] = StationReply().receive_message(topic, body, False, False, 0.0, NOW)
    return result


@pytest.mark.parametrize("answer", ["accept", "decline", "en_route", "arrived", "done"])
def test_answers(answer: str) -> None:
    got = read(f'{{"delivery":"0190","answer":"{answer}","by":"赵师傅","note":"两分钟到"}}')
    assert isinstance(got, Signal)
    assert (got.kind, got.device) == (Kind(answer), "honggu-01")
    assert got.detail == {"delivery": "0190", "by": "赵师傅", "note": "两分钟到"}


def test_who_says_no_name_answers_as_the_responder() -> None:
    got = read('{"delivery":"0190","answer":"accept"}')
    assert isinstance(got, Signal)
    assert got.detail == {"delivery": "0190", "by": "honggu-01"}


def test_a_provider_promises_a_time_and_says_that_a_meal_was_not_taken_in() -> None:
    got = read('{"delivery":"0190","answer":"accept","promised_at":"2026-03-15T09:00:00+08:00"}')
    assert isinstance(got, Signal)
    assert got.detail["promised_at"] == "2026-03-15T01:00:00+00:00"
    got = read('{"delivery":"0190","answer":"done","outcome":"not_taken"}')
    assert isinstance(got, Signal)
    assert got.detail["outcome"] == "not_taken"


def test_identity() -> None:
    def dedup(payload: str, topic: str = "stations/honggu-01/reply") -> str | None:
        got = read(payload, topic)
        assert isinstance(got, Signal)
        return got.dedup

    accept = '{"delivery":"d1","answer":"accept","by":"a"}'
    assert dedup(accept) == dedup(accept)
    others = [
        '{"delivery":"d2","answer":"accept","by":"a"}',
        '{"delivery":"d1","answer":"done","by":"a"}',
        '{"delivery":"d1","answer":"accept","by":"b"}',
    ]
    assert len({dedup(accept), *map(dedup, others), dedup(accept, "stations/honggu-02/reply")}) == 5


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "bad_json"),
        (b"accept", "bad_json"),
        (b'{"delivery":"d","answer":"accept","by":"\\ud800"}', "bad_json"),
        (b"[]", "bad_field"),
        (b'{"answer":"accept"}', "bad_field"),
        (b'{"delivery":5,"answer":"accept"}', "bad_field"),
        (b'{"delivery":"d","answer":"accept","promised_at":"2026-03-15T09:00:00"}', "bad_field"),
        (b'{"delivery":"d","answer":"accept","promised_at":"0001-01-01T00:00:00+08:00"}', "bad_field"),
        (b'{"delivery":"d","answer":"done","outcome":"eaten"}', "bad_field"),
        (b'{"delivery":"d","answer":"perhaps"}', "unknown_answer"),
        (b'{"delivery":"d","answer":"resolve"}', "unknown_answer"),
        (b'{"delivery":"","answer":"accept"}', "bad_delivery"),
        (b'{"delivery":"' + b"x" * 65 + b'","answer":"accept"}', "bad_delivery"),
        (b'{"delivery":"a\\nb","answer":"accept"}', "bad_delivery"),
        (b"[" * 65, "too_deep"),
        (b" " * 262145, "too_long"),
    ],
)
def test_rejected(payload: bytes, reason: str) -> None:
    got = read(payload)
    assert isinstance(got, Rejected)
    assert (got.reason, got.device if got.reason not in ("too_deep", "too_long") else "honggu-01") == (reason, "honggu-01")


def test_bad_topic() -> None:
    got = read('{"delivery":"d","answer":"accept"}', "stations/a/b/reply")
    assert isinstance(got, Rejected)
    assert got.reason == "bad_topic"


def test_a_long_note_is_cut_and_the_whole_kept() -> None:
    got = read('{"delivery":"d","answer":"done","note":"' + "长" * 5000 + '"}')
    assert isinstance(got, Signal)
    assert got.detail["note"] == "长" * 1000
    assert len(got.raw) > 15_000
