"""The generic wearable codec: what it reads, what it leaves out, and what it takes for the same message."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from drivers.contract import Rejected, Signal, to_event
from drivers.mqtt.generic import COUNTED_WINDOW_S, PLAIN_WINDOW_S, GenericWearable
from drivers.recent import RecentKeys
from gateway.event import Kind, Phase

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
TS = 1773480413000  # the same instant: date -u -d 2026-03-14T09:26:53Z +%s000
TOPIC = "wearables/w-000001/event"


def read(
    payload: str | bytes,
    topic: str = TOPIC,
    *,
    codec: GenericWearable | None = None,
    retain: bool = False,
    dup: bool = False,
    now: float = 100.0,
    received_at: datetime = NOW,
) -> Signal | Rejected:
    body = payload if isinstance(payload, bytes) else payload.encode()
    [result] = (codec or GenericWearable()).receive_message(topic, body, retain, dup, now, received_at)
    return result


def signal(payload: str | bytes, topic: str = TOPIC, **more: object) -> Signal:
    result = read(payload, topic, **more)
    assert isinstance(result, Signal), result
    return result


def test_a_whole_message() -> None:
    payload = f'{{"kind":"sos","ts":{TS},"seq":7,"lat":36.342,"lon":102.861,"battery":81,"device":"w-000001","phase":"raise"}}'
    got = signal(payload)
    assert (got.kind, got.phase, got.device, got.sequence) == (Kind.SOS, Phase.RAISE, "w-000001", 7)
    assert (got.lat, got.lon, got.battery_pct, got.datum) == (36.342, 102.861, 81, "wgs84")
    assert got.time == NOW
    assert got.detail == {"ts": TS}
    assert got.raw == payload.encode()
    assert got.late is None
    event = to_event(got, "wearables", NOW)
    assert (event.occurred_at, event.time_source) == (NOW, "device")


def test_the_least_message() -> None:
    got = signal('{"kind":"help"}')
    assert (got.kind, got.time, got.lat, got.lon, got.battery_pct, got.sequence, got.detail) == (Kind.HELP, None, None, None, None, None, {})


@pytest.mark.parametrize(
    ("fields", "expected", "ignored"),
    [
        ('"lat":36,"lon":103', (36.0, 103.0, None), None),
        ('"lat":"36.5","lon":"103.5","battery":"80"', (36.5, 103.5, 80.0), None),  # numbers as text are usual
        ('"lat":91,"lon":103', (None, None, None), ["position"]),
        ('"lat":36,"lon":-180.5', (None, None, None), ["position"]),
        ('"lat":36', (None, None, None), ["position"]),
        ('"lat":0,"lon":0', (None, None, None), ["position"]),  # what a device sends while it has no fix
        ('"lat":NaN,"lon":103,"battery":50', (None, None, 50.0), ["lat", "position"]),
        ('"lat":1e999,"lon":Infinity', (None, None, None), ["lat", "lon"]),
        ('"lat":true,"lon":false', (None, None, None), ["lat", "lon"]),
        ('"battery":true', (None, None, None), ["battery"]),
        ('"battery":-1', (None, None, None), ["battery"]),
        ('"battery":101', (None, None, None), ["battery"]),
        ('"battery":0', (None, None, 0.0), None),  # flat, and that is not absent
        ('"battery":null', (None, None, None), None),
        ('"battery":[1]', (None, None, None), ["battery"]),
        ('"phase":"shouting"', (None, None, None), ["phase"]),
        ('"phase":5', (None, None, None), ["phase"]),
        ('"firmware":5', (None, None, None), ["firmware"]),
        ('"seq":-1', (None, None, None), ["seq"]),
        ('"seq":9223372036854775808', (None, None, None), ["seq"]),
        ('"seq":"x"', (None, None, None), ["seq"]),
    ],
)
def test_a_cry_is_not_refused_for_a_broken_gauge(fields: str, expected: tuple[float | None, ...], ignored: list[str] | None) -> None:
    got = signal(f'{{"kind":"sos",{fields}}}')
    assert (got.lat, got.lon, got.battery_pct) == expected
    assert got.detail.get("ignored") == ignored


@pytest.mark.parametrize(
    ("said", "kept"),
    [("1.4.2", "1.4.2"), (" 1.4\n", "1.4"), ("", None), ("\x00\x1b", None), ("\ud800", None), ("v" * 65, "v" * 64), ("固件 3", "固件 3")],
)
def test_a_version_is_kept_as_it_can_be_shown(said: str, kept: str | None) -> None:
    got = signal(json.dumps({"kind": "heartbeat", "firmware": said}))
    assert to_event(got, "wearables", NOW).firmware == kept


@pytest.mark.parametrize(("word", "phase"), [("raise", Phase.RAISE), ("repeat", Phase.REPEAT), ("clear", Phase.CLEAR), ("test", Phase.TEST)])
def test_phases(word: str, phase: Phase) -> None:
    assert signal(f'{{"kind":"smoke","phase":"{word}"}}').phase is phase


@pytest.mark.parametrize("kind", ["sos", "fall", "help", "low_battery", "heartbeat", "location", "cancel", "restore", "power_cut", "water_leak"])
def test_kinds_of_a_wearable(kind: str) -> None:
    assert signal(f'{{"kind":"{kind}"}}').kind == kind
    assert signal(f'{{"kind":"{kind.upper()}"}}').kind == kind


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"sos", "bad_json"),
        (b'{"kind":"sos"', "bad_json"),
        (b'{"kind":"sos"}{}', "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'{"kind":"sos","ts":' + b"9" * 5000 + b"}", "bad_json"),
        (b'["sos"]', "not_an_object"),
        (b'"sos"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "unknown_kind"),
        (b'{"kind":5}', "unknown_kind"),
        (b'{"kind":"panic"}', "unknown_kind"),
        (b'{"kind":"\\ud800"}', "unknown_kind"),
        (b'{"kind":"resolve"}', "forbidden_kind"),  # only people resolve
        (b'{"kind":"line_restored"}', "forbidden_kind"),
        (b'{"kind":"call_ended"}', "forbidden_kind"),
        (b'{"kind":"sos","ts":-1}', "bad_ts"),
        (b'{"kind":"sos","ts":true}', "bad_ts"),
        (b'{"kind":"sos","ts":"noon"}', "bad_ts"),
        (b'{"kind":"sos","ts":1.5}', "bad_ts"),
        (b'{"kind":"sos","ts":1e999}', "bad_ts"),
        (b'{"kind":"sos","ts":253402300800000}', "bad_ts"),
        (b'{"kind":"sos","device":"w-000002"}', "device_mismatch"),
        (b'{"kind":"sos","device":1}', "device_mismatch"),
        (b'{"kind":"sos","note":"' + b"x" * 262144 + b'"}', "too_long"),
        (b'{"kind":"sos","x":' + b"[" * 64 + b"]" * 64 + b"}", "too_deep"),
        (b'{"kind":"sos","x":' + b'{"x":' * 50_000, "too_deep"),
        (b"[" * 262144, "too_deep"),
    ],
)
def test_rejected(payload: bytes, reason: str) -> None:
    result = read(payload)
    assert isinstance(result, Rejected)
    assert result.reason == reason


def test_brackets_in_text_are_no_nesting() -> None:
    assert signal('{"kind":"sos","note":"' + "[" * 200 + '\\"[{"}').kind is Kind.SOS
    assert signal('{"kind":"sos","x":' + "[" * 63 + "]" * 63 + "}").kind is Kind.SOS
    assert signal('{"kind":"sos","x":[' + "[]," * 200 + "[]]}").kind is Kind.SOS


@pytest.mark.parametrize(
    "topic",
    ["", "wearables//event", "wearables/event", "wearables/a/b/event", "wearables/w-1/events", "x/wearables/w-1/event", "wearables/a\nb/event"],
)
def test_bad_topic(topic: str) -> None:
    result = read('{"kind":"sos"}', topic)
    assert isinstance(result, Rejected)
    assert result.reason == "bad_topic"


def test_id_too_long() -> None:
    assert signal('{"kind":"sos"}', "wearables/" + "x" * 128 + "/event").device == "x" * 128
    result = read('{"kind":"sos"}', "wearables/" + "x" * 129 + "/event")
    assert isinstance(result, Rejected)
    assert result.reason == "bad_topic"


def test_topic_too_long() -> None:
    result = read('{"kind":"sos"}', "wearables/" + "安" * 400 + "/event")
    assert isinstance(result, Rejected)
    assert result.reason == "too_long"


def test_topics_of_an_area() -> None:
    codec = GenericWearable(("honggu/wearables/+/event", "+/cry"))
    assert signal('{"kind":"sos"}', "honggu/wearables/w-1/event", codec=codec).device == "w-1"
    assert signal('{"kind":"sos"}', "w-2/cry", codec=codec).device == "w-2"


@pytest.mark.parametrize("topic", ["wearables/#", "a/+/b/+", "wearables/event", "a+/b", "a/+b"])
def test_filters_that_do_not_name_one_device(topic: str) -> None:
    with pytest.raises(ValueError, match="topics"):
        GenericWearable((topic,))


class TestIdentity:
    """Invariant 3: only the same message is a duplicate, and a second cry is never swallowed."""

    def test_number_and_content(self) -> None:
        first = signal(f'{{"kind":"sos","ts":{TS},"seq":7}}').dedup
        assert first is not None
        assert first.startswith("w-000001:7:")
        assert signal(f'{{"kind":"sos","ts":{TS},"seq":7}}', dup=True, received_at=NOW + timedelta(hours=20), now=9e9).dedup == first
        assert signal(f'{{"kind":"fall","ts":{TS},"seq":7}}').dedup != first  # the counter began anew
        assert signal(f'{{"kind":"sos","ts":{TS},"seq":8}}').dedup != first

    def test_kind_and_time(self) -> None:
        assert signal(f'{{"kind":"sos","ts":{TS}}}').dedup == f"w-000001:sos:{TS}"
        assert signal(f'{{"kind":"fall","ts":{TS}}}').dedup == f"w-000001:fall:{TS}"

    def test_neither(self) -> None:
        codec = GenericWearable()
        first = signal('{"kind":"sos"}', codec=codec).dedup
        assert signal('{"kind":"sos"}', codec=codec, received_at=NOW + timedelta(seconds=PLAIN_WINDOW_S)).dedup == first
        assert signal('{"kind":"sos"}', codec=codec, topic="wearables/w-2/event").dedup != first
        assert signal('{"kind":"help"}', codec=codec).dedup != first
        assert signal('{"kind":"sos"}', codec=codec, received_at=NOW + timedelta(seconds=60), dup=True).dedup == first
        assert signal('{"kind":"sos"}', codec=codec, received_at=NOW + timedelta(seconds=2.1)).dedup != first

    def test_a_press_that_was_cut_off_is_not_taken_for_an_old_one(self) -> None:
        """Killed between the broker's sending and our commit: it comes again, marked so, and is a first one to us."""
        before = signal('{"kind":"sos"}').dedup
        recent = RecentKeys()
        recent.restore([str(before)])
        codec = GenericWearable(recent=recent)
        again = signal('{"kind":"sos"}', codec=codec, dup=True, received_at=NOW + timedelta(minutes=11)).dedup
        assert again != before
        assert signal('{"kind":"sos"}', codec=codec, dup=True, received_at=NOW + timedelta(minutes=12)).dedup == again

    def test_a_clock_set_back_makes_no_cry_a_duplicate(self) -> None:
        codec = GenericWearable()
        first = signal('{"kind":"sos"}', codec=codec).dedup
        assert signal('{"kind":"sos"}', codec=codec, received_at=NOW - timedelta(hours=1)).dedup != first

    def test_a_button_held_down_cries_again_every_two_seconds(self) -> None:
        codec = GenericWearable()
        at = [(100.0 + step, NOW + timedelta(seconds=step)) for step in range(7)]
        keys = [signal('{"kind":"sos"}', codec=codec, now=now, received_at=received_at).dedup for now, received_at in at]
        assert len(set(keys)) == 3

    @pytest.mark.parametrize("payload", ['{"kind":"sos","seq":1}', '{"kind":"sos","ts":0}', '{"kind":"sos","ts":0,"seq":1}'])
    def test_a_clock_that_stands_still_does_not_silence_the_next_cry(self, payload: str) -> None:
        first = signal(payload).dedup
        assert first is not None
        recent = RecentKeys()
        recent.restore(["w-000001:sos:17", first])  # delivered again after a crash: what the journal knows is remembered
        codec = GenericWearable(recent=recent)
        assert signal(payload, codec=codec, received_at=NOW + timedelta(seconds=5)).dedup == first
        assert signal(payload, codec=codec, received_at=NOW + timedelta(seconds=COUNTED_WINDOW_S + 1)).dedup != first

    def test_the_border_of_a_window_splits_no_message_while_we_remember(self) -> None:
        codec = GenericWearable()
        border = datetime.fromtimestamp((TS // 600_000 + 1) * 600, UTC)
        before, after = border - timedelta(seconds=1), border + timedelta(seconds=1)
        payload = '{"kind":"sos","seq":1}'
        assert signal(payload, codec=codec, now=1.0, received_at=before).dedup == signal(payload, codec=codec, now=3.0, received_at=after).dedup

    def test_memory_is_bounded(self) -> None:
        recent = RecentKeys(most=3)
        keys = [recent.key(f"m{number}", 2.0, NOW + timedelta(milliseconds=number)) for number in range(100)]
        assert len(recent._seen) == 3
        later = NOW + timedelta(seconds=1)
        assert recent.key("m99", 2.0, later) == keys[99]
        assert recent.key("m0", 2.0, later) != keys[0]


class TestRetained:
    """A retained alarm is a candidate, not news (MQTT devices sheet, rule 1)."""

    @pytest.mark.parametrize(
        ("age", "late"),
        [
            (timedelta(minutes=9, seconds=59), None),
            (timedelta(minutes=10), "replayed"),
            (timedelta(days=3), "replayed"),
            (timedelta(minutes=-4), None),
            (timedelta(minutes=-6), "replayed"),  # a clock that cannot be believed proves no youth
        ],
    )
    def test_by_age(self, age: timedelta, late: str | None) -> None:
        ts = TS - int(age.total_seconds() * 1000)
        assert signal(f'{{"kind":"sos","ts":{ts}}}', retain=True).late == late
        assert signal(f'{{"kind":"sos","ts":{ts}}}').late is None

    def test_without_time(self) -> None:
        assert signal('{"kind":"sos"}', retain=True).late == "replayed"
