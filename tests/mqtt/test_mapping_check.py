"""What is wrong with a profile is told with its line, and a faulty profile is refused alone."""

from pathlib import Path

import pytest

from drivers.contract import Surroundings
from drivers.mappings import MappingOptions, build_codec, load_profile, shipped_names
from drivers.mqtt.profile import MAX_EXPRESSIONS, read_profile
from gateway.cli import main
from gateway.config import read_config

GOOD = """name = "ours"
title = { en = "Our buttons" }
parameters = { base = "acme" }
zone = "+08:00"

[[rule]]
name = "press"
topic = "{base}/{device}/up"
when = "contains(['S', 'L'], btn)"

[[rule.event]]
kind = { path = "btn", map = { S = "help", L = "sos" } }
time = { path = "ts", format = "epoch-s" }
battery_pct = { path = "bat", range = [0, 100] }

[[rule]]
name = "rest"
topic = "{base}/{device}/up"
otherwise = true

[[rule.event]]
kind = "telemetry"

[[test]]
topic = "acme/b1/up"
payload = '{"btn":"L","bat":50}'
expect = [{ kind = "sos", battery_pct = 50 }]
"""
LINE = {text: number for number, text in reversed(list(enumerate(GOOD.splitlines(), 1)))}
TOPIC = 'topic = "{base}/{device}/up"'
WHEN = LINE["when = \"contains(['S', 'L'], btn)\""]
KIND = LINE['kind = { path = "btn", map = { S = "help", L = "sos" } }']
TIME = LINE['time = { path = "ts", format = "epoch-s" }']
BATTERY = LINE['battery_pct = { path = "bat", range = [0, 100] }']
EXPECT = LINE['expect = [{ kind = "sos", battery_pct = 50 }]']
SECOND = LINE['name = "rest"']

MISTAKES = [
    ("unknown key", "battery_pct = {", "batery_pct = {", BATTERY, "batery_pct"),
    ("unknown word", "range = [0, 100]", "ragne = [0, 100]", BATTERY, "ragne"),
    ("wrong kind", 'kind = "telemetry"', 'kind = "telemetri"', LINE['kind = "telemetry"'], "telemetri"),
    ("kind of people", 'kind = "telemetry"', 'kind = "resolve"', LINE['kind = "telemetry"'], "resolve"),
    ("map with a wrong kind", 'L = "sos"', 'L = "soss"', KIND, "soss"),
    ("bad JMESPath", "contains(['S', 'L'], btn)", "contains(['S', 'L'], btn", WHEN, "no JMESPath"),
    ("double quotes", "contains(['S', 'L'], btn)", 'btn == \\"L\\"', WHEN, "'L'"),
    ("bare null", "contains(['S', 'L'], btn)", "btn != null", WHEN, "`null`"),
    ("never true", "contains(['S', 'L'], btn)", "length(btn)", WHEN, "never be exactly true"),
    ("unknown function", "contains(['S', 'L'], btn)", "matches(btn, 'L')", WHEN, "matches()"),
    ("bad topic", TOPIC, 'topic = "{base}/{device/up"', LINE[TOPIC], "brace"),
    ("# inside", TOPIC, 'topic = "{base}/#/{device}"', LINE[TOPIC], "last level"),
    ("unknown codec", WHEN, 'decode = { path = "data", codec = "nothing" }', WHEN, "'nothing' is not known"),
    ("test that fails", "battery_pct = 50 }", "battery_pct = 51 }", EXPECT, "50"),
    ("test that gives nothing", '{"btn":"L","bat":50}', "L", EXPECT, "rejected"),
    ("unknown name in a test", "battery_pct = 50 }", "battery = 50 }", EXPECT, "battery"),
    ("unknown time format", 'format = "epoch-s"', 'format = "unix"', TIME, "unix"),
    ("range reversed", "range = [0, 100]", "range = [100, 0]", BATTERY, "smaller number first"),
    ("too long an expression", "contains(['S', 'L'], btn)", "btn == '" + "x" * 2048 + "'", WHEN, "longer than 2048"),
    ("duplicate rule name", 'name = "rest"', 'name = "press"', SECOND, "earlier rule"),
    ("unreachable rule", WHEN, "last = true", SECOND - 1, "never reached"),
    ("unknown zone", 'zone = "+08:00"', 'zone = "Asia/Nowhere"', 4, "Asia/Nowhere"),
    ("no such name in the topic", "contains(['S', 'L'], btn)", "topic.app == 'x'", WHEN, "no {app}"),
    ("decoded without decode", "contains(['S', 'L'], btn)", "decoded.x == 'x'", WHEN, "decode"),
    ("a number for an expression", "battery_pct = {", "rssi_dbm = -70\nbattery_pct = {", BATTERY, "`-70`"),
    ("no TOML", 'zone = "+08:00"', "zone = +08:00", 4, "TOML"),
    ("name of another file", 'name = "ours"', 'name = "theirs"', 1, "name of its file"),
    ("wrong phase", 'kind = "telemetry"', 'kind = "telemetry"\nphase = "up"', LINE['kind = "telemetry"'] + 1, "'up' is no phase"),
    ("event missing", '[[rule.event]]\nkind = "telemetry"\n', "", SECOND - 1, "[[rule.event]]"),
]


def spoil(before: str | int, after: str) -> str:
    if isinstance(before, int):
        lines = GOOD.splitlines()
        lines[before - 1] = after
        return "\n".join(lines)
    assert before in GOOD
    # the last one of its like: rules are told apart by what stands in the second
    return after.join(GOOD.rsplit(before, 1)) if before.startswith("kind") else GOOD.replace(before, after, 1)


@pytest.mark.parametrize(("before", "after", "line", "says"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_gateway_check_finds_the_line(before: str, after: str, line: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = check(tmp_path, spoil(before, after), capsys)
    assert code == 1
    [problem] = [one for one in told.splitlines() if "ours.toml" in one][:1]
    assert problem.startswith(f"{tmp_path}/mappings/ours.toml:{line}: "), problem
    assert says in problem


def check(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run `gateway check` with this profile on a line of the district that we ship."""
    (folder / "mappings").mkdir()
    (folder / "mappings" / "ours.toml").write_text(text)
    root = Path(__file__).parents[2]
    (folder / "gateway.toml").write_text(
        f'[gateway]\ndistricts = "{root}/config/districts"\ndata = "var"\n[[line]]\nname = "b"\ncodec = "mapping"\nbroker = "mqtt://localhost"\n'
        '[line.options]\nmappings = ["ours", "zigbee2mqtt"]\n'
    )
    code = main(["check", "--config", str(folder / "gateway.toml"), "--lang", "en"])
    return code, capsys.readouterr().out


def test_a_good_profile_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = check(tmp_path, GOOD, capsys)
    assert (code, "can be used" in told) == (0, True), told


def test_too_many_expressions() -> None:
    events = "\n".join(f'[[rule.event]]\nkind = "telemetry"\nwhen = "a == \'{number}\'"' for number in range(32))
    rules = "\n".join(f'[[rule]]\nname = "r{number}"\ntopic = "a/{number}/{{device}}"\n{events}' for number in range(3))
    made, [problem] = read_profile(f'name = "x"\n{rules}', "x.toml")
    assert made is None
    assert f"a profile may have {MAX_EXPRESSIONS}" in problem.what


def test_a_faulty_profile_is_refused_alone(tmp_path: Path) -> None:
    bad = tmp_path / "ours.toml"
    bad.write_text(spoil("battery_pct = 50 }", "battery_pct = 51 }"))
    one = build_codec(MappingOptions(mappings=(str(bad), "zigbee2mqtt", "nothing")), Surroundings())
    assert [profile.name for profile in one.profiles] == ["zigbee2mqtt"]
    assert [refused.name for refused in one.refused] == ["ours", "nothing"]
    assert f"{bad}:{EXPECT}: test[1]" in one.refused[0].fault
    assert one.topics == ("zigbee2mqtt/#",)
    assert one.counts["profiles_refused"] == 2


def test_a_profile_beside_the_configuration_wins_over_ours(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "zigbee2mqtt.toml").write_text(GOOD.replace('"ours"', '"zigbee2mqtt"'))
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    options = '[line.options]\nmappings = ["zigbee2mqtt", "owntracks", "mappings/other.toml"]\n'
    (tmp_path / "gateway.toml").write_text(f'[[line]]\nname = "b"\ncodec = "mapping"\nbroker = "mqtt://localhost"\n{options}')
    [line] = read_config(tmp_path / "gateway.toml").line
    assert line.options["mappings"] == [str(tmp_path / "mappings/zigbee2mqtt.toml"), "owntracks", str(tmp_path / "mappings/other.toml")]


def test_parameters_of_the_line() -> None:
    loaded = load_profile("zigbee2mqtt", {"base": "house/z2m"}, "Asia/Shanghai")
    assert loaded.profile is not None
    assert loaded.profile.topics[0] == "house/z2m/#"
    assert "no parameter" not in "".join(loaded.told())
    assert "is not a parameter" in load_profile("zigbee2mqtt", {"bass": "x"}).told()[0]


@pytest.mark.parametrize("name", list(shipped_names()))
def test_every_shipped_profile_passes_its_samples(name: str) -> None:
    loaded = load_profile(name)
    assert loaded.told() == []
    assert loaded.profile is not None
    assert loaded.profile.tests, "a profile proves itself"
    assert set(loaded.profile.title) == {"zh-CN", "en"}
    assert loaded.profile.source
