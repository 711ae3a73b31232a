"""`gateway mapping`, and the guide to it followed to the letter: an unknown button becomes a registered device without code."""

import asyncio
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from servers import Mosquitto, Outsider, mosquitto, outsider  # noqa: F401

from drivers.mqtt.profile import read_profile
from drivers.mqtt.profile_tests import run_tests
from gateway.cli import main
from gateway.mapping_learning import Learned
from gateway.mapping_words import WORDS
from tests.mqtt.mapping_samples import NOW

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/guide/mappings.md").read_text("utf-8")
FOREIGN = '{"btn":"L","bat":2870,"rssi":-71,"n":17,"ts":1773480410}'


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def blocks(title: str, language: str) -> list[str]:
    """The code blocks of one step of the guide."""
    step = GUIDE[GUIDE.index(f"**{title}") :]
    step = step[: step.index("\n**", 2)]
    return re.findall(rf"^```{language}\n(.*?)^```", step, re.DOTALL | re.MULTILINE)


def house(folder: Path) -> Path:
    """What the guide takes for granted: a gateway.toml with a district."""
    (folder / "mappings").mkdir()
    config = folder / "gateway.toml"
    config.write_text(f'[gateway]\ndistricts = "{ROOT}/config/districts"\ndata = "var"\nlanguage = "en"\n')
    return config


def test_the_guide_to_the_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = house(tmp_path)
    monkeypatch.chdir(tmp_path)
    [profile] = blocks("2. Write the file", "toml")
    [samples] = blocks("3. Add samples", "toml")
    Path("mappings/acme.toml").write_text(profile + "\n" + samples)

    [command] = blocks("4. Try it", "sh")
    written = re.search(r"echo '(.*?)' \| gateway (.*)", command)
    assert written is not None
    Path("payload").write_text(written[1])
    words = [word if word != "-" else "payload" for word in written[2].split()]
    code, out, _ = run(*words, "--config", "gateway.toml", "--now", "2026-03-14T09:26:53Z", capsys=capsys)
    event = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (event["kind"], event["device"], event["battery_mv"], event["rssi_dbm"], event["sequence"]) == ("sos", "bt-0042", 2870, -71, 17)
    assert event["occurred_at"] == "2026-03-14T09:26:50Z"
    assert "when contains(['S', 'L'], btn) → true: met" in out

    [line] = blocks("5. Give it a line", "toml")
    config.write_text(config.read_text() + line)
    [command] = blocks("6. Check", "sh")
    code, out, err = run(*command.split()[1:], capsys=capsys)
    assert code == 0, out + err
    assert "buttons: mapping, mqtt://broker.lan:1883" in out


def test_every_profile_in_the_guide_is_good_toml() -> None:
    for block in re.findall(r"^```toml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE):
        tomllib.loads(block)


def test_the_guide_names_every_word() -> None:
    from drivers.mqtt import profile_tables, value
    from drivers.mqtt.profile_tables import DecodeTable, DedupTable, EdgeTable, EventTable, LivenessTable, ProfileTable, RuleTable, TellTable

    tables = (ProfileTable, RuleTable, EventTable, EdgeTable, DedupTable, DecodeTable, LivenessTable, TellTable, value.ValueTable)
    names = {name for table in (*tables, profile_tables.TestTable) for name in table.__struct_encode_fields__}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", GUIDE)] == []


def test_try_tells_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(house(tmp_path))
    payload = tmp_path / "p.json"

    def attempt(text: bytes, topic: str, *more: str) -> tuple[int, str, str]:
        payload.write_bytes(text)
        return run("mapping", "try", "zigbee2mqtt", "--topic", topic, "--payload", str(payload), "--config", config, *more, capsys=capsys)

    code, out, _ = attempt(b'{"action":"emergency","battery":"bad"}', "zigbee2mqtt/x")
    assert code == 0
    assert "battery_pct = battery → bad: absent (nothing left after the step number)" in out
    code, out, _ = attempt(b'{"action":""}', "zigbee2mqtt/x")
    assert "not met (it must be exactly true)" in out
    assert '"telemetry"' in out
    code, out, _ = attempt(b"{}", "zigbee2mqtt/x/set")
    assert (code, "stands in ignore" in out, "no events." in out) == (1, True, True)
    code, out, _ = attempt(b"{}", "other/x")
    assert (code, '"rejected": "no_rule"' in out) == (1, True)
    code, out, _ = attempt(b'{"smoke":true}', "zigbee2mqtt/x", "--retain")
    assert "kept by the broker: taken as state" in out
    assert '"late": "replayed"' in out
    code, out, _ = attempt(b"7b 22 61 63 74 69 6f 6e 22 3a 22 73 6f 73 22 7d", "zigbee2mqtt/x", "--hex", "--lang", "zh-CN")
    assert (code, "设备 topic.device → x" in out) == (0, True)
    code, _, err = run("mapping", "try", "nothing", "--topic", "x", "--payload", str(payload), "--config", config, capsys=capsys)
    assert (code, "cannot be read" in err) == (2, True)
    assert run("mapping", "try", "zigbee2mqtt", "--topic", "x", "--payload", "/nowhere", capsys=capsys)[0] == 1


def test_both_languages_say_the_same() -> None:
    chinese, english = WORDS["zh-CN"], WORDS["en"]
    assert chinese.keys() == english.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{(\w*)", text)) == set(re.findall(r"\{(\w*)", chinese[key])), key


def test_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = house(tmp_path)
    (tmp_path / "mappings" / "broken.toml").write_text("name = 5")
    code, out, _ = run("mapping", "list", "--config", str(config), capsys=capsys)
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 1
    assert rows[0][:2] == ["broken", "own"]
    assert ":1: name:" in rows[0][2]
    assert ["zigbee2mqtt", "shipped"] in [row[:2] for row in rows]


def test_decode_reads_with_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = tmp_path / "p"
    payload.write_text('{"action":"emergency"}')
    for more in ([], ["--profile", "zigbee2mqtt"], ["--profile", "generic", "--profile", "zigbee2mqtt"]):
        code, out, _ = run("decode", "mqtt", str(payload), "--topic", "zigbee2mqtt/0x01", *more, capsys=capsys)
        assert (code, json.loads(out)["kind"], json.loads(out)["device"]) == (0, "sos", "0x01")
    payload.write_text('{"kind":"sos"}')
    code, out, _ = run("decode", "mqtt", str(payload), "--topic", "wearables/w1/event", capsys=capsys)
    assert (code, json.loads(out)["device"]) == (0, "w1")
    code, out, _ = run("decode", "mqtt", str(payload), "--topic", "nobody/knows", capsys=capsys)
    assert (code, "rejected" in json.loads(out)) == (1, True)
    code, _, err = run("decode", "mqtt", str(payload), "--topic", "x", "--profile", "nothing", capsys=capsys)
    assert (code, "cannot be read" in err) == (2, True)


def test_decode_reads_with_the_profiles_of_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload, line = tmp_path / "p", tmp_path / "line.toml"
    payload.write_text('{"action":"emergency"}')
    line.write_text(
        '[[line]]\nname = "z"\ncodec = "mapping"\nbroker = "mqtt://x"\n'
        '[line.options]\nmappings = ["zigbee2mqtt"]\nparameters = { zigbee2mqtt = { base = "house" } }\n'
    )
    for codec in ("mqtt", "mapping"):
        code, out, _ = run("decode", codec, str(payload), "--topic", "house/x", "--config", str(line), capsys=capsys)
        assert (code, json.loads(out)["kind"]) == (0, "sos")


# --- learn


@pytest.mark.parametrize("topic", ["a#", "a/#/b", "+a/b", "", "a/b+"])
def test_learn_refuses_what_is_no_filter(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "learn", "--broker", "mqtt://127.0.0.1:1", "--topic", topic]) == 1
    assert "is no filter" in capsys.readouterr().err


def test_learn_names_the_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "learn", "--broker", "tcp://me:secret@broker.lan"]) == 2
    said = capsys.readouterr().err
    assert "'broker.lan'" in said
    assert "secret" not in said


async def test_learn_listens_and_proposes(mosquitto: Mosquitto, outsider: Outsider, tmp_path: Path) -> None:  # noqa: F811
    config = house(tmp_path)
    await outsider.publish("zigbee2mqtt/bridge/devices", json.dumps([bridge_device()]), retain=True)
    await outsider.publish("homeassistant/binary_sensor/leak/config", json.dumps(discovery("{{ value_json.leak }}")), retain=True)
    await outsider.publish("homeassistant/binary_sensor/bad/config", json.dumps(discovery("{{ 7*7 }}")), retain=True)
    command = ["-m", "gateway.cli", "mapping", "learn", "--broker", f"mqtt://127.0.0.1:{mosquitto.port}", "--seconds", "4"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--config", str(config), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    done = asyncio.create_task(process.communicate())
    while not done.done():  # until it has ended, so that it surely hears some
        await outsider.publish("acme/bt-0042/up", FOREIGN)
        await outsider.publish("zigbee2mqtt/0x01", '{"action":"emergency","battery":80}')
        await outsider.publish("words/of/people", "hello \x1b[31m")
        await asyncio.wait([done], timeout=0.2)
    out, err = (part.decode() for part in await done)
    assert process.returncode == 0, err
    assert re.search(r"proposal: zigbee2mqtt .*: reads \d+ of \d+, \d+ events \(sos \d+\)", out), out
    assert "for instance zigbee2mqtt/0x01 → sos raise 0x01" in out
    assert "acme/{device}/up" in out
    assert "Zigbee2MQTT says: 0x01 (TS0215A_sos) has action emergency, battery" in out
    assert "moisture of Bath, value at leak/state .leak" in out
    assert "a person must look at its template: {{ 7*7 }}" in out
    assert "\x1b" not in out


def bridge_device() -> dict[str, object]:
    exposes = [{"name": "action", "values": ["emergency", "x"]}, {"name": "battery"}, {"name": "linkquality"}]
    return {"friendly_name": "0x01", "ieee_address": "0x01", "definition": {"model": "TS0215A_sos", "exposes": exposes}}


def discovery(template: str) -> dict[str, object]:
    return {"~": "leak", "stat_t": "~/state", "val_tpl": template, "dev_cla": "moisture", "dev": {"name": "Bath"}}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("acme/bt-0042/up", FOREIGN),
        ("buttons", '{"mac":"AA:BB","event":"double","battery":50,"time":"2026-03-14T09:26:53Z"}'),
        ("x/y/z", '{"it\'s":1}'),
        ("a/12/b/34", '{"state":true,"other":null}'),
        ("a/b", '{"action":"","type":5.5,"null":1}'),
        ("ü/x99", '{"action":"a\\"b"}'),
    ],
)
def test_the_skeleton_is_a_profile_that_works(topic: str, payload: str) -> None:
    learned = Learned([])
    learned.hear(topic, payload.encode(), False, NOW)
    told = list(learned.told(WORDS["en"]))
    text = "\n".join(told[told.index("", 2) + 1 :])
    made, problems = read_profile(text, "x.toml")
    assert made is not None, (problems, text)
    assert run_tests(made) == [], text


def drafted(*payloads: str) -> str:
    """The profile that learn drafts from these messages."""
    learned = Learned([])
    for payload in payloads:
        learned.hear("keys", payload.encode(), False, NOW)
    told = list(learned.told(WORDS["en"]))
    text = "\n".join(told[told.index("", 2) + 1 :])
    made, problems = read_profile(text, "x.toml")
    assert made is not None, (problems, text)
    assert run_tests(made) == [], text
    return text


def test_learn_takes_the_field_that_changed_with_the_press() -> None:
    text = drafted('{"btn":"A","press":"long","bat":88,"id":"K-17"}', '{"btn":"A","press":"short","bat":87,"id":"K-17"}')
    assert 'kind = { path = "press", map = { "long" = "button", "short" = "button" }, else = "button" }' in text
    assert '# the press may also stand in: "btn" ("A")' in text
    assert 'battery_pct = "bat"' in text
    assert 'device = "id"' in text


def test_learn_knows_words_of_a_press_in_a_field_of_any_name() -> None:
    assert 'kind = { path = "what"' in drafted('{"what":"double_click","state":"on","n":1}', '{"what":"double_click","state":"on","n":2}')
    assert 'kind = { path = "btn"' in drafted('{"btn":1,"event":17}', *(json.dumps({"btn": 2, "event": number}) for number in range(15)))


def test_learn_tells_percents_from_millivolts() -> None:
    assert 'battery_mv = "bat"' in drafted(FOREIGN)
    assert 'battery_pct = "battery"' in drafted('{"btn":"A","battery":100}')
    assert "battery" not in drafted('{"btn":"A","battery":2.9}').partition("[[test]]")[0]


def test_a_missing_profile_names_what_was_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = house(tmp_path)
    (tmp_path / "mappings" / "acme.toml").write_text('name = "acme"\nignoer = []\n')
    payload = tmp_path / "p"
    payload.write_text("{}")
    for name, remedy in (("acmee", "did you mean acme?"), ("zigbe2mqtt", "did you mean zigbee2mqtt?"), ("qqqq", "use one of acme, chirpstack, ")):
        code, _, err = run("mapping", "try", name, "--topic", "x", "--payload", str(payload), "--config", str(config), capsys=capsys)
        assert (code, remedy in err) == (2, True), err
    code, _, err = run("mapping", "try", "acme", "--topic", "x", "--payload", str(payload), "--config", str(config), capsys=capsys)
    assert "acme.toml:2: ignoer: is not known; did you mean ignore?" in err


def test_learn_bears_anything() -> None:
    learned = Learned([])
    for number in range(2000):
        learned.hear(f"t{number}", b'{"a":1}', False, NOW)
    for topic in ("z/bridge/devices", "homeassistant/x/y/config"):
        for body in (
            "[]",
            "{}",
            "[5]",
            '[{"definition":5}]',
            '[{"definition":{"exposes":5}}]',
            '{"cmps":{"a":5}}',
            '{"dev_cla":["x"],"p":{}}',
            '{"dev":5,"~":5}',
        ):
            learned.hear(topic, body.encode(), False, NOW)
    assert len(list(learned.told(WORDS["zh-CN"]))) < 20_000
