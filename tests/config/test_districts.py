"""The two invented districts: clean, reproducible, with the figures of the plans they follow; and what `gateway check` says of them."""

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway import check, register_files
from gateway.check_words import DOUBTS, WORDS
from gateway.core.register import Ability, AreaKind, Register, ResponderKind
from gateway.register_files import read_register

CONFIG = Path(__file__).parents[2] / "config"
DISTRICTS = CONFIG / "districts"


@pytest.fixture(scope="module")
def honggu() -> Register:
    return read_register(DISTRICTS / "honggu")


@pytest.fixture(scope="module")
def gongshu() -> Register:
    return read_register(DISTRICTS / "gongshu")


def kinds(register: Register) -> Counter[ResponderKind]:
    return Counter(responder.kind for responder in register.responders.values())


def test_the_generator_writes_the_same_bytes_again(tmp_path):
    subprocess.run([sys.executable, str(DISTRICTS / "generate.py"), "--into", str(tmp_path)], check=True, capture_output=True)
    for district in ("honggu", "gongshu"):
        written = sorted(path.name for path in (tmp_path / district).iterdir())
        assert written == sorted(path.name for path in (DISTRICTS / district).iterdir())
        for name in written:
            assert (tmp_path / district / name).read_bytes() == (DISTRICTS / district / name).read_bytes(), name


def test_the_full_district_begins_with_the_committed_one(tmp_path):
    command = [sys.executable, str(DISTRICTS / "generate.py"), "honggu", "--full", "--into", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    committed = (DISTRICTS / "honggu" / "persons.csv").read_text()
    assert (tmp_path / "honggu" / "persons.csv").read_text().startswith(committed)
    assert len(read_register(tmp_path / "honggu").persons) == 10_000


def test_honggu_has_the_stations_of_its_plan(honggu):
    stations = [one for one in honggu.responders.values() if one.kind is ResponderKind.STATION]
    in_village = Counter(honggu.areas[one.areas[0]].kind for one in stations)
    assert in_village == {AreaKind.COMMUNITY: 18, AreaKind.VILLAGE: 22}
    assert kinds(honggu)[ResponderKind.HEALTH_STATION] == 5
    assert kinds(honggu)[ResponderKind.STREET_CENTRE] == 8
    assert len(honggu.persons) == 2000


def test_gongshu_has_ten_streets_and_eight_centres(gongshu):
    streets = {area.name for area in gongshu.areas.values() if area.kind is AreaKind.STREET}
    assert streets == {f"{name}街道" for name in ("上塘", "祥符", "半山", "米市巷", "小河", "拱宸桥", "和睦", "大关", "湖墅", "康桥")}
    centres = {one.areas[0] for one in gongshu.responders.values() if one.kind is ResponderKind.STREET_CENTRE}
    assert {gongshu.areas[area].name for area in gongshu.areas if gongshu.areas[area].kind is AreaKind.STREET and area not in centres} == {
        "湖墅街道",
        "康桥街道",
    }
    for one in gongshu.responders.values():
        if one.kind is ResponderKind.STATION:
            street = gongshu.areas[one.areas[0]].parent
            assert one.parent == (f"centre-{street}" if street in centres else "district-centre")


def test_gongshu_has_forty_care_centres_thirty_of_them_medical(gongshu):
    care = [one for one in gongshu.responders.values() if one.id.startswith("care-")]
    assert len(care) == 40
    assert sum("medical-basic" in one.skills for one in care) == 30


def test_gongshu_has_the_shares_of_its_figures(gongshu):
    """2,055 and 787 of 22,000; 15,000 aged 80+ is drawn as 45 % of the watched: within three standard deviations."""
    abilities = Counter(person.ability for person in gongshu.persons.values())
    count = len(gongshu.persons)
    for ability, share in ((Ability.SEMI_DISABLED, 2055 / 22000), (Ability.DISABLED, 787 / 22000)):
        assert abs(abilities[ability] - count * share) < 3 * (count * share) ** 0.5


def test_a_street_of_many_elders_has_two_on_duty(gongshu):
    assert gongshu.responders["centre-shangtang"].capacity == 2  # 21 %
    assert gongshu.responders["centre-xiangfu"].capacity == 1  # 16 %


@pytest.mark.parametrize("name", ["honggu", "gongshu"])
def test_every_chain_of_parents_ends_at_the_desk(name, request):
    register: Register = request.getfixturevalue(name)
    assert kinds(register)[ResponderKind.DESK] == 1
    assert register.responders["district-centre"].parent == "desk"
    for one in register.responders.values():
        while one.parent is not None:
            one = register.responders[one.parent]
        assert one.kind is ResponderKind.DESK


@pytest.mark.parametrize("name", ["honggu", "gongshu"])
def test_every_district_holds_what_real_registers_hold(name, request):
    register: Register = request.getfixturevalue(name)
    numbers = Counter(phone for person in register.persons.values() for phone in person.phones)
    assert any(count == 2 for count in numbers.values())
    assert any(person.lat is None for person in register.persons.values())
    assert any(not person.contacts for person in register.persons.values())
    assert register.device("wearables", "w-999999").person is None
    assert register.device("corridor-panel", "201").person == "p-00001"
    assert register.device("corridor-panel", "236").home == "care-home-236"
    assert sum(one.line == "corridor-panel" for one in register.devices) == 40
    assert register.device("corridor-buttons", "000005:2").person in register.persons
    assert [one.id for one in register.responders.values() if one.channel == "webhook"] == ["provider-web"]
    assert not any(doubt.what == "damaged_names" for doubt in register.warnings)


def run_check(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    check.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["check", *arguments])
    code = args.run(args)
    assert isinstance(code, int)
    return code


@pytest.fixture
def no_lines(monkeypatch):
    """The lines are checked by the drivers' own tests; here every line is good."""
    monkeypatch.setattr(check, "check_line", lambda _line: [])


@pytest.mark.usefixtures("no_lines")
@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        (
            "zh-CN",
            [
                "红古区 (honggu)",
                "社区驿站：40",
                "健康医养驿站：5",
                "老年人：2000",
                "红古镇：",
                "无人认领的设备：2 (240、w-999999)",
                "必备",
                "配置可以使用",
            ],
        ),
        (
            "en",
            [
                "Honggu District (honggu)",
                "stations: 40",
                "Persons: 2000",
                "Devices nobody owns: 2",
                "corridor-panel: espa444, serial:",
                "can be used",
            ],
        ),
    ],
)
def test_check_sums_the_district_up(capsys, lang, expected):
    assert run_check("--config", str(CONFIG / "gateway.toml"), "--lang", lang) == 0
    out = capsys.readouterr().out
    for text in expected:
        assert text in out


@pytest.mark.usefixtures("no_lines")
def test_check_speaks_the_language_of_the_file_and_names_nobody(capsys, honggu):
    assert run_check("--config", str(CONFIG / "gateway.toml")) == 0
    out = capsys.readouterr().out
    assert "配置可以使用" in out
    for person in honggu.persons.values():
        assert person.name not in out
        assert not any(phone in out or phone[3:] in out for phone in person.phones)
        assert not person.address or person.address not in out


def test_check_tells_faults_of_file_lines_and_register_together(capsys, tmp_path):
    folder = tmp_path / "districts" / "honggu"
    folder.mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text('[gateway]\nlanguage = "en"\ncolour = 1\n[[line]]\nname = "a"\ncodec = "telepathy"\nlisten = "udp:1"\n')
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("faults, the configuration cannot be used:")
    assert int(lines[0].split()[0]) == len(lines) - 1
    for text in ("gateway.colour", "telepathy", "persons.csv", "district.toml"):
        assert any(text in line for line in lines[1:])


@pytest.mark.usefixtures("no_lines")
def test_check_doubts_devices_on_a_line_that_is_not_configured(capsys, tmp_path):
    (tmp_path / "gateway.toml").write_text(f'[gateway]\ndistricts = "{DISTRICTS}"\nlanguage = "en"\n')
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 0
    assert "40 devices on line 'corridor-panel'" in capsys.readouterr().out


@pytest.mark.usefixtures("no_lines")
def test_check_tells_its_doubts_in_chinese(capsys, tmp_path):
    (tmp_path / "gateway.toml").write_text(f'[gateway]\ndistricts = "{DISTRICTS}"\n')
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 0
    heading, *doubts = capsys.readouterr().out.partition("\n\n")[2].strip().splitlines()
    assert heading == "8 处提醒（不影响运行）："
    assert all(re.match(r"/\S+/\w+\.csv：\d+ [个位台][^:,()]+：\S+(，另有 \d+ 个)?$", doubt) for doubt in doubts[:8]), doubts
    assert any("1 个响应方不参与派单，因为没有配置 [dispatch.webhook]：provider-web" in doubt for doubt in doubts)


TELEPHONY = """[gateway]
districts = "{districts}"
[calls]
hotlines = {hotlines}
[telephone]
line = "{dials}"
[[line]]
name = "pbx"
codec = "ami"
connect = "tcp:127.0.0.1:5038"
[[line]]
name = "units"
codec = "sip"
listen = "udp:5060:interface=127.0.0.1"
options = {{also = ["tcp:5060:interface=127.0.0.1", "udp:5062:interface=127.0.0.1"], subscribe = ["sip:8001@pbx.example"]}}
[[line]]
name = "own"
codec = "hep"
listen = "udp:9060:interface=127.0.0.1"
options = {{hotlines = ["12349"]}}
"""


@pytest.mark.usefixtures("no_lines")
@pytest.mark.parametrize(
    ("lang", "doubt", "telephone", "also"),
    [
        (
            "en",
            "2 lines of telephony without a hotline",
            "Dialling: possible, over line pbx",
            "also listens on: tcp:5060:interface=127.0.0.1, udp:",
        ),
        ("zh-CN", "2 条电话线路没有热线号码", "外呼：可以拨打，经由线路 pbx", "另听：tcp:5060:interface=127.0.0.1、udp:5062:"),
    ],
)
def test_check_sums_telephony_up_and_doubts_that_calls_would_be_heard(capsys, tmp_path, lang, doubt, telephone, also):
    file = tmp_path / "gateway.toml"
    file.write_text(TELEPHONY.format(districts=DISTRICTS, hotlines="[]", dials="pbx"))
    assert run_check("--config", str(file), "--lang", lang) == 0
    out = capsys.readouterr().out
    assert telephone in out
    assert also in out
    [line] = [line for line in out.splitlines() if doubt in line]
    assert line.startswith(str(file))
    assert re.search(r"pbx(, |、)units$", line)
    file.write_text(TELEPHONY.format(districts=DISTRICTS, hotlines='["12349"]', dials=""))
    assert run_check("--config", str(file), "--lang", lang) == 0
    out = capsys.readouterr().out
    assert doubt not in out
    assert telephone.split(":")[0].split("：")[0] + (": not configured" if lang == "en" else "：未配置") in out


@pytest.mark.usefixtures("no_lines")
@pytest.mark.parametrize(
    ("url", "is_doubtful"),
    [
        ("http://neighbour.example/api/v1/hand-overs", True),
        ("http://192.0.2.9:12349/x", True),
        ("https://neighbour.example/x", False),
        *((f"http://{here}/x", False) for here in ("127.0.0.1:12350", "[::1]:12350", "localhost:12350")),
    ],
)
def test_check_doubts_a_hand_over_in_clear(capsys, tmp_path, url, is_doubtful):
    (tmp_path / "secret").write_text("x" * 32)
    text = f'[gateway]\ndistricts = "{DISTRICTS}"\n[[hotline]]\nnumber = "12345"\nhand_over = "{url}"\nsecret_file = "secret"\n'
    (tmp_path / "gateway.toml").write_text(text)
    assert run_check("--config", str(tmp_path / "gateway.toml"), "--lang", "en") == 0
    assert ("1 hotline to which hand_over sends personal data in clear: write https://: 12345" in capsys.readouterr().out) is is_doubtful


def test_every_doubt_has_its_words_in_both_languages():
    assert DOUBTS["zh-CN"].keys() == DOUBTS["en"].keys()
    assert WORDS["zh-CN"].keys() == WORDS["en"].keys()
    used = set(re.findall(r'(?:_warn|Doubt)\("(\w+)"', Path(register_files.__file__).read_text() + Path(check.__file__).read_text()))
    assert used == DOUBTS["en"].keys()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('codec = "generic"\nbroker = "http://x"', "broker"),
        ('codec = "generic"', "listen"),
        ('codec = "generic"\nlisten = "tcp:1"', "listen"),
        ('codec = "espa444"\nlisten = "foo:bar"', "listen"),
        ('codec = "hep"\nlisten = "udp:99999999"', "listen"),
        ('codec = "hep"\nlisten = "udp:9060"\noptions = {auth_key_file = "nowhere"}', "options.auth_key_file"),
    ],
)
def test_check_tells_one_wrong_address_once(capsys, tmp_path, line, key):
    (tmp_path / "gateway.toml").write_text(f'[gateway]\ndistricts = "{DISTRICTS}"\nlanguage = "en"\n[[line]]\nname = "a"\n{line}\n')
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 1
    heading, *problems = capsys.readouterr().out.splitlines()
    assert heading == "1 fault, the configuration cannot be used:"
    assert len(problems) == 1
    assert key in problems[0]
