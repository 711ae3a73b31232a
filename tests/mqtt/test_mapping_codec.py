"""The codec `mapping`: retained messages, states, identities, faulty profiles, chatter, and telling devices."""

from datetime import timedelta

import pytest

from drivers.contract import Rejected, Signal
from drivers.downlink import Tell, Word
from drivers.mqtt.mapping import FAULT_WINDOW_S, KEPT_PER_MINUTE, MAX_FAULTS, OFF_S, MappingCodec, Refused
from drivers.mqtt.message import MAX_PAYLOAD
from drivers.mqtt.profile_rules import MAX_ITEMS
from gateway.core.incident import Flag
from gateway.event import Kind, Phase
from tests.core.room import Room
from tests.mqtt.mapping_samples import BUTTON, NOW, codec, hear, press, profile

TS = int(NOW.timestamp())


def rule(event: str, head: str = 'topic = "a/{device}"') -> str:
    return f'name = "x"\n[[rule]]\nname = "r"\n{head}\n[[rule.event]]\n{event}\n'


def test_a_press() -> None:
    found = press(codec(BUTTON), f'{{"btn":"L","ts":{TS - 3},"bat":55}}')
    assert (found.kind, found.device, found.battery_pct, found.late, found.time) == (Kind.SOS, "b1", 55, None, NOW - timedelta(seconds=3))


def test_what_the_broker_kept_is_history_unless_its_time_says_otherwise() -> None:
    one = codec(BUTTON)
    assert press(one, retain=True).late == "replayed"
    assert press(one, f'{{"btn":"L","ts":{TS - 601}}}', retain=True).late == "replayed"
    fresh = press(one, f'{{"btn":"L","ts":{TS - 300}}}', retain=True)
    assert (fresh.late, fresh.detail) == (None, {"replayed": True})
    assert hear(codec(BUTTON.replace("when =", 'retained = "ignore"\nwhen =')), "acme/b1/up", '{"btn":"L"}', retain=True) == []


@pytest.mark.parametrize(
    ("phase", "values"),
    [("raise", ("true", '"ON"', "1")), ("clear", ("false", '"FALSE"', '"off"', "0")), (None, ("null", '"perhaps"', '""', "[]", "NaN", "1e999", "2"))],
)
def test_states_go_through_a_table_of_words(phase: str | None, values: tuple[str, ...]) -> None:
    one = codec(rule('kind = "water_leak"\nedge = "leak"'))
    for value in values:
        found = hear(one, "a/d", f'{{"leak":{value}}}')
        assert [(signal.kind, signal.phase, signal.edge, signal.dedup) for signal in found if isinstance(signal, Signal)] == (
            [] if phase is None else [(Kind.WATER_LEAK, Phase(phase), "leak", None)]
        ), value


def test_a_kept_state_is_history_and_no_sign_of_life() -> None:
    one = codec(rule('kind = "smoke"\nedge = "smoke"'))
    [raised] = hear(one, "a/d", '{"smoke":true}', retain=True)
    [cleared] = hear(one, "a/d", '{"smoke":false}', retain=True)
    assert isinstance(raised, Signal)
    assert isinstance(cleared, Signal)
    assert (raised.late, cleared.late) == ("replayed", "replayed")


def test_only_the_same_message_is_a_duplicate() -> None:
    one = codec(BUTTON)
    first = press(one)
    assert press(one, at=NOW + timedelta(seconds=1)).dedup == first.dedup
    later = press(one, at=NOW + timedelta(seconds=3))
    assert later.dedup != first.dedup, "a second cry is never swallowed"
    assert press(one, dup=True, at=NOW + timedelta(minutes=9)).dedup == later.dedup
    assert press(one, '{"btn":"L","bat":5}').dedup != first.dedup
    assert press(one, topic="acme/b2/up").dedup != first.dedup
    timed = press(one, f'{{"btn":"L","ts":{TS}}}')
    assert press(one, f'{{"btn":"L","ts":{TS},"bat":3}}', at=NOW + timedelta(minutes=5)).dedup == timed.dedup
    assert press(one, f'{{"btn":"L","ts":{TS + 1}}}').dedup != timed.dedup
    stuck = press(one, '{"btn":"L","ts":5}')  # a clock that always says 1970 must not swallow the next cry
    assert press(one, '{"btn":"L","ts":5}', at=NOW + timedelta(seconds=5)).dedup != stuck.dedup


def test_a_key_of_the_profile() -> None:
    one = codec(BUTTON + 'dedup = { key = ["n"], within_s = 600 }\n')
    first = press(one, '{"btn":"L","n":7,"rssi":1}')
    assert press(one, '{"btn":"L","n":7,"rssi":2}', at=NOW + timedelta(seconds=500)).dedup == first.dedup
    assert press(one, '{"btn":"L","n":8}').dedup != first.dedup
    assert press(one, '{"btn":"L","n":7}', at=NOW + timedelta(seconds=700)).dedup != first.dedup


def test_two_events_of_one_message_have_identities_of_their_own() -> None:
    one = codec(rule('kind = { path = "s", bits = { "0" = "sos", "2" = "low_battery", "5" = "fall" } }'))
    found = hear(one, "a/d", '{"s":"25"}')  # 0x25: bits 0, 2 and 5
    assert [getattr(signal, "kind", None) for signal in found] == [Kind.SOS, Kind.LOW_BATTERY, Kind.FALL]
    assert len({getattr(signal, "dedup", None) for signal in found}) == 3


def test_topic_and_payload_must_name_the_same_device() -> None:
    one = codec(rule('kind = "sos"', 'topic = "a/{device}"\ndevice = ["topic.device", "mac"]'))
    assert [one_.device for one_ in hear(one, "a/AABB", '{"mac":"aa:bb"}')] == ["AABB"]
    assert [one_.device for one_ in hear(one, "a/AABB", "{}")] == ["AABB"]
    [refused] = hear(one, "a/AABB", '{"mac":"aa:bc"}')
    assert isinstance(refused, Rejected)
    assert refused.reason == "device_mismatch"


def test_an_alarm_without_a_device_is_an_alarm_of_its_topic() -> None:
    one = codec(
        rule('kind = "sos"', 'topic = "a/#"\ndevice = "mac"'), rule('kind = "telemetry"', 'topic = "b/#"\ndevice = "mac"').replace('"x"', '"y"')
    )
    assert [found.device for found in hear(one, "a/b/c", "{}")] == ["a/b/c"]
    assert [getattr(found, "reason", "") for found in hear(one, "b/c", "{}")] == ["no_device"]


def test_a_broken_gauge_never_keeps_an_alarm_from_being_one() -> None:
    event = 'kind = "sos"\nbattery_pct = "max(b)"\nlat = "x"\nlon = "y"\ntime = { path = "t", format = "iso" }\nvitals = { hr = "hr" }'
    [found] = hear(codec(rule(event)), "a/d", '{"b":"x","x":0,"y":0,"t":"yesterday","hr":0}')
    assert isinstance(found, Signal)
    assert (found.kind, found.battery_pct, found.lat, found.time, found.vitals) == (Kind.SOS, None, None, None, {})


def test_zone_datum_and_order() -> None:
    text = rule(
        'kind = "location"\nposition = { path = "location", order = "lon-lat" }\ntime = { path = "join(\' \', [d, t])", format = "yymmdd-hhmmss" }'
    )
    text = text.replace('name = "x"', 'name = "x"\nzone = "+08:00"\ndatum = "gcj02"', 1)
    [found] = hear(codec(text), "a/d", '{"location":"120.15, 30.28","d":"260314","t":"172650"}')
    assert isinstance(found, Signal)
    assert (found.lat, found.lon, found.datum, found.time) == (30.28, 120.15, "gcj02", NOW - timedelta(seconds=3))
    line = MappingCodec([profile(text, zone="UTC")])
    [found] = hear(line, "a/d", '{"location":[120.15,30.28],"d":"260314","t":"092650"}')
    assert isinstance(found, Signal)
    assert found.time == NOW - timedelta(seconds=3)


def test_a_list_gives_an_event_for_each_and_is_bounded() -> None:
    one = codec(rule('kind = "heartbeat"\nrssi_dbm = "item.rssi"', 'topic = "gw/{gw}"\neach = "payload"\ndevice = "item.mac"'))
    found = hear(one, "gw/1", '[{"mac":"A","rssi":-50},{"mac":"B"},{"rssi":1},5]')
    told = [(getattr(signal, "device", None), getattr(signal, "reason", "")) for signal in found]
    assert told == [("A", ""), ("B", ""), (None, "no_device")], "one message, one rejection of a kind"
    many = hear(one, "gw/1", "[" + ",".join('{"mac":"A"}' for _ in range(MAX_ITEMS + 5)) + "]")
    assert len(many) == MAX_ITEMS + 1
    assert isinstance(many[-1], Rejected)
    assert many[-1].reason == "too_many_items"
    assert all(len(signal.raw) < 100 for signal in many[:-1]), "a long message is not kept a thousand times"


def test_bytes_in_a_message() -> None:
    slices = '{ bat = { at = 0 }, lat = { at = 1, length = 4, type = "int", scale = 1e-6 }, name = { at = -2, length = 2, type = "ascii" } }'
    event = 'kind = "sos"\nbattery_pct = "decoded.bat"\ndetail = { lat = "decoded.lat", name = "decoded.name", length = "decoded.length" }'
    head = f'topic = "a/{{device}}"\nwhen = "decoded.bat > `5`"\ndecode = {{ path = "data", encoding = "hex", slices = {slices} }}'
    one = codec(rule(event, head))
    [found] = hear(one, "a/d", '{"data":"32 015A7854 4142"}')
    assert isinstance(found, Signal)
    assert found.detail == {"lat": 22.706260, "name": "AB", "length": 7}
    assert found.battery_pct == 50
    for bad in ('{"data":"zz"}', '{"data":5}', "{}", '{"data":""}', '{"data":"05"}'):
        assert [getattr(signal, "reason", "") for signal in hear(one, "a/d", bad)] == ["no_rule"]
    raw = codec(
        rule(
            'kind = "sos"\nsequence = "decoded.n"',
            'topic = "a/{device}"\npayload = "any"\ndecode = { path = "raw", encoding = "hex", slices = { n = { at = 1 } } }',
        )
    )
    assert [getattr(signal, "sequence", None) for signal in hear(raw, "a/d", b"\xff\x07")] == [7]


def test_several_profiles_on_one_line() -> None:
    one = codec(
        BUTTON, BUTTON.replace('"acme"', '"other"', 1).replace("btn == 'L'", "btn == 'S'"), rule('kind = "telemetry"', 'topic = "acme/{device}/#"')
    )
    assert one.topics == ("acme/+/#",)
    assert [signal.kind for signal in hear(one, "acme/b1/up", '{"btn":"L"}') if isinstance(signal, Signal)] == [Kind.SOS, Kind.TELEMETRY]


def test_otherwise_and_last() -> None:
    fallback = '[[rule]]\nname = "rest"\ntopic = "acme/{device}/up"\notherwise = true\n[[rule.event]]\nkind = "telemetry"\n'
    one = codec(BUTTON + fallback)
    assert [getattr(signal, "kind", None) for signal in hear(one, "acme/b1/up", '{"btn":"L"}')] == [Kind.SOS]
    assert [getattr(signal, "kind", None) for signal in hear(one, "acme/b1/up", "{}")] == [Kind.TELEMETRY]
    last = codec(BUTTON.replace("when =", "last = true\nwhen =") + fallback.replace("otherwise = true\n", ""))
    assert [getattr(signal, "kind", None) for signal in hear(last, "acme/b1/up", '{"btn":"L"}')] == [Kind.SOS]
    assert [getattr(signal, "kind", None) for signal in hear(last, "acme/b1/up", "{}")] == [Kind.TELEMETRY]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"btn":"X"}', "no_rule"),
        (b"L", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'{"btn":', "bad_json"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b"x" * (MAX_PAYLOAD + 1), "too_long"),
        (b"5", "no_rule"),
        (b"null", "no_rule"),
    ],
)
def test_bad_input_is_named(payload: bytes, reason: str) -> None:
    assert [getattr(one, "reason", "") for one in hear(codec(BUTTON), "acme/b1/up", payload)] == [reason]


def test_chatter_does_not_fill_the_disk() -> None:
    one = codec(BUTTON)
    kept = [found for number in range(100) for found in hear(one, f"acme/b{number}/up", '{"x":1}')]
    assert len(kept) == KEPT_PER_MINUTE
    assert one.counts["unread"] == 100
    assert one.counts["not_kept"] == 100 - KEPT_PER_MINUTE
    assert len(hear(one, "acme/b1/up", '{"x":1}', at=NOW + timedelta(minutes=1))) == 1
    quiet = codec(BUTTON.replace("[[rule]]", 'ignore = ["acme/+/up"]\n[[rule]]').replace("acme/{device}/up", "acme/{device}/down"))
    assert hear(quiet, "acme/b1/up", '{"x":1}') == []
    assert quiet.counts == {"ignored": 1}


def test_an_empty_payload_says_nothing() -> None:
    one = codec(BUTTON)
    assert hear(one, "acme/b1/up", b"", retain=True) == []
    assert one.counts["deleted"] == 1


FAILING = BUTTON.replace("btn == 'L'", "max(btn) == 'L'")


def test_a_profile_that_fails_is_shut_off_alone_and_shown() -> None:
    one = codec(FAILING, BUTTON.replace('"acme"', '"other"', 1))
    faults = []
    for number in range(MAX_FAULTS):
        found = hear(one, "acme/b1/up", '{"btn":"L"}', now=number * 0.1, at=NOW + timedelta(seconds=number * 3))
        assert found[0].device == "b1"
        assert isinstance(found[0], Signal)
        faults += [signal for signal in found[1:] if isinstance(signal, Signal)]
    [fault] = faults
    assert (fault.kind, fault.phase, fault.device, fault.edge) == (Kind.FAULT, Phase.RAISE, "profile:acme", "profile")
    assert "max" in str(fault.detail["fault"])
    off_at = (MAX_FAULTS - 1) * 0.1
    assert len(hear(one, "acme/b1/up", '{"btn":"L"}', now=off_at + 1)) == 1, "the other goes on"
    assert one.counts["passed_over"] == 1
    back = hear(one, "acme/b1/up", '{"btn":["L"]}', now=off_at + OFF_S)
    assert [(getattr(signal, "kind", ""), getattr(signal, "phase", "")) for signal in back] == [(Kind.SOS, "raise"), (Kind.FAULT, "clear")]


def test_few_faults_do_not_shut_a_profile_off() -> None:
    one = codec(FAILING)
    for number in range(MAX_FAULTS * 2):
        hear(one, "acme/b1/up", '{"btn":"L"}', now=number * (FAULT_WINDOW_S / (MAX_FAULTS - 1)))
    assert one.counts["profiles_shut_off"] == 0
    assert one.counts["mapping_errors"] == MAX_FAULTS * 2


def test_what_comes_while_a_profile_is_off_is_kept_for_inspection() -> None:
    one = codec(FAILING)
    for _ in range(MAX_FAULTS):
        hear(one, "acme/b1/up", '{"btn":"L"}')
    assert [getattr(found, "reason", "") for found in hear(one, "acme/b1/up", '{"btn":["L"]}', at=NOW + timedelta(minutes=2))] == ["profile_off"]


def test_a_line_tells_how_its_profiles_do() -> None:
    one = MappingCodec([profile(BUTTON)], refused=[Refused("broken", "broken.toml:3: rule[1].event[1].kind: …")])
    told = [(signal.kind, signal.phase, signal.device, signal.edge) for signal in one.news()]
    assert told == [(Kind.FAULT, Phase.RAISE, "profile:broken", "profile"), (Kind.FAULT, Phase.CLEAR, "profile:acme", "profile")]


def test_a_device_is_told_where_it_cried() -> None:
    tell = '[[tell]]\nword = "coming"\ntopic = "acme/{device}/down/{app}"\npayload = \'{"show":"{text}","{x}":1}\'\n'
    one = codec(BUTTON.replace("acme/{device}/up", "{app}/{device}/up") + tell)
    coming = Tell(id="1", device="b1", word=Word.COMING, text='He said "yes"\n')
    assert one.publish_for(coming) is None, "the way is not known yet"
    press(one)
    assert one.publish_for(coming) == ("acme/b1/down/acme", b'{"show":"He said \\"yes\\"\\n","{x}":1}')
    assert one.publish_for(Tell(id="1", device="b1", word=Word.OVER)) is None
    press(one, topic="+/b#/up")
    assert one.publish_for(Tell(id="1", device="b#", word=Word.COMING)) is None, "never to more than one"
    plain = codec(BUTTON + tell.replace("/{app}", ""))
    assert plain.publish_for(coming) is not None, "after a restart the address is enough"


def test_a_last_will_says_offline_and_online_as_the_core_wants_it() -> None:
    one = codec(BUTTON + '[[liveness]]\ntopic = "acme/{device}/LWT"\nonline = ["Online"]\noffline = ["Offline"]\n')
    for payload, kind in (("Offline", Kind.OFFLINE), ("Online", Kind.ONLINE), (" ONLINE\n", Kind.ONLINE)):
        for retain in (False, True):
            found = press(one, payload, "acme/b1/LWT", retain=retain)
            assert (found.kind, found.phase, found.edge, found.late, found.dedup) == (kind, Phase.RAISE, "online", None, None)
    assert hear(one, "acme/b1/LWT", "perhaps") == []
    assert hear(one, "acme/b1/LWT", "", retain=True) == []


def test_the_operator_sees_one_incident_of_a_faulty_profile_and_its_end() -> None:
    room = Room()
    bad = MappingCodec([], refused=[Refused("acme", "acme.toml:3: …")]).news()
    good = MappingCodec([profile(BUTTON)]).news()
    for signal in (*good, *bad, *bad, *good):
        told = {"kind_raw": signal.kind_raw, "edge": signal.edge, "detail": signal.detail}
        room.event(signal.kind, signal.device, line="buttons", phase=signal.phase, **told)
    [incident] = room.working.incidents.values()
    assert (incident.kind, incident.key, Flag.ENDED in incident.flags) == (Kind.FAULT, "technical:buttons:profile:acme", True)


def test_one_field_that_tells_of_several_kinds_is_a_state_of_each() -> None:
    """Gas, then smoke, from one field: the second must not be taken for what is known already."""
    words = 'edge = {{ path = "state", words = {{ true = ["{0}"] }} }}'
    one = codec(rule(f'kind = "smoke"\n{words.format("smoke")}\n[[rule.event]]\nkind = "co"\n{words.format("co")}'))
    told = {str(found.kind): (found.phase, found.edge) for found in hear(one, "a/d", '{"state":"co"}') if isinstance(found, Signal)}
    assert told == {"smoke": (Phase.CLEAR, "state:smoke"), "co": (Phase.RAISE, "state:co")}


def test_a_door_has_one_state_under_both_its_kinds() -> None:
    same = 'kind = "contact_open"\nedge = "open"\n[[rule.event]]\nkind = "contact_closed"\nedge = "open"'
    assert {found.edge for found in hear(codec(rule(same)), "a/d", '{"open":true}') if isinstance(found, Signal)} == {"open"}


def test_a_kind_that_is_found_in_the_message_makes_states_apart() -> None:
    found_kind = 'kind = { path = "what", map = { s = "smoke", g = "gas" } }\nedge = "on"'
    one = codec(rule(found_kind))
    edges = [found.edge for what in ("s", "g") for found in hear(one, "a/d", f'{{"what":"{what}","on":true}}') if isinstance(found, Signal)]
    assert edges == ["on:smoke", "on:gas"]
