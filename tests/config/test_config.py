"""gateway.toml: what is right is read, what is wrong is told, all at once, with file, key and remedy; nothing else is ever raised."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, LineConfig, read_config
from gateway.errors import ConfigError

DEFAULT = Path(__file__).parents[2] / "config" / "gateway.toml"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with an empty configuration and an empty district honggu."""
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text("")
    return tmp_path / "gateway.toml"


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read_config(path)
    return refused.value.problems


def test_the_default_configuration_says_what_the_types_default_to():
    config = read_config(DEFAULT)
    assert config.policy == Config().policy
    assert config.store == Config().store
    assert config.console == Config().console
    assert [line.name for line in config.line] == ["wearables", "station-replies", "corridor-panel", "corridor-buttons", "pbx"]
    assert config.channels == {"mqtt", "console"}
    assert config.district_folder.is_dir()


def test_the_default_configuration_shows_every_key():
    """An operations person learns the keys from the file: each one is in it, at least in a comment."""
    text = DEFAULT.read_text()
    for kind in (Config, LineConfig, *(field.type for field in msgspec.structs.fields(Config))):
        for field in msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ():
            if field.name not in ("path", "waiting", "chains"):
                assert field.name in text, f"{kind.__name__}.{field.name} is not shown"


def test_an_empty_file_gives_the_defaults(house):
    assert read_config(house) == Config(path=str(house))


def test_a_severity_partly_written_keeps_the_rest_of_its_own_defaults(house):
    house.write_text("[policy.critical]\nreply_s = 30\n")
    policy = read_config(house).policy
    assert (policy.critical.reply_s, policy.critical.order) == (30, "at_once")
    assert policy.major == Config().policy.major


def test_paths_are_relative_to_the_file(house):
    house.write_text('[gateway]\ndata = "state"\n')
    assert read_config(house).data_folder == house.parent / "state"


LINE = '[[line]]\nname = "a"\ncodec = "espa444"\nlisten = "serial:/dev/x"\n'

BAD = [
    ("unknown key", "[store]\nulr = 'x'", "store.ulr", "did you mean url?"),
    ("unknown table", "[colsole]", "colsole", "did you mean console?"),
    ("unknown key without likeness", "[log]\nzzz = 1", "log.zzz", "known here: format, level"),
    ("ours alone", "path = 'x'", "path", "did you mean"),
    ("wrong type", "[gateway]\ndrain_s = 'ten'", "gateway.drain_s", "for example drain_s = 10"),
    ("a flag is no number", "[gateway]\ndrain_s = true", "gateway.drain_s", "expected a number"),
    ("not a table", "gateway = 3", "gateway", "write [gateway]"),
    ("not a list of tables", "line = 3", "line", "write [[line]]"),
    ("a line that is no table", "line = [3]", "line[1]", "must be a table"),
    ("negative", "[policy.minor]\nreply_s = -1", "policy.minor.reply_s", "for example"),
    ("zero", "[policy]\nidle_remind_s = 0", "policy.idle_remind_s", "for example"),
    ("not a number", "[policy]\nidle_remind_s = nan", "policy.idle_remind_s", "for example"),
    ("infinite", "[policy]\nidle_remind_s = inf", "policy.idle_remind_s", "for example"),
    ("order", "[policy.major]\norder = 'sometimes'", "policy.major.order", "one of at_once, unacknowledged, operator"),
    ("log level", "[log]\nlevel = 'loud'", "log.level", "one of debug, info, warning, error"),
    ("language", "[gateway]\nlanguage = 'fr'", "gateway.language", "one of zh-CN, en"),
    ("store", "[store]\nurl = 'mysql://x'", "store.url", "write sqlite:///"),
    ("district", "[gateway]\ndistrict = 'atlantis'", "gateway.district", "there is no folder districts/atlantis"),
    ("district outside", "[gateway]\ndistrict = '../x'", "gateway.district", "for example district = \"honggu\""),
    ("console open to all", "[console]\naccounts = false\nlisten = '0.0.0.0:12349'", "console.listen", "write accounts = true"),
    ("console on the network", "[console]\naccounts = false\nlisten = '192.168.1.2:12349'", "console.listen", "write accounts = true"),
    ("console by name", "[console]\naccounts = false\nlisten = 'gateway.lan:12349'", "console.listen", "write accounts = true"),
    ("console without address", "[console]\naccounts = false\nlisten = ':12349'", "console.listen", "write accounts = true"),
    ("console without port", "[console]\naccounts = false\nlisten = '127.0.0.1'", "console.listen", "write 127.0.0.1:12349"),
    ("area code", "[calls]\narea_code = '931'", "calls.area_code", "0931"),
    ("hotline", "[calls]\nhotlines = ['12349', 'x']", "calls.hotlines[2]", "correct it"),
    ("agent", "[calls.agents]\n8001 = 'Li'\n8002 = 5", "calls.agents.8002", "correct it"),
    ("no name", "[[line]]\ncodec = 'espa444'\nlisten = 'serial:/dev/x'", "line[1].name", "write it"),
    ("name with a space", LINE.replace('"a"', '"a b"'), "line[1].name", "correct it"),
    ("our name", LINE.replace('"a"', '"hand_overs"'), "line[1].name", "give the line another name"),
    ("same name", LINE + LINE, "line[2].name", "give each line a name of its own"),
    ("silence", LINE + "silence_s = 0", "line[1].silence_s", "correct it"),
    ("neither", '[[line]]\nname = "a"\ncodec = "x"', "line[1].listen", "exactly one of listen, connect and broker"),
    ("both", LINE + 'broker = "mqtt://h:1"', "line[1].listen", "exactly one of listen, connect and broker"),
    ("client endpoint", LINE.replace("listen", "connect"), "line[1].connect", "write tcp:HOST:PORT"),
    ("endpoint", LINE.replace("serial:", "seriall:"), "line[1].listen", "begin with serial:"),
    ("endpoint without rest", LINE.replace("serial:/dev/x", "udp:"), "line[1].listen", "begin with serial:"),
    ("broker", '[[line]]\nname = "a"\ncodec = "x"\nbroker = "http://h"', "line[1].broker", "write mqtt://HOST"),
    ("broker's port", '[[line]]\nname = "a"\ncodec = "x"\nbroker = "mqtt://h:99999"', "line[1].broker", "write mqtt://HOST"),
    ("password in the address", '[[line]]\nname = "a"\ncodec = "x"\nbroker = "mqtt://u:secret@h"', "line[1].broker", "password_file"),
    ("option file", LINE + "[line.options]\nmapping_file = 'gone'", "line[1].options.mapping_file", "create it"),
    ("password file", "[dispatch.mqtt]\nbroker = 'mqtt://h'\npassword_file = 'gone'", "dispatch.mqtt.password_file", "create it"),
    ("no broker", "[dispatch.mqtt]\n", "dispatch.mqtt.broker", "for example broker = \"mqtt://127.0.0.1:1883\""),
    ("secret", "[dispatch.webhook]\n", "dispatch.webhook.secret_file", "write it"),
    ("broken TOML", "[gateway\n", "", "correct that line"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "remedy"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_each_fault_names_file_key_and_remedy(house, text, key, remedy):
    house.write_text(text)
    [problem] = problems_of(house)
    assert problem.startswith(f"{house}: {key}: " if key else str(house))
    assert remedy in problem
    assert "secret@" not in problem


def test_all_faults_are_told_at_once(house):
    house.write_text(
        LINE
        + "silence_s = 'x'\n"
        + LINE
        + "[console]\naccounts = false\nlisten = '0.0.0.0:1'\n[gateway]\ndistrict = 'gone'\n[policy.major]\norder = 'x'\ncolour = 1\n"
    )
    keys = [problem.removeprefix(f"{house}: ").partition(":")[0] for problem in problems_of(house)]
    assert sorted(keys) == ["console.listen", "gateway.district", "line[1].silence_s", "line[2].name", "policy.major.colour", "policy.major.order"]


@pytest.mark.parametrize("listen", ["127.0.0.1:12349", "127.1.2.3:1", "[::1]:12349", "localhost:0"])
def test_the_console_may_listen_on_loopback(house, listen):
    house.write_text(f'[console]\naccounts = false\nlisten = "{listen}"\n')
    assert read_config(house).console.listen == listen


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    assert "cannot be read" in problems_of(tmp_path / "gone.toml")[0]
    assert "cannot be read" in problems_of(tmp_path)[0]
    (tmp_path / "gbk.toml").write_bytes("[calls.agents]\n8001 = '坐席'".encode("gbk"))
    assert "UTF-8" in problems_of(tmp_path / "gbk.toml")[0]
    (tmp_path / "huge.toml").write_bytes(b"#" * (1 << 21))
    assert "larger" in problems_of(tmp_path / "huge.toml")[0]
    (tmp_path / "deep.toml").write_text("a = " + "[" * 50_000)
    assert "no valid TOML" in problems_of(tmp_path / "deep.toml")[0]
    (tmp_path / "long.toml").write_text("[gateway]\ndistricts = '" + "x" * 5000 + "'")
    assert "no folder" in problems_of(tmp_path / "long.toml")[0]


KEYS = st.sampled_from(
    ["gateway", "store", "console", "line", "policy", "dispatch", "calls", "listen", "url", "name", "broker", "codec", "drain_s", "options"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def toml(value: object) -> str:
    """Inline TOML of anything hypothesis thinks of; None becomes a bare word, which is no TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(one):08x}" if not one.isascii() or not one.isprintable() or one in '"\\' else one for one in value) + '"'
    return str(value).lower()


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_table_raises_anything_but_config_error(tmp_path_factory, tables):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in tables.items()))
    with pytest.raises(ConfigError) as refused:  # there is no district folder beside it: it is always refused
        read_config(path)
    assert all(problem.startswith(str(path)) for problem in refused.value.problems)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_config_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        read_config(path)


def test_the_example_of_a_webhook_can_be_uncommented(house):
    lines = DEFAULT.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# [dispatch.webhook]"))
    section = "\n".join(line.removeprefix("# ") for line in lines[start : start + 3])
    assert set(tomllib.loads(section)["dispatch"]["webhook"]) == {"secret_file", "timeout_s"}
    (house.parent / "webhook.secret").write_text("x")
    house.write_text(section)
    assert read_config(house).channels == {"console", "webhook"}


def test_files_of_line_options_are_relative_to_the_file(house, monkeypatch, tmp_path_factory):
    (house.parent / "hep.key").write_text("secret")
    house.write_text('[[line]]\nname = "pbx"\ncodec = "hep"\nlisten = "udp:9060"\n[line.options]\nauth_key_file = "hep.key"\n')
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (line,) = read_config(house).line
    assert line.options["auth_key_file"] == str(house.parent.resolve() / "hep.key")


def test_a_line_names_a_class_that_is_there_and_names_stand_once(house):
    house.write_text(
        '[[line]]\nname = "a"\ncodec = "generic"\nbroker = "mqtt://127.0.0.1"\ndevice_class = "watches"\n'
        '[[device_class]]\nname = "watch"\ninterval_s = 60\ngrace_s = 60\n[[device_class]]\nname = "watch"\ninterval_s = 60\ngrace_s = 60\n'
        '[[watch]]\nname = "alone"\n[[watch]]\nname = "alone"\n'
    )
    with pytest.raises(ConfigError) as refused:
        read_config(house)
    assert [problem.split("gateway.toml: ")[-1].split(";")[0] for problem in refused.value.problems] == [
        "device_class[2].name: there is a device_class 'watch' already",
        "watch[2].name: there is a watch 'alone' already",
        "line[1].device_class: there is no device_class 'watches'",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = "a"\nkinds = ["low_battery"]\nroles = ["medical"]', "team[1].kinds"),
        ('name = "a"\nkinds = ["illness", "fall", "sick"]\nroles = ["medical"]', "team[1].kinds"),
        ('name = "a"\nkinds = ["sos"]', "team[1].roles"),
        ('name = "a"\nkinds = ["sos"]\nroles = ["hospital"]', "team[1].roles[1]"),
        ('name = "a"\nkinds = ["sos"]\ncall = "911"', "team[1].call"),
        ('name = "a"\nkinds = ["sos"]\ncall = "120"\n[[team]]\nname = "a"\nkinds = ["sos"]\ncall = "110"', "team[2].name"),
    ],
)
def test_a_team_that_could_never_go_is_refused(house, text, key):
    house.write_text(f"[[team]]\n{text}\n")
    (problem,) = problems_of(house)
    assert problem.startswith(f"{house}: {key}: ")


def test_teams_of_ones_own_take_the_place_of_ours(house):
    assert [team.name for team in read_config(house).team] == ["illness", "doctor", "neighbours", "fire"]
    house.write_text('[[team]]\nname = "mine"\nkinds = ["person"]\nroles = ["neighbour"]\n[visiting]\nkm = 5\n')
    config = read_config(house)
    assert [team.name for team in config.team] == ["mine"]
    assert config.visiting.km == 5


def test_a_watch_that_could_never_work_is_refused(house):
    house.write_text(
        '[[watch]]\nname = "a"\nquiet = "07:00-07:00"\nsigns = ["motion", "dispatch"]\nsteps = ["call", "call"]\n'
        '[[watch]]\nname = "b"\nquiet = "22:00-24:30"\n'
    )
    problems = problems_of(house)
    for told in (
        "watch[1].quiet: '07:00-07:00' is the whole day",
        "watch[1].signs: 'dispatch' is nothing that a device or telephone tells",
        "watch[1].steps: names a step twice",
        "watch[2].quiet: is not written as it must be; write it like 22:00-07:00",
    ):
        assert any(told in problem for problem in problems), (told, problems)


PLAN = '[[plan]]\nname = "a"\n'
STEP = '[[plan.step]]\nword = "look"\nzh = "看"\nen = "Look"\n'


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (PLAN + 'kinds = ["sos", "sick"]', "plan[1].kinds"),
        (PLAN + 'needs = ["rich"]', "plan[1].needs[1]"),
        (PLAN + 'when = ["always"]', "plan[1].when[1]"),
        (PLAN + 'hotlines = ["999"]', "plan[1].hotlines"),
        (PLAN + '[[plan.step]]\nword = "look"\nzh = "看"', "plan[1].step"),
        (PLAN + STEP + STEP, "plan[1].step"),
        (PLAN + STEP + 'ticked_by = "magic"', "plan[1].step[1].ticked_by"),
        (PLAN + PLAN, "plan[2].name"),
    ],
)
def test_a_plan_that_nobody_could_walk_is_refused(house, text, key):
    house.write_text(f"{text}\n")
    (problem,) = problems_of(house)
    assert problem.startswith(f"{house}: {key}: ")


def test_a_plan_of_ones_own_is_read(house):
    house.write_text(PLAN + 'kinds = ["gas"]\nseverities = ["critical"]\n' + STEP + 'required = true\n[[plan.step]]\nword = "dispatch"\n')
    (plan,) = read_config(house).plan
    assert [(step.word, step.required, step.ticks) for step in plan.step] == [("look", True, "hand"), ("dispatch", False, "dispatch")]
