"""The profiles that we ship: each proves itself by its samples; here what needs parameters, several messages, or all of them at once."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jmespath
import pytest

from drivers.contract import Rejected, Signal, Surroundings, to_event
from drivers.downlink import Tell, Word
from drivers.mappings import SHIPPED, load_profile, shipped_names
from drivers.mqtt.mapping import MappingCodec
from drivers.mqtt.profile_expression import compile_expression
from drivers.mqtt.topic_pattern import covers

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
NAMES = sorted(shipped_names())
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "mappings.md"


class Broker:
    """A line with one profile, and a clock that the test moves."""

    def __init__(self, name: str, zone: str = "", **parameters: str) -> None:
        loaded = load_profile(str(SHIPPED / f"{name}.toml"), parameters, zone)
        assert loaded.profile is not None, loaded.told()
        self.at = NOW
        self.codec = MappingCodec([loaded.profile], Surroundings(utc_now=lambda: self.at))

    def says(self, topic: str, payload: object, *, retain: bool = False, later_s: float = 0) -> list[Signal]:
        self.at += timedelta(seconds=later_s)
        body = payload if isinstance(payload, str) else json.dumps(payload)
        found = self.codec.receive_message(topic, body.encode(), retain, False, 0.0, self.at)
        assert not self.codec.counts["mapping_errors"]
        return [one for one in found if isinstance(one, Signal)]

    def kinds(self, topic: str, payload: object) -> list[str]:
        return [str(one.kind) for one in self.says(topic, payload)]


def b64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


@pytest.mark.parametrize("name", NAMES)
def test_each_profile_can_be_used_and_is_in_the_guide(name: str) -> None:
    loaded = load_profile(str(SHIPPED / f"{name}.toml"))
    assert loaded.told() == []
    assert loaded.profile is not None
    assert set(loaded.profile.title) == {"zh-CN", "en"}
    assert loaded.profile.source
    assert len(loaded.profile.tests) >= 3
    assert f"| `{name}` |" in GUIDE.read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_what_the_samples_say_is_subscribed_to(name: str) -> None:
    profile = load_profile(str(SHIPPED / f"{name}.toml")).profile
    assert profile is not None
    for test in profile.tests:
        if test.expect:
            assert any(covers(one, test.topic) for one in profile.topics), test.topic


@pytest.mark.parametrize("name", NAMES)
def test_samples_fail_when_they_are_wrong(name: str, tmp_path: Path) -> None:
    """A sample that cannot fail proves nothing: the same profile with each kind called otherwise."""
    text = (SHIPPED / f"{name}.toml").read_text("utf-8")
    head, mark, samples = text.partition("\n[[test]]")
    wrong = tmp_path / f"{name}.toml"
    wrong.write_text(head + mark + samples.replace('kind = "', 'kind = "not_'), "utf-8")
    assert load_profile(str(wrong)).profile is None


def test_all_of_them_on_one_line_understand_only_their_own() -> None:
    profiles = [one.profile for name in NAMES if (one := load_profile(str(SHIPPED / f"{name}.toml"))).profile is not None]
    codec = MappingCodec([one for one in profiles if one is not None], Surroundings(utc_now=lambda: NOW))
    found = codec.receive_message("home/omg1/BTtoMQTT/BC026EAABBCC", b'{"button":1,"packet":1}', False, False, 0.0, NOW)
    assert [str(one.kind) for one in found if isinstance(one, Signal)] == ["button"]
    found = codec.receive_message("shellyplus1-a8/online", b"false", True, False, 0.0, NOW)
    assert [(str(one.kind), one.device) for one in found if isinstance(one, Signal)] == [("offline", "shellyplus1-a8")]


# --- which press is what


@pytest.mark.parametrize(
    ("name", "parameters", "topic", "payload", "kind"),
    [
        ("chirpstack", {}, "application/1/device/24e1/event/up", {"fPort": 85, "data": b64("FF2E01")}, "help"),
        ("chirpstack", {"ws101_short": "sos"}, "application/1/device/24e1/event/up", {"fPort": 85, "data": b64("FF2E01")}, "sos"),
        ("chirpstack", {"ws101_short": "button"}, "application/1/device/24e1/event/up", {"fPort": 85, "data": b64("FF2E01")}, "button"),
        ("chirpstack", {"ws101_short": "sso"}, "application/1/device/24e1/event/up", {"fPort": 85, "data": b64("FF2E01")}, "button"),
        ("the-things-stack", {"ws101_double": "test"}, "v3/a/devices/x/up", {"uplink_message": {"f_port": 85, "frm_payload": b64("FF2E03")}}, "test"),
        ("tasmota", {"hold": "sos"}, "stat/bed/RESULT", {"Button1": {"Action": "HOLD"}}, "sos"),
        ("tasmota", {"other": "help"}, "stat/bed/RESULT", {"Button1": {"Action": "QUAD"}}, "help"),
        ("tasmota", {"switch2": "sos"}, "stat/bed/RESULT", {"Switch2": {"Action": "ON"}}, "sos"),
        ("tasmota", {"switch2": "sos"}, "tele/bed/SENSOR", {"Switch2": "ON"}, "sos"),
        ("esphome", {"sos": "pull_cord"}, "bath/binary_sensor/pull_cord/state", "ON", "sos"),
        ("home-assistant", {"sos": "cord bed_7"}, "homeassistant/binary_sensor/bed_7/state", "on", "sos"),
        ("home-assistant", {"help": "bed_7", "base": "ha/states"}, "ha/states/binary_sensor/bed_7/state", "on", "help"),
        ("shelly", {"single": "help"}, "shellies/shellybutton1-A4/input_event/0", {"event": "S", "event_cnt": 1}, "help"),
        ("shelly", {"gen1": "shelly"}, "shellies/shellyix3-A4/input_event/2", {"event": "S", "event_cnt": 1}, "button"),
        ("shelly", {"long": "sos"}, "s/events/rpc", {"method": "NotifyEvent", "params": {"events": [{"event": "long_push", "ts": 1}]}}, "sos"),
        ("theengs", {"long": "sos"}, "home/g/BTtoMQTT/BC02", {"button": 254, "packet": 1}, "sos"),
        ("theengs", {"single": "sos"}, "home/g/BTtoMQTT/BC02", {"servicedata": "443a01", "servicedatauuid": "fcd2"}, "sos"),
        ("owntracks", {"manual": "help"}, "owntracks/a/b", {"_type": "location", "t": "u", "lat": 1, "lon": 2, "tst": 1773480410}, "help"),
    ],
)
def test_the_line_says_which_press_is_what(name: str, parameters: dict[str, str], topic: str, payload: object, kind: str) -> None:
    assert Broker(name, **parameters).kinds(topic, payload)[0] == kind


def test_a_pressed_advert_is_what_the_line_says_it_is() -> None:
    beacon = {"type": "iBeacon", "mac": "AC233F000001", "ibeaconUuid": "64E2FEFF5AF34D2C97C4643B70CD82EB", "ibeaconMajor": 1, "ibeaconMinor": 7}
    idle = beacon | {"ibeaconMajor": 0}
    gateway = {"type": "Gateway", "mac": "AC233FC001EA"}
    line = Broker("minew", pressed_major="1", pressed_uuid="64e2feff5af34d2c97c4643b70cd82eb")
    assert [str(one.kind) for one in line.says("/gw/1/status", [gateway, idle])] == ["telemetry", "heartbeat"]
    [press, *_] = line.says("/gw/1/status", [gateway, idle, beacon])
    assert (str(press.kind), press.device, press.detail["gateway"], press.detail["minor"]) == ("sos", "AC233F000001", "AC233FC001EA", 7)
    again = line.says("/gw/2/status", [beacon], later_s=9)[0]
    assert again.dedup == press.dedup  # the same press, heard by another gateway
    assert line.says("/gw/1/status", [beacon], later_s=2)[0].dedup != press.dedup
    raw = "0201061AFF4C000215" + "64E2FEFF5AF34D2C97C4643B70CD82EB" + "00010007C5"
    assert str(line.says("/gw/1/status", [{"type": "Unknown", "mac": "AC233F000002", "rawData": raw}])[0].kind) == "sos"
    assert line.says("/gw/1/status", [beacon], retain=True)[0].kind != "sos"


def test_a_pressed_eddystone_is_found_in_the_raw_advert() -> None:
    line = Broker("minew", pressed_uid="00112233445566778899AABBCCDDEEFF", pressed="help")
    raw = "020106" + "1716AAFE00EE" + "00112233445566778899AABBCCDDEEFF" + "0000"
    found = line.says("/gw/1/status", [{"mac": "AC233F000003", "rawData": raw}])
    assert [str(one.kind) for one in found] == ["help", "telemetry"]


def test_without_its_parameters_no_advert_is_a_press() -> None:
    beacon = {"type": "iBeacon", "mac": "AC233F000001", "ibeaconUuid": "64E2", "ibeaconMajor": 1, "ibeaconMinor": 7}
    assert Broker("minew").kinds("/gw/1/status", [beacon]) == ["telemetry"]
    assert Broker("minew", topic="site/ble").kinds("site/ble", [beacon]) == ["telemetry"]


# --- one press is one event, whoever tells it


def keys(line: Broker, *messages: tuple[str, object, float]) -> list[str | None]:
    return [line.says(topic, payload, later_s=later_s)[0].dedup for topic, payload, later_s in messages]


def test_a_press_heard_by_several_gateways_is_one() -> None:
    first = {"button": 1, "packet": 29, "rssi": -60}
    [one, two, three, later] = keys(
        Broker("theengs"),
        ("home/omg1/BTtoMQTT/BC02", first, 0),
        ("home/omg2/BTtoMQTT/BC02", first | {"rssi": -80}, 1),
        ("home/omg1/BTtoMQTT/BC02", first | {"packet": 30}, 1),
        ("home/omg1/BTtoMQTT/BC02", first, 300),  # 256 presses on, the number comes again
    )
    assert one == two
    assert len({one, three, later}) == 3


def test_an_uplink_delivered_twice_is_one() -> None:
    up = {"deduplicationId": "a", "fPort": 85, "fCnt": 1, "data": b64("FF2E02")}
    topic = "application/1/device/24e1/event/up"
    [one, two, after_join] = keys(Broker("chirpstack"), (topic, up, 0), (topic, up, 100), (topic, up | {"deduplicationId": "b"}, 1))
    assert one == two
    assert one != after_join  # the same counter in a new session
    up2 = {"end_device_ids": {"dev_eui": "24E1"}, "uplink_message": {"session_key_id": "k", "f_cnt": 1, "f_port": 85, "frm_payload": b64("FF2E02")}}
    new = json.loads(json.dumps(up2))
    new["uplink_message"]["session_key_id"] = "l"
    [one, two, after_join] = keys(Broker("the-things-stack"), *(("v3/a/devices/x/up", body, 1) for body in (up2, up2, new)))
    assert one == two
    assert one != after_join


def test_a_press_told_again_with_the_same_counter_is_one() -> None:
    topic = "shellies/shellybutton1-A4/input_event/0"
    press = {"event": "S", "event_cnt": 37}
    [one, two, three] = keys(Broker("shelly"), (topic, press, 0), (topic, press, 1800), (topic, press | {"event_cnt": 38}, 1))
    assert one == two
    assert one != three


def test_presses_of_a_shelly_without_a_clock_are_not_one() -> None:
    def body(ts: float) -> object:
        return {"method": "NotifyEvent", "params": {"events": [{"component": "input:0", "event": "single_push", "ts": ts}]}}

    [one, two] = keys(Broker("shelly"), ("s/events/rpc", body(1.0), 0), ("s/events/rpc", body(1.0), 5))
    assert one != two
    [one, two] = keys(Broker("shelly"), ("s/events/rpc", body(1773480410.5), 0), ("s/events/rpc", body(1773480410.5), 60))
    assert one == two


# --- places, times, words down


def test_no_gateway_stands_for_a_person() -> None:
    gateway = {"rssi": -70, "snr": 5, "location": {"latitude": 22.5, "longitude": 114.1}}
    found = Broker("chirpstack").says("application/1/device/24e1/event/up", {"fPort": 85, "data": b64("FF2E02"), "rxInfo": [gateway]})
    found += Broker("the-things-stack").says(
        "v3/a/devices/x/up",
        {"uplink_message": {"f_port": 85, "frm_payload": b64("FF2E02"), "rx_metadata": [gateway], "locations": {"user": gateway["location"]}}},
    )
    assert [str(one.kind) for one in found] == ["sos", "sos"]
    assert all(one.lat is None and one.lon is None for one in found)


def test_a_watch_in_the_maps_of_china_is_converted_and_a_phone_is_not() -> None:
    [watch, *_] = Broker("g616").says("atom/g616/status/1", {"imei": "1", "sos": True, "location": "113.4945307,22.2248915"})
    place = to_event(watch, "line", NOW).position
    assert place is not None
    assert (place.datum, round(place.lat, 7) != 22.2248915, abs(place.lat - 22.2248915) < 0.01) == ("gcj02", True, True)
    [phone, *_] = Broker("owntracks").says("owntracks/a/b", {"_type": "location", "lat": 22.2248915, "lon": 113.4945307, "tst": 1773480410})
    place = to_event(phone, "line", NOW).position
    assert place is not None
    assert (place.datum, place.lat, place.lon) == ("wgs84", 22.2248915, 113.4945307)


def test_times_without_a_zone_are_in_that_of_the_line() -> None:
    [report] = Broker("tasmota", "Asia/Shanghai").says("tele/bed/SENSOR", {"Time": "2026-03-14T17:26:50", "AM2301": {"Temperature": 21}})
    assert report.time == datetime(2026, 3, 14, 9, 26, 50, tzinfo=UTC)


def test_a_watch_taken_off_is_told_if_the_line_says_so() -> None:
    body = {"imei": "1", "isWearing": False}
    assert Broker("g616").kinds("atom/g616/status/1", body) == ["telemetry"]
    assert Broker("g616", not_worn="device_removed").kinds("atom/g616/status/1", body) == ["device_removed", "telemetry"]


def tell(line: Broker, device: str, word: Word, text: str = "") -> tuple[str, bytes] | None:
    return line.codec.publish_for(Tell(id="1", device=device, word=word, text=text))


def test_what_is_told_to_devices_is_what_their_makers_have_written_down() -> None:
    assert tell(Broker("tasmota"), "bed", Word.OVER) == ("cmnd/bed/Buzzer", b"0")
    assert tell(Broker("tasmota", over="Power", over_value="OFF"), "bed", Word.OVER) == ("cmnd/bed/Power", b"OFF")
    assert tell(Broker("g616"), "350000000000001", Word.COMING, "Help is coming") == ("atom/g616/cmd/350000000000001/MESSAGE", b"Help is coming")
    for name in ("chirpstack", "the-things-stack", "shelly", "owntracks", "esphome", "home-assistant", "theengs", "minew", "generic-json"):
        assert all(tell(Broker(name), "x", word) is None for word in Word)


@pytest.mark.parametrize("entity", ["bed", "bed_71", "x_bed_7", "7"])
def test_an_entity_of_home_assistant_that_nobody_named_says_nothing(entity: str) -> None:
    line = Broker("home-assistant", sos="cord bed_7")
    for payload in ("on", "off", "unavailable"):
        assert line.says(f"homeassistant/binary_sensor/{entity}/state", payload) == []


def test_home_assistant_restarting_in_the_middle_of_an_alarm_is_no_second_one() -> None:
    line = Broker("home-assistant", sos="cord")
    words = ("off", "on", "unavailable", "unknown", "on")
    told = [(word, one) for word in words for one in line.says("homeassistant/binary_sensor/cord/state", word)]
    cries = [(word, str(one.phase), one.edge) for word, one in told if str(one.kind) == "sos"]
    assert cries == [("off", "clear", "sos"), ("on", "raise", "sos"), ("on", "raise", "sos")]  # one edge: the second `on` changes nothing
    assert [str(one.kind) for word, one in told if word in ("unavailable", "unknown")] == ["offline"]  # of the device, and never of the person


def test_what_nobody_understands_is_kept_and_no_event() -> None:
    line = Broker("owntracks")
    found = line.codec.receive_message("owntracks/a/b", b'{"_type":"encrypted","data":"x"}', False, False, 0.0, NOW)
    assert [(type(one), getattr(one, "reason", "")) for one in found] == [(Rejected, "no_rule")]


@pytest.mark.parametrize("text", ["a[0].b.c", "a[0].b.c[0][1]", "x.y[0].z", "x.y[5].z", "x.y[0].z.q", "a[0].b.c[0][9]", "a[*].b | [0].c"])
def test_long_paths_with_numbers_are_read_as_jmespath_does(text: str) -> None:
    document = {"a": [{"b": {"c": [[1, 2], [3]]}}], "x": {"y": [{"z": 5}]}}
    for body in (document, {}):
        assert compile_expression(text).search(body) == jmespath.search(text, body)
