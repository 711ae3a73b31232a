"""The register's files: the faults and doubts of a bad one, the two invented districts, and the reload."""

import csv
import gc
from datetime import date
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import register_cells as cells
from gateway.check_words import say
from gateway.config import read_config
from gateway.core.register import Ability, Assessment, Category, Register, Risk
from gateway.csv_file import FAULTS_SHOWN, CellFault
from gateway.errors import ConfigError
from gateway.register_files import read_all, read_register, reload

GOOD = {
    "district.toml": 'name = "small"\narea_code = "0931"\nlat = 36.3\nlon = 102.8\nnames = {zh-CN = "小区", en = "Small"}\n',
    "areas.csv": "id,name,kind,parent,lat,lon\nsmall,小区,district,,36.3,102.8\nstreet,一街道,street,small,36.31,102.81\n",
    "responders.csv": "id,name,kind,parent,areas,lat,lon,hours,channel,address,phone\n"
    "desk,坐席,desk,,,,,,console,,\nstation,驿站,station,hook,street,36.3,102.8,20:00-08:00,mqtt,,0931-5550001\n"
    "hook,服务商,provider,desk,,,,,webhook,https://example.org/orders,\nem,急救,emergency,desk,,,,,console,,120\n",
    "persons.csv": "id,name,born,area,home,lat,lon,phones,ability,categories,risks\n"
    "p-1,张三,1940,street,h-1,36.3,102.8,17400000001;0931-5550002,disabled,general;low_income,living_alone\n"
    "p-2,李四,,street,h-1,,,5550002,,,\n",
    "contacts.csv": "person,name,relation,phone\np-1,王五,女儿,+86 174 0000 0009\np-1,赵六,邻居,\n",
    "devices.csv": "id,line,person,home,area,place,lat,lon,model\nw-1,wearables,p-1,,,,,,\n201,,,h-1,,201房间,,,\n",
}


def write(folder: Path, **changed: str) -> Path:
    """The good folder with some files changed; keys as file names with _ for the dot. "" removes the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**GOOD, **{key.replace("_", "."): text for key, text in changed.items()}}.items():
        (folder / name).unlink(missing_ok=True)
        if text:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read_register(folder)
    return refused.value.problems


def doubts(register: Register) -> list[str]:
    return [say(doubt, "en").split(": ", 1)[1] for doubt in register.warnings]


@pytest.mark.parametrize(
    ("datum", "written"),
    [("", "39.90872,116.39748"), ("wgs84", "39.90872,116.39748"), ("gcj02", "39.910123,116.403724"), ("bd09", "39.916463,116.410097")],
)
def test_homes_and_devices_say_in_which_datum_they_are_written(tmp_path, datum, written):
    persons = f"id,name,lat,lon,datum\np-1,张三,{written},{datum}\np-2,李四,,,{datum}\n"
    devices = f"id,person,lat,lon,datum\nw-1,p-1,{written},{datum}\n201,p-2,,,\n"
    register = read_register(write(tmp_path, persons_csv=persons, contacts_csv="", devices_csv=devices))
    for one in (register.persons["p-1"], register.device("wearables", "w-1")):
        assert (one.lat, one.lon) == (pytest.approx(39.90872, abs=2e-6), pytest.approx(116.39748, abs=2e-6))
    assert register.persons["p-2"].lat is None


def test_devices_have_a_class_and_speak_through_others_and_persons_have_a_watch(tmp_path):
    persons = "id,name,watch\np-1,张三,alone\np-2,李四,\n"
    devices = "id,line,person,class,via\nw-1,wearables,p-1,watch,gw-1\n201,,p-2,,\ngw-1,wearables,,gateway,\n"
    register = read_register(write(tmp_path, persons_csv=persons, contacts_csv="", devices_csv=devices))
    assert (register.persons["p-1"].watch, register.persons["p-2"].watch) == ("alone", "")
    device = register.device("wearables", "w-1")
    assert (device.device_class, device.via) == ("watch", "gw-1")
    assert not [doubt for doubt in register.warnings if doubt.what == "unowned"]  # a gateway is nobody's
    wrong = "id,person,class,via\nw-1,p-1,Watch,\nw-2,p-1,,gw-9\nw-3,p-1,,w-3\n"
    problems = problems_of(write(tmp_path, persons_csv=persons, contacts_csv="", devices_csv=wrong))
    assert [problem.split("devices.csv: ")[1].split(";")[0] for problem in problems] == [
        "line 2: class: is no name of a section",
        "line 3: via: there is no device with this id",
        "line 4: via: is the device itself",
    ]


def test_a_datum_nobody_knows_and_an_order_nobody_meant_are_faults(tmp_path):
    persons = "id,name,lat,lon,datum\np-1,张三,39.9,116.4,gcj\np-2,李四,116.4,39.9,gcj02\n"
    first, second = problems_of(write(tmp_path, persons_csv=persons, contacts_csv="", devices_csv="id\nw-1\n"))
    assert first.endswith("persons.csv: line 2: datum: is not a word of the list; write wgs84, gcj02 (Amap, Tencent) or bd09 (Baidu)"), first
    assert "line 3: lat: latitude and longitude are exchanged" in second


def test_a_device_may_have_a_number_from_which_it_calls(tmp_path):
    header, *rows = GOOD["devices.csv"].splitlines()
    register = read_register(write(tmp_path, devices_csv="\n".join([f"{header},phone", f"{rows[0]},0931-555 0003", f"{rows[1]},"])))
    assert [device.id for device in register.devices_with_phone("+869315550003")] == ["w-1"]
    assert [person.id for person in register.persons_with_contact("+8617400000009")] == ["p-1"]


def test_a_device_registered_twice_with_two_numbers_calls_from_neither(tmp_path):
    header, *rows = GOOD["devices.csv"].splitlines()
    twice = "\n".join([f"{header},phone", f"{rows[0]},09315550003", f"{rows[0]},09315550004"])
    register = read_register(write(tmp_path, devices_csv=twice))
    assert register.devices_with_phone("+869315550003") == register.devices_with_phone("+869315550004") == ()


def test_a_good_folder_is_read(tmp_path):
    register = read_register(write(tmp_path))
    assert (register.district, register.name, register.names["en"], register.area_code, register.centre) == (
        "small",
        "小区",
        "Small",
        "0931",
        (36.3, 102.8),
    )
    first = register.persons["p-1"]
    assert first.phones == ("+8617400000001", "+869315550002")
    assert (first.born, first.ability, first.risks) == (1940, Ability.DISABLED, (Risk.LIVING_ALONE,))
    assert first.categories == (Category.GENERAL, Category.LOW_INCOME)
    assert [(one.name, one.phone) for one in first.contacts] == [("王五", "+8617400000009"), ("赵六", "")]
    assert [one.id for one in register.persons_with_phone("+869315550002")] == ["p-1", "p-2"]
    assert register.device("anything", "201").home == "h-1"
    assert register.responders["em"].phone == "120"
    assert doubts(register) == ["1 person without coordinates: p-2", "1 person without a contact: p-2"]
    assert [say(doubt, "zh-CN").partition("：")[2] for doubt in register.warnings] == ["1 位老年人没有坐标：p-2", "1 位老年人没有联系人：p-2"]


def test_equal_strings_are_one_object(tmp_path):
    register = read_register(write(tmp_path))
    assert register.device("wearables", "w-1").person is register.persons["p-1"].id
    assert register.persons["p-1"].home is register.persons["p-2"].home


def test_a_byte_order_mark_and_crlf_are_welcome(tmp_path):
    text = "\ufeff" + GOOD["persons.csv"].replace("\n", "\r\n")
    assert len(read_register(write(tmp_path, persons_csv=text)).persons) == 2


def test_the_version_names_the_bytes(tmp_path):
    first = read_register(write(tmp_path)).version
    assert read_register(tmp_path).version == first
    assert read_register(write(tmp_path, persons_csv=GOOD["persons.csv"] + "p-3,钱七,,,,,,,,,\n")).version != first


def test_responders_without_a_channel_are_left_out_and_their_children_move_up(tmp_path):
    register = read_register(write(tmp_path), {"mqtt", "console"})
    assert "hook" not in register.responders
    assert register.responders["station"].parent == "desk"
    assert "1 responder left out, because [dispatch.webhook] is not configured: hook" in doubts(register)


BAD = [
    ("missing file", "areas.csv", None, "areas.csv:", "create the file"),
    ("unknown column", "areas.csv", ("lat,lon", "latt,lon"), "line 1: latt:", "did you mean lat?"),
    ("no header", "contacts.csv", ("person,name,relation,phone\n", ""), "line 1: column 2:", "columns: person"),
    ("column twice", "areas.csv", ("parent,lat", "lat,lat"), "line 1: lat:", "remove one"),
    ("column missing", "persons.csv", ("id,name,born", "id,address,born"), "line 1: name:", "add the column"),
    ("cells", "areas.csv", ("36.3,102.8\n", "36.3,102.8,\n"), "line 2:", "correct the commas"),
    ("quotes", "persons.csv", ("李四", '"李四'), "line 3:", "correct the quotes"),
    ("empty id", "devices.csv", ("w-1,", ","), "line 2: id:", "write it"),
    ("bad id", "areas.csv", ("street,一", "str/eet,一"), "areas.csv: line 3: id:", "letters, digits"),
    ("unknown area", "persons.csv", ("1940,street", "1940,nowhere"), "line 2: area:", "add it to areas.csv"),
    ("unknown area of a responder", "responders.csv", ("hook,street", "hook,street;gone"), "line 3: areas:", "add it to areas.csv"),
    ("unknown parent", "areas.csv", ("street,small", "street,gone"), "line 3: parent:", "correct the id"),
    ("unknown parent of a responder", "responders.csv", ("station,hook", "station,gone"), "line 3: parent:", "correct the id"),
    ("unknown person", "devices.csv", ("p-1", "p-9"), "line 2: person:", "add it to persons.csv"),
    ("unknown person of a contact", "contacts.csv", ("p-1,赵六", "p-9,赵六"), "line 3: person:", "add the person"),
    ("circle", "areas.csv", ("district,,", "district,street,"), "line 2: parent:", "small → street → small"),
    ("own parent", "areas.csv", ("street,small", "street,street"), "line 3: parent:", "street → street"),
    ("latitude", "persons.csv", ("36.3,102.8", "136.5,-102.8"), "line 2: lat:", "from -90 to 90"),
    ("longitude", "persons.csv", ("36.3,102.8", "36.3,1102.8"), "line 2: lon:", "from -180 to 180"),
    ("exchanged", "persons.csv", ("36.3,102.8", "102.8,36.3"), "line 2: lat:", "exchanged"),
    ("not a number", "persons.csv", ("36.3,102.8", "nan,102.8"), "line 2: lat:", "from -90 to"),
    ("half a position", "persons.csv", ("36.3,102.8", "36.3,"), "line 2: lon:", "both or neither"),
    ("same person twice", "persons.csv", ("p-2", "p-1"), "line 3: id:", "stands in line 2 too"),
    ("same responder twice", "responders.csv", ("em,", "desk,"), "line 5: id:", "stands in line 2 too"),
    ("telephone", "persons.csv", ("5550002,,,", "12349,,,"), "line 3: phones:", "several are separated by ;"),
    ("telephone of a contact", "contacts.csv", ("0009", "00091"), "line 2: phone:", "several are separated by ;"),
    ("ability", "persons.csv", ("disabled", "unwell"), "line 2: ability:", "self_caring, semi_disabled, disabled"),
    ("risk", "persons.csv", ("living_alone", "alone"), "line 2: risks:", "advanced_age, living_alone"),
    ("kind", "responders.csv", ("provider", "company"), "line 4: kind:", "station, street_centre"),
    ("hours", "responders.csv", ("20:00-08:00", "8-20"), "line 3: hours:", "HH:MM-HH:MM"),
    ("hours of nothing", "responders.csv", ("20:00-08:00", "20:00-20:00"), "line 3: hours:", "leave it empty for always"),
    ("channel", "responders.csv", ("mqtt", "pigeon"), "line 3: channel:", "mqtt, webhook, phone, sip"),
    ("web address missing", "responders.csv", ("https://example.org/orders", ""), "line 4: address:", "write the web address"),
    ("emergency number", "responders.csv", ("em,急救,emergency", "em,急救,provider"), "line 5: phone:", "only a responder of kind emergency"),
    ("no desk", "responders.csv", ("坐席,desk", "坐席,provider"), "responders.csv: kind:", "every chain of escalation ends there"),
    ("year", "persons.csv", ("1940", "40"), "line 2: born:", "from 1900 to 2100"),
    ("district", "district.toml", ("area_code = ", "area_cod = "), "district.toml: area_cod:", "did you mean area_code?"),
    ("half a centre", "district.toml", ("lon = 102.8\n", ""), "district.toml: lat:", "write both"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "where", "remedy"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_each_fault_names_file_place_and_remedy(tmp_path, file, change, where, remedy):
    text = "" if change is None else GOOD[file].replace(change[0], change[1], 1)
    assert text != GOOD[file]
    folder = write(tmp_path / "small", **{file.replace(".", "_"): text})
    problems = problems_of(folder)
    told = [problem for problem in problems if file in problem and where in problem and remedy in problem]
    assert len(told) == 1, problems
    assert not any(private in problem for problem in problems for private in ("张三", "李四", "王五", "5550002", "1740"))


def test_all_files_tell_their_faults_at_once(tmp_path):
    folder = write(
        tmp_path,
        district_toml="name = 3\n",
        persons_csv=GOOD["persons.csv"].replace("1940", "x").replace("living_alone", "y"),
        devices_csv=GOOD["devices.csv"].replace("p-1", "p-9"),
        responders_csv=GOOD["responders.csv"].replace("mqtt", "pigeon"),
    )
    problems = problems_of(folder)
    assert [Path(problem.partition(": ")[0]).name for problem in problems] == [
        "district.toml",
        "responders.csv",
        "persons.csv",
        "persons.csv",
        "devices.csv",
    ]


def test_faults_beyond_a_page_are_counted(tmp_path):
    rows = "".join(f"q-{number},王五,x,,,,,,,,\n" for number in range(FAULTS_SHOWN + 7))
    problems = problems_of(write(tmp_path, persons_csv=GOOD["persons.csv"] + rows))
    assert len(problems) == FAULTS_SHOWN + 1
    assert "7 more faults" in problems[-1]


def test_gbk_is_recognised_as_not_utf8(tmp_path):
    folder = write(tmp_path)
    (folder / "persons.csv").write_bytes(GOOD["persons.csv"].encode("gbk"))
    assert any("persons.csv: line 2: is not UTF-8" in problem and "CSV UTF-8" in problem for problem in problems_of(folder))


@pytest.mark.parametrize("file", ["areas.csv", "persons.csv"])
@pytest.mark.parametrize("how", ["gbk", "missing", "header", "quotes"])
def test_what_points_into_a_file_that_cannot_be_read_is_no_fault_of_its_own(tmp_path, file, how):
    folder = write(tmp_path)
    text = GOOD[file]
    if how == "missing":
        (folder / file).unlink()
    elif how == "gbk":
        (folder / file).write_bytes(text.encode("gbk"))
    else:
        changed = text.replace("id,", "ident,", 1) if how == "header" else text.replace("\n", '\n"x"y,', 1)
        (folder / file).write_text(changed, encoding="utf-8")
    problems = problems_of(folder)
    assert {Path(problem.partition(": ")[0]).name for problem in problems} == {file}
    assert len(problems) <= 2  # a header may have two faults
    assert not any("with this id" in problem for problem in problems)


def test_a_device_registered_twice_names_nobody(tmp_path):
    rows = GOOD["devices.csv"] + "w-1,wearables,p-2,,street,,,,\n201,corridor-panel,p-2,,,,,,\n"
    register = read_register(write(tmp_path, devices_csv=rows))
    assert register.device("wearables", "w-1").person is None
    assert register.device("corridor-panel", "201").person == "p-2"
    assert any("2 devices registered twice" in warning and "w-1, 201" in warning for warning in doubts(register))
    assert "1 device nobody owns: w-1" in doubts(register)


def test_doubts_are_told_and_do_not_refuse(tmp_path):
    folder = write(
        tmp_path,
        persons_csv=GOOD["persons.csv"].replace("李四", "養(yǎng)老"),
        devices_csv=GOOD["devices.csv"] + "w-2,,,,street,,,,\n",
        responders_csv=GOOD["responders.csv"].replace("mqtt", ""),
    )
    register = read_register(folder)
    warnings = doubts(register)
    assert "1 name that looks damaged: p-2" in warnings
    assert "1 device nobody owns: w-2" in warnings
    assert "1 station with an empty channel (an operator tells it): station" in warnings
    assert register.responders["station"].channel == "console"


@pytest.mark.parametrize("name", ["張伟华", "å¼ ä¼Ÿ", "张?", "张�", "養(yǎng)老", "张San", "张\x85", "ÕÅÈý"])
def test_damaged_names(name):
    assert cells.is_name_damaged(name)


@pytest.mark.parametrize("name", ["张伟", "張偉", "阿依古丽·买买提", "王喆", "Maria Santos", "欧阳娜娜", "О'Брайен"])
def test_sound_names(name):
    assert not cells.is_name_damaged(name)


PHONES = [
    ("17400000001", "+8617400000001"),
    ("174 0000 0001", "+8617400000001"),
    ("+86 174-0000-0001", "+8617400000001"),
    ("008617400000001", "+8617400000001"),
    ("8617400000001", "+8617400000001"),
    ("(0931)5550001", "+869315550001"),
    ("5550001", "+869315550001"),
    ("+86 571 55550001", "+8657155550001"),
    ("+44 20 7946 0958", "+442079460958"),
]


@pytest.mark.parametrize(("text", "e164"), PHONES)
def test_telephones_become_e164(text, e164):
    assert cells.phone("0931")(text) == e164


@given(st.from_regex(r"(\+86|0086|86|0)?(1[3-9][0-9]{9}|[2-9][0-9]{8,10}|[0-9]{3,12})", fullmatch=True))
def test_the_fast_way_agrees_with_the_library(text):
    try:
        ours = cells.phone("")(text)
    except CellFault:
        ours = None
    try:
        parsed = phonenumbers.parse(text, "CN")
        theirs = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if phonenumbers.is_valid_number(parsed) else None
    except phonenumbers.NumberParseException:
        theirs = None
    assert ours == theirs


FILES = st.sampled_from(sorted(GOOD))


@given(FILES, st.data())
def test_nothing_but_config_error_whatever_the_files_hold(tmp_path_factory, file, data):
    """Bytes at random, and good files with some bytes changed."""
    folder = write(tmp_path_factory.getbasetemp() / "any")
    good = GOOD[file].encode()
    at = data.draw(st.integers(0, len(good)))
    junk = data.draw(st.binary(max_size=8) | st.sampled_from([b",", b"\n", b'"', b";", b"\0", b"p-1", b"9" * 400, "\u2028".encode()]))
    keep = data.draw(st.booleans())
    (folder / file).write_bytes(good[:at] + junk + good[at + len(junk) * keep :] if data.draw(st.booleans()) else junk)
    try:
        assert isinstance(read_register(folder), Register)
    except ConfigError:
        pass
    assert gc.isenabled()


class TestReload:
    @pytest.fixture
    def house(self, tmp_path):
        write(tmp_path / "districts" / "honggu")
        (tmp_path / "gateway.toml").write_text("[gateway]\ndrain_s = 5\n[policy.major]\nreply_s = 100\n")
        return tmp_path / "gateway.toml"

    def test_policy_and_register_come_into_force_the_rest_waits(self, house):
        config, register = read_all(house)
        house.write_text(
            '[gateway]\ndrain_s = 6\n[console]\nlisten = "127.0.0.1:1"\n[policy.major]\nreply_s = 90\n[calls]\ncall_back_s = 60\narea_code = "0931"\n'
        )
        write(house.parent / "districts" / "honggu", persons_csv=GOOD["persons.csv"] + "p-3,钱七,,,,,,,,,\n")
        after, fresh = reload(house, config)
        assert (after.policy.major.reply_s, after.calls.call_back_s, after.calls.area_code) == (90, 60, "")
        assert (after.gateway, after.console) == (config.gateway, config.console)
        assert after.waiting == ("gateway.drain_s", "console.listen", "calls.area_code")
        assert len(fresh.persons) == len(register.persons) + 1

    def test_what_decisions_ask_each_time_waits_for_no_restart(self, house):
        config, _ = read_all(house)
        more = '[[plan]]\nname = "gas"\nkinds = ["gas"]\n[[team]]\nname = "falls"\nkinds = ["fall"]\nroles = ["medical"]\n[visiting]\nkm = 30\n'
        house.write_text(f'[gateway]\ndrain_s = 5\n[desk]\nflood_over = 8\n[shelving]\nkinds = ["power_cut"]\n{more}')
        after, _ = reload(house, config)
        assert (after.desk.flood_over, after.shelving.kinds, after.visiting.km, after.waiting) == (8, ("power_cut",), 30, ())
        assert ([one.name for one in after.plan], [one.roles for one in after.team]) == (["gas"], [("medical",)])

    def test_a_bad_file_leaves_everything_as_it_was(self, house):
        config, _ = read_all(house)
        before = read_config(house)
        house.write_text("[policy.major]\nreply_s = -1\n")
        with pytest.raises(ConfigError):
            reload(house, config)
        assert config == before

    def test_a_bad_register_is_refused_too(self, house):
        config, _ = read_all(house)
        write(house.parent / "districts" / "honggu", persons_csv="id\n")
        with pytest.raises(ConfigError):
            reload(house, config)


def test_a_fault_line_is_what_an_editor_shows(tmp_path):
    rows = 'p-3,"钱\n七",,,,,,,,,\np-4,孙八,x,,,,,,,,\n'
    problems = problems_of(write(tmp_path, persons_csv=GOOD["persons.csv"] + rows))
    [line] = [number for number, text in enumerate((GOOD["persons.csv"] + rows).splitlines(), 1) if text.startswith("p-4")]
    assert any(f"persons.csv: line {line}: born:" in problem for problem in problems)
    assert csv.field_size_limit() == 131072  # the module's own limit holds: a cell is never a book


def test_an_assessment_says_by_whom_when_and_until(tmp_path):
    head = "id,name,ability,confirmed_on,confirmed_by,assessor,assessed_on,assessed_until\n"
    rows = "p-1,张三,disabled,2026-03-01,street,第三方评估,2026-02-01,2027-01-31\np-2,李四,,,,第三方评估,2026-02-01,2027-01-31\np-3,王五,,,,,,\n"
    persons = read_register(write(tmp_path, persons_csv=head + rows, contacts_csv="", devices_csv="id\n")).persons
    assert persons["p-1"].assessed == Assessment(assessor="第三方评估", on=date(2026, 2, 1), until=date(2027, 1, 31))
    assert persons["p-1"].assessed is persons["p-2"].assessed, "an assessor's day is one object, however many were assessed"
    assert persons["p-3"].assessed is None
    assert (persons["p-1"].confirmed_on, persons["p-1"].confirmed_by) == ("2026-03-01", "street")
    for row, where in (
        ("p-1,张三,,,,,2026-02-01,\n", "assessor: is empty"),
        ("p-1,张三,,,,x,,2026-02-01\n", "assessed_on: is empty"),
        ("p-1,张三,,,,x,2026-02-02,2026-02-01\n", "assessed_until: is before"),
        ("p-1,张三,,2026-02-30,,,,\n", "confirmed_on: is no day"),
    ):
        told = problems_of(write(tmp_path, persons_csv=head + row, contacts_csv="", devices_csv="id\n"))
        assert len(told) == 1, told
        assert where in told[0]
