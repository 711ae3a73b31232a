"""The invented districts and the city: clean, reproducible, with the figures of the plans they follow; and what `gateway check` says of them."""

import argparse
import csv
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import check
from gateway.check_territory import territory_doubts
from gateway.check_words import DOUBTS, WORDS
from gateway.core.capability import skills_of
from gateway.core.duty import CHINA, duty_of
from gateway.core.geometry import FINENESS, area_of
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


@pytest.fixture(scope="module")
def beijing() -> Register:
    return read_register(DISTRICTS / "beijing")


def kinds(register: Register) -> Counter[ResponderKind]:
    return Counter(responder.kind for responder in register.responders.values())


def test_the_generator_writes_the_same_bytes_again(tmp_path):
    subprocess.run([sys.executable, str(DISTRICTS / "generate.py"), "--into", str(tmp_path)], check=True, capture_output=True)
    for district in ("honggu", "gongshu", "beijing"):
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
    assert kinds(honggu)[ResponderKind.NEIGHBOUR] == 22
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
    assert {one.kind for one in care} == {ResponderKind.CARE_CENTRE}
    assert sum("medical-basic" in skills_of(one) for one in care) == 30
    assert {100, 101, 500, 501} <= {one.beds for one in care}
    assert {gongshu.providers[one.id].scale for one in care} == {3, 5}


def test_every_rural_house_of_honggu_has_a_partner_in_town(honggu):
    rural = {
        one.id for one in honggu.responders.values() if one.kind is ResponderKind.STATION and honggu.areas[one.areas[0]].kind is AreaKind.VILLAGE
    }
    assert {one.helped for one in honggu.agreements.values()} == rural
    assert not rural.intersection(one.helper for one in honggu.agreements.values())


def test_beijing_has_four_levels_and_four_hundred_stations(beijing):
    assert kinds(beijing)[ResponderKind.STATION] == 400
    assert kinds(beijing)[ResponderKind.DISTRICT_CENTRE] == 16
    station = beijing.responders["station-u01"]
    levels = [station.kind]
    while station.parent is not None:
        station = beijing.responders[station.parent]
        levels.append(station.kind)
    assert [kind.value for kind in levels] == ["station", "street_centre", "district_centre", "city_centre", "desk"]
    districts = {one.id for one in beijing.areas.values() if one.kind is AreaKind.DISTRICT}
    assert len(districts) == 16
    assert {name for one in beijing.agreements.values() for name in (one.helper, one.helped)} == districts


def test_at_night_one_is_on_duty_where_two_are_by_day(gongshu):
    station = gongshu.responders["station-u03"]
    day, night = (datetime(2026, 11, 18, hour, tzinfo=CHINA) for hour in (10, 22))
    assert [(duty_of(gongshu, station, now).capacity, duty_of(gongshu, station, now).is_open) for now in (day, night)] == [(2, True), (1, True)]
    assert duty_of(gongshu, gongshu.responders["station-u01"], datetime(2026, 12, 31, 10, tzinfo=CHINA)).is_open is False


@pytest.mark.parametrize("name", ["honggu", "gongshu", "beijing"])
def test_every_community_lies_in_its_own_border(name, request):
    register: Register = request.getfixturevalue(name)
    halved = {area.parent for area in register.areas.values() if area.kind is AreaKind.GRID}
    leaves = [area for area in register.areas.values() if FINENESS[area.kind] < FINENESS[AreaKind.STREET] and area.id not in halved]
    assert [area.id for area in leaves if area_of(register, area.lat, area.lon) != area.id] == []


@pytest.mark.parametrize("name", ["honggu", "gongshu", "beijing"])
def test_what_is_doubted_about_the_tree_is_what_the_plans_have(name, request):
    register: Register = request.getfixturevalue(name)
    now = datetime(2026, 11, 18, tzinfo=CHINA)
    told = {doubt.what: doubt.ids for doubt in territory_doubts(register, DISTRICTS / name, now)}
    assert told == ({"no_centre": ("hushu", "kangqiao")} if name == "gongshu" else {})


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
                "邻里互助员：22",
                "服务商协议：已准入 3",
                "协作与对口支援协议：22",
                "有边界的区域：49",
                "健康医养驿站：5",
                "老年人：2000",
                "红古镇：",
                "无人认领的设备：3 (240、gw-hualong、w-999999)",
                "必备",
                "配置可以使用",
            ],
        ),
        (
            "en",
            [
                "Honggu District (honggu)",
                "stations: 40",
                "Agreements with providers: admitted 3",
                "Agreements of mutual aid: 22",
                "Persons: 2000",
                "Devices nobody owns: 3",
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
def test_check_tells_its_doubts_in_chinese(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("gateway.check.utc_now", lambda: datetime(2026, 11, 18, tzinfo=UTC))  # the invented people were asked in 2025
    (tmp_path / "gateway.toml").write_text(f'[gateway]\ndistricts = "{DISTRICTS}"\n')
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 0
    heading, *doubts = capsys.readouterr().out.partition("\n\n")[2].strip().splitlines()
    assert heading == "10 处提醒（不影响运行）："
    assert all(re.match(r"/\S+/\w+\.csv：\d+ [个位台][^:,()]+：\S+(，另有 \d+ 个)?$", doubt) for doubt in doubts[:10]), doubts
    assert any("1 个响应方不参与派单，因为没有配置 [dispatch.webhook]：provider-web" in doubt for doubt in doubts)


@pytest.mark.usefixtures("no_lines")
@pytest.mark.parametrize(("watches", "is_told"), [("", False), ('[[watch]]\nname = "alone"\n', True)])
def test_check_doubts_who_lives_alone_unwatched_and_who_can_give_no_sign(capsys, tmp_path, watches, is_told):
    folder = tmp_path / "districts" / "honggu"
    folder.mkdir(parents=True)
    for path in (DISTRICTS / "honggu").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    persons = folder / "persons.csv"
    header, *rows = persons.read_text().splitlines()
    columns = header.split(",")
    table = [dict(zip(columns, next(csv.reader([row])), strict=True)) for row in rows]
    for number, person in enumerate(table):
        person |= {"risks": "living_alone" if number < 3 else "", "watch": "alone" if number in (2, 3) else "", "phones": ""}
    with persons.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys([*columns, "watch"])))
        writer.writeheader()
        writer.writerows(table)
    (folder / "devices.csv").write_text(f"id,line,person\nw-1,,{table[2]['id']}\n")
    (tmp_path / "gateway.toml").write_text(f'[gateway]\nlanguage = "en"\n{watches}')
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 0
    out = capsys.readouterr().out
    assert (f"2 persons living alone or without kin have no watch: fill the column watch: {table[0]['id']}, {table[1]['id']}" in out) is is_told
    assert (f"so that no sign of life can come: register one: {table[3]['id']}" in out) is is_told


@pytest.mark.usefixtures("no_lines")
def test_check_doubts_who_was_not_confirmed_for_a_year_and_groups_without_a_robot(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("gateway.check.utc_now", lambda: datetime(2026, 11, 18, 2, tzinfo=UTC))
    folder = tmp_path / "districts" / "honggu"
    folder.mkdir(parents=True)
    (folder / "district.toml").write_text('name = "x"\n')
    (folder / "areas.csv").write_text("id,name,kind\nhonggu,x,district\n")
    days = ("2025-11-16", "2025-11-17", "2026-11-18", "")
    (folder / "persons.csv").write_text("id,name,confirmed_on\n" + "".join(f"p{number},Invented,{day}\n" for number, day in enumerate(days)))
    (folder / "devices.csv").write_text("id\n")
    (folder / "responders.csv").write_text("id,name,kind,channel,address\ndesk,d,desk,console,\na,a,station,robot,group\nb,b,station,robot,gruop\n")
    (tmp_path / "gateway.toml").write_text('[gateway]\nlanguage = "en"\n[[dispatch.robot]]\nname = "group"\nkind = "wecom"\nurl_file = "group.url"\n')
    (tmp_path / "group.url").write_text("https://example.org/key=x\n")
    assert run_check("--config", str(tmp_path / "gateway.toml")) == 0
    out = capsys.readouterr().out
    assert "2 persons whose entries nobody has confirmed for a year: ask, and write confirmed_on: p0, p3" in out
    assert "1 responder at the robot 'gruop', which the configuration does not have" in out
    assert ": b\n" in out
    (folder / "persons.csv").write_text(
        "id,name,ability,confirmed_on,assessor,assessed_on,assessed_until\n"
        "p0,Invented,disabled,,third-party,2025-01-01,2026-11-17\np1,Invented,,,third-party,2025-01-01,2026-11-18\np2,Invented,,,,,\n"
    )
    run_check("--config", str(tmp_path / "gateway.toml"))
    out = capsys.readouterr().out
    assert "1 person whose assessment has ended: have it done anew: p0" in out
    assert "confirmed for a year" not in out, "a district that does not write it down is not told each time"


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
    here = Path(check.__file__).parent
    source = "".join(path.read_text() for pattern in ("register_*.py", "check*.py") for path in here.glob(pattern))
    used = set(re.findall(r'(?:warn|Doubt|doubt)\(\s*"(\w+)"', source))
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


def test_the_summary_names_every_way_out_and_no_password(tmp_path, capsys):
    for name in ("sms", "group"):
        (tmp_path / name).write_text("https://group.example/send?key=k")
    (tmp_path / "gateway.toml").write_text(
        f'[gateway]\ndistricts = "{DISTRICTS}"\n'
        '[dispatch.sms]\nurl = "https://us:pass-word@sms.example/send"\nform = { to = "{phone}", text = "{text}" }\n'
        '[dispatch.email]\nserver = "mail.example:587"\nsender = "a@b.example"\n'
        '[dispatch.modem]\nline = "modem"\n[[line]]\nname = "modem"\ncodec = "gsm_modem"\nlisten = "serial:/dev/ttyUSB0"\n'
        '[[dispatch.robot]]\nname = "street"\nkind = "wecom"\nurl_file = "group"\n'
    )
    run_check("--config", str(tmp_path / "gateway.toml"), "--lang", "en")
    said = capsys.readouterr().out
    assert "  sms: sms.example\n  modem: modem\n  email: mail.example:587\n  robot: street\n" in said
    assert "pass-word" not in said
