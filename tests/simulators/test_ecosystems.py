"""The simulated ecosystems: what they publish, against the facts of their sheet; the bridge on a real broker; a judge that can say no."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Mosquitto, Outsider, mosquitto, until  # noqa: F401

from simulators.ecosystems import ECOSYSTEMS
from simulators.ecosystems.bridge import Bridge, Press
from simulators.ecosystems.chirpstack import ChirpStack, place
from simulators.ecosystems.command import main
from simulators.ecosystems.esphome import EspHome
from simulators.ecosystems.g616 import G616
from simulators.ecosystems.judge import judge_console, judge_orders
from simulators.ecosystems.minew import MinewG1
from simulators.ecosystems.owntracks import OwnTracks
from simulators.ecosystems.said import Said
from simulators.ecosystems.shelly import Shelly
from simulators.ecosystems.tasmota import Tasmota
from simulators.ecosystems.theengs import Theengs
from simulators.ecosystems.things_stack import ThingsStack
from simulators.ecosystems.zigbee2mqtt import Zigbee2Mqtt
from simulators.mqtt_link import BrokerAddress
from simulators.stations import Order

NOW = 1_773_480_413.0
EUI = "24e124535b000001"


def bodies(said: list[Said], ending: str = "") -> Iterator[dict[str, Any]]:
    return (json.loads(one.payload) for one in said if one.topic.endswith(ending))


def test_a_zigbee_press_is_action_copy_and_reset_twice() -> None:
    said = Zigbee2Mqtt({"cord": "TS0215A_sos"}).press("cord", "sos", NOW)
    assert [(one.topic, json.loads(one.payload).get("action") if one.topic.endswith("cord") else one.payload) for one in said[:4]] == [
        ("zigbee2mqtt/cord", "emergency"),
        ("zigbee2mqtt/cord/action", b"emergency"),
        ("zigbee2mqtt/cord", ""),
        ("zigbee2mqtt/cord/action", b""),
    ]
    assert [one.after_s for one in said] == sorted(one.after_s for one in said)
    assert len(said) == 8
    assert said[-1].after_s < 2
    assert all(one.qos == 0 and not one.retain for one in said)
    assert next(bodies(said))["battery"] is None


def test_a_zigbee_state_is_said_again_with_each_report_until_released() -> None:
    bridge = Zigbee2Mqtt({"leak1": "SJCGQ11LM"})
    assert next(bodies(bridge.routine("leak1", NOW)))["water_leak"] is False
    bridge.press("leak1", "water_leak", NOW)
    assert next(bodies(bridge.routine("leak1", NOW)))["water_leak"] is True
    greeted = bridge.greeting(NOW)
    assert [one.topic for one in greeted if one.retain] == [
        "zigbee2mqtt/bridge/state",
        "zigbee2mqtt/bridge/devices",
        "zigbee2mqtt/leak1/availability",
    ]
    assert next(bodies(greeted, "/leak1"))["water_leak"] is True  # cache_state_send_on_startup
    bridge.release("leak1")
    assert next(bodies(bridge.routine("leak1", NOW)))["water_leak"] is False


def test_zeros_are_absent_and_frames_begin_anew_after_a_join() -> None:
    server = ChirpStack({EUI: "WS101"}, twice=True)
    server.greeting(NOW)
    first, again = bodies(server.press(EUI, "sos", NOW))
    assert first == again
    assert "fCnt" not in first
    assert base64.b64decode(first["data"]).hex() == "017564ff2e02"
    assert first["rxInfo"]
    (second, _) = list(bodies(server.press(EUI, "help", NOW), "/up"))[:2]
    assert (second["fCnt"], second["deduplicationId"] != first["deduplicationId"]) == (1, True)
    server.join(EUI, NOW)
    third = next(bodies(server.press(EUI, "sos", NOW)))
    assert "fCnt" not in third
    assert third["devAddr"] != first["devAddr"]


def test_the_tracker_bytes_are_those_of_the_sheet() -> None:
    assert place(22.706260, 114.242520, False, 3360)[:10].hex() == base64.b64decode("AVp4VAbPM9gNIGAASwGQAA==")[:10].hex()
    assert place(22.706260, 114.242520, True, 3360)[8] == 0x4D
    stack = ThingsStack({"a84041ffff000001": "LGT-92"})
    first, second = next(bodies(stack.routine("a84041ffff000001", NOW))), next(bodies(stack.press("a84041ffff000001", "sos", NOW)))
    assert "f_cnt" not in first["uplink_message"]
    assert second["uplink_message"]["f_cnt"] == 1
    assert first["end_device_ids"]["dev_eui"] == "A84041FFFF000001"
    assert [one["uplink_message"]["decoded_payload"]["ALARM_status"] for one in (first, second)] == ["FALSE", "TRUE"]
    assert next(bodies(stack.rehearse("a84041ffff000001", NOW)))["simulated"] is True


def test_phones_tell_old_points_in_one_burst() -> None:
    phones = OwnTracks({"jane/phone": "phone"})
    burst = list(bodies(phones.burst("jane/phone", 2, NOW)))
    assert [NOW - one["tst"] for one in burst] == [600.0 * age for age in range(12, 0, -1)]
    assert {one["created_at"] for one in burst} == {int(NOW)}
    assert all(one.retain for one in phones.routine("jane/phone", NOW))
    assert phones.will is not None
    assert phones.will.topic == phones.routine("jane/phone", NOW)[0].topic


def test_nodes_keep_their_will_and_what_should_not_be_kept() -> None:
    tasmota, cord = Tasmota({"bedside": "button"}), EspHome({"cord": "pull_cord"})
    (press,) = tasmota.press("bedside", "sos", NOW)
    assert (press.topic, json.loads(press.payload), press.retain) == ("stat/bedside/RESULT", {"Button1": {"Action": "HOLD"}}, True)
    assert [(one.will.topic, one.will.retain) for one in (tasmota, cord) if one.will] == [("tele/bedside/LWT", True), ("cord/status", True)]
    assert [one.payload for one in (*cord.press("cord", "sos", NOW), *cord.routine("cord", NOW), *cord.release("cord"))] == [b"ON", b"ON", b"OFF"]


def test_shelly_repeats_its_last_press_with_the_same_count() -> None:
    first = Shelly({"shellybutton1-1": "gen1"}, floats=True)
    (press,) = bodies(first.press("shellybutton1-1", "sos", NOW))
    assert press == next(bodies(first.routine("shellybutton1-1", NOW))) == {"event": "L", "event_cnt": 1.0}
    second = Shelly({"shellyplus1-1": "gen2"})
    events = [event["event"] for body in bodies(second.press("shellyplus1-1", "sos", NOW)) for event in body["params"]["events"]]
    assert events == ["btn_down", "long_push", "btn_up"]


def test_one_press_is_many_adverts_under_one_packet_number() -> None:
    said = Theengs({"BC026EAABBCC": "SBBT-002C"})
    press = said.press("BC026EAABBCC", "sos", NOW)
    assert len(press) >= 6
    assert len({one.topic for one in press}) >= 2
    assert len({one["packet"] for one in bodies(press)}) == 1
    assert next(bodies(said.routine("BC026EAABBCC", NOW)))["packet"] == next(bodies(press))["packet"] + 1


def test_a_pressed_tag_is_another_advert_in_ten_arrays() -> None:
    said = MinewG1({"10C005091CD5": "tag", "10C005091CD6": "tag"}).press("10C005091CD5", "sos", NOW)
    minors = [[row["ibeaconMinor"] for row in array if row["type"] == "iBeacon"] for array in bodies(said)]
    assert minors == [[0, 1, 0]] * 10
    assert [one.after_s for one in said] == [float(second) for second in range(10)]


def test_a_watch_says_sos_until_it_is_reset_and_everything_as_text() -> None:
    watch = G616({"359710040000001": "G616"})
    told = [next(bodies(part)) for part in (watch.routine("359710040000001", NOW), watch.press("359710040000001", "sos", NOW))]
    assert [one["sos"] for one in told] == ["0", "1"]
    assert next(bodies(watch.routine("359710040000001", NOW)))["sos"] == "1"
    assert all(isinstance(value, str) for value in told[0].values())
    watch.release("359710040000001")
    assert next(bodies(watch.routine("359710040000001", NOW)))["sos"] == "0"


@pytest.mark.parametrize("name", sorted(ECOSYSTEMS))
def test_every_model_has_its_presses_and_a_routine(name: str) -> None:
    module = __import__(f"simulators.ecosystems.{name}", fromlist=["MODELS"])
    models = {"theengs": ["SBBT-002C"], "minew": ["tag"], "shelly": ["gen1", "gen2"]}.get(name) or list(module.MODELS)
    for number, model in enumerate(models):
        device = f"00112233445566{number:02}"
        ecosystem = ECOSYSTEMS[name]({device: model})
        assert ecosystem.name == name
        routine = ecosystem.routine(device, NOW)
        assert routine
        for kind in ecosystem.kinds(device):
            assert ecosystem.press(device, kind, NOW) != routine


async def test_the_broker_tells_the_will_of_a_cut_bridge_and_keeps_what_is_kept(mosquitto: Mosquitto) -> None:  # noqa: F811
    bridge = Bridge(Zigbee2Mqtt({"cord": "TS0215A_sos"}), BrokerAddress.parse(mosquitto.url))
    witness = await Outsider(mosquitto.port, "zigbee2mqtt/#").ready()
    running = asyncio.create_task(bridge.run())
    try:
        await until(bridge.link.up.is_set, "connected")
        bridge.press("cord")
        await until(lambda: bridge.is_done, "everything is said")
        await until(
            lambda: len([topic for topic, _ in witness.received if topic == "zigbee2mqtt/cord"]) == 5, "state at the start, press, reset, again"
        )
        began = time.monotonic()
        bridge.cut()
        await until(lambda: ("zigbee2mqtt/bridge/state", b'{"state":"offline"}') in witness.received, "the will")
        assert time.monotonic() - began < 10, "told by the cut, not by ten seconds without a sign"
        assert bridge.press("cord").lost
        assert bridge.lost > 0
        bridge.plug()
        await until(lambda: [body for topic, body in witness.received if topic == "zigbee2mqtt/bridge/state"][-1] == b'{"state":"online"}', "back")
        await until(
            lambda: len([topic for topic, _ in witness.received if topic == "zigbee2mqtt/cord"]) == 6,
            "its state, the last of what it says at its start",
        )
        late = await Outsider(mosquitto.port, "zigbee2mqtt/#").ready()
        await until(lambda: len(late.received) == 3, "bridge state, list and availability were kept, and nothing else")
        late.close()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        witness.close()


def order(device: str, incident: str, repeat: int = 0) -> Order:
    return Order("station-1", f"d-{incident}", incident, "sos", device, None, repeat, None, "critical", None, 0.0)


def detail(person: str, *kinds: str, late: str = "", merged: str = "") -> dict[str, Any]:
    entries = [{"kind": kind, "phase": "raise", "detail": {"late": late} if late else {}} for kind in kinds]
    return {"incident": {"id": f"i-{person}", "merged_into": merged}, "person": {"id": person}, "timeline": entries}


def test_the_judge_at_the_stations_sees_what_is_missing_and_what_is_too_much() -> None:
    presses = [Press("a"), Press("b"), Press("b"), Press("c", lost=True), Press("d", "help")]
    assert judge_orders(presses, [order("a", "1"), order("b", "2"), order("b", "2", 1)]) == []
    assert judge_orders(presses, [order("b", "2"), order("b", "2", 1)]) == ["a: 1 press(es), 0 order(s) at stations"]
    assert judge_orders(presses, [order("a", "1"), order("b", "2"), order("b", "3")]) == ["b: orders of 2 incidents"]
    assert judge_orders([], [order("x", "1")]) == ["x: 0 press(es), 1 order(s) at stations"]


def test_the_judge_at_the_console_counts_entries_and_incidents() -> None:
    presses, persons = [Press("a"), Press("b", "help")], {"a": "p-a", "b": "p-b"}
    assert judge_console(presses, persons, [detail("p-a", "sos"), detail("p-b", "help"), detail("p-c", "sos", late="replayed")]) == []
    assert judge_console(presses, persons, [detail("p-a", "sos", "sos"), detail("p-b", "help")]) == ["p-a: 1 × sos pressed, 2 on the console"]
    assert judge_console(presses, persons, [detail("p-a", "sos")]) == ["p-b: 1 × help pressed, 0 on the console"]
    twice = [detail("p-a", "sos"), detail("p-b", "help"), detail("p-b", "help")]
    assert judge_console(presses, persons, twice) == ["p-b: 1 × help pressed, 2 on the console", "p-b: 2 incidents"]


def test_wrong_use_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zigbee2mqtt", "--broker", "mqtt://127.0.0.1:1", "--device", "cord=teapot"]) == 2
    assert "teapot" in capsys.readouterr().err


def test_the_command_says_what_did_not_arrive(tmp_path: Any, capfd: pytest.CaptureFixture[str]) -> None:
    async def serve() -> tuple[int, int]:
        server = Mosquitto(tmp_path)
        await server.start()
        try:
            given = ["g616", "--broker", server.url, "--device", "359710040000001=G616", "--seconds", "0.5", "--every", "0.2", "--settle", "0.3"]
            return await asyncio.to_thread(main, given), await asyncio.to_thread(main, [*given, "--judge"])
        finally:
            await server.stop()

    assert asyncio.run(serve()) == (0, 1)
    quiet, judged = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert quiet["faults"] == []
    assert judged["faults"] == ["359710040000001: 1 press(es), 0 order(s) at stations"]
