"""What codes mean: the tables themselves, dialects, and which rule wins."""

import pytest

from drivers.panel.accounts import read_accounts, read_accounts_file
from drivers.panel.contact_id_codes import CODES, Payload, code_of, read_payload
from drivers.panel.meaning import MeaningOptions, Meanings
from drivers.panel.sia_codes import SIA_CODES, sia_code_of
from gateway.event import ALARM_KINDS, Kind, Phase


def kind(meanings: Meanings, text: str, account: str = "4711") -> Kind:
    payload = read_payload(text)
    assert payload is not None
    return meanings.contact_id(account, payload).kind


# After the sheet's table; "by class" rows are not in it.
SHEET = """
100 medical; 101 sos; 102 missed_checkin; 110 fire; 111 smoke; 112 fire; 113 fire; 114 fire; 115 fire; 117 fire; 118 fire; 120 sos; 121 duress;
122 duress; 123 sos; 124 duress; 125 duress; 130 intrusion; 139 intrusion; 144 tamper; 147 offline; 150 general; 151 gas; 152 temperature;
153 temperature; 154 water_leak; 158 temperature; 159 temperature; 162 co; 301 power_cut; 302 low_battery; 311 low_battery; 344 fault; 354 fault;
355 offline; 381 offline; 383 tamper; 384 low_battery; 391 inactivity; 401 telemetry; 406 cancel; 570 telemetry; 601 test; 602 test; 603 test;
606 telemetry; 608 test; 641 inactivity; 654 inactivity; 199 general; 299 fault; 399 fault; 499 telemetry; 599 telemetry; 699 test; 999 general
"""


@pytest.mark.parametrize("row", SHEET.replace("\n", " ").split(";"))
def test_kinds(row: str) -> None:
    code, expected = row.split()
    assert code_of(code).kind == expected


def test_users_of_the_sheet() -> None:
    listed = "121 313 400-409 411-415 421 422 424 425 429-431 441 442 450-459 462-464 466 574 604 607 625 642 652 653"
    wanted = set()
    for part in listed.split():
        first, _, last = part.partition("-")
        wanted |= {str(code) for code in range(int(first), int(last or first) + 1)}
    assert {code for code, row in CODES.items() if row.by_user} == wanted


@pytest.mark.parametrize("code", ["121", "122", "124", "125"])
def test_duress_is_silent(code: str) -> None:
    assert code_of(code).silent


def test_every_alarm_of_class_1_that_is_no_alarm_is_about_the_device() -> None:
    others = {code for code, row in CODES.items() if code[0] == "1" and row.kind not in ALARM_KINDS}
    assert others == {"137", "141", "142", "143", "144", "145", "147", "156"}


@pytest.mark.parametrize(("text", "found"), [
    ("1101 00 005", Payload("1", "101", "00", "005")),
    ("110100005", Payload("1", "101", "00", "005")),
    ("E10100005", Payload("1", "101", "00", "005")),
    ("R101 00 005", Payload("3", "101", "00", "005")),
    ("P30201000", Payload("6", "302", "01", "000")),
    ("2101 00 005", None),
    ("1A01 00 005", None),
    ("1101 0 005", None),
    ("1101 00 0055", None),
    ("", None),
])  # fmt: skip
def test_payload(text: str, found: Payload | None) -> None:
    assert read_payload(text) == found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("MA", ("medical", "raise")), ("MH", ("medical", "clear")), ("MR", ("medical", "clear")), ("MT", ("fault", "raise")),
        ("QA", ("sos", "raise")), ("QR", ("sos", "clear")), ("PA", ("sos", "raise")), ("HA", ("duress", "raise")), ("FA", ("fire", "raise")),
        ("GA", ("gas", "raise")), ("WA", ("water_leak", "raise")), ("WR", ("water_leak", "clear")), ("KA", ("fire", "raise")),
        ("ZA", ("temperature", "raise")), ("TA", ("tamper", "raise")), ("TR", ("tamper", "clear")), ("AT", ("power_cut", "raise")),
        ("AR", ("power_cut", "clear")), ("YT", ("low_battery", "raise")), ("YR", ("low_battery", "clear")), ("XT", ("low_battery", "raise")),
        ("XR", ("low_battery", "clear")), ("YP", ("fault", "raise")), ("YQ", ("fault", "clear")), ("YC", ("fault", "raise")),
        ("YK", ("fault", "clear")), ("RP", ("test", "test")), ("RX", ("test", "test")), ("NA", ("inactivity", "raise")),
        ("NS", ("inactivity", "clear")), ("JK", ("missed_checkin", "raise")), ("OC", ("cancel", "raise")), ("OP", ("telemetry", "state")),
        ("QQ", ("general", "raise")), ("CH", ("restore", "raise")),
    ],
)  # fmt: skip
def test_sia_codes(code: str, expected: tuple[str, str]) -> None:
    row = sia_code_of(code)
    assert (str(row.kind), str(row.phase)) == expected


def test_no_composed_code_hides_one_of_its_own() -> None:
    assert SIA_CODES["UX"].kind is Kind.GENERAL
    assert SIA_CODES["TT"].kind is Kind.TAMPER
    assert SIA_CODES["BA"].name == "burglary alarm"


def test_dialects() -> None:
    standard, climax, vesta = (Meanings(MeaningOptions(dialect=name)) for name in ("standard", "climax", "vesta"))
    rows = {"102": ("missed_checkin", "fall", "fall"), "120": ("sos", "fall", "sos"), "662": ("general", "sos", "general")}
    rows["384"] = ("low_battery", "low_battery", "low_battery")
    for code, expected in rows.items():
        assert tuple(kind(one, f"1{code} 00 001") for one in (standard, climax, vesta)) == expected
    meaning = climax.contact_id("4711", Payload("1", "120", "00", "001"))
    assert meaning.detail["event"] == "fall sensor triggered"
    assert (meaning.detail["rule"], meaning.detail["standard_kind"]) == ("climax", "sos")


def test_zone_before_code_before_dialect() -> None:
    meanings = Meanings(MeaningOptions(dialect="climax", codes={"120": "help"}, zones={"4711:005": "smoke", "4712:*": "general"}))
    assert kind(meanings, "1120 00 005") is Kind.SMOKE
    assert kind(meanings, "1120 00 006") is Kind.HELP
    assert kind(meanings, "1102 00 006") is Kind.FALL
    assert kind(meanings, "1120 00 006", "4712") is Kind.GENERAL
    assert meanings.contact_id("4711", Payload("1", "120", "00", "005")).detail["rule"] == "zones.4711:005"


def test_a_zones_rule_is_about_its_alarms() -> None:
    meanings = Meanings(MeaningOptions(zones={"4711:005": "fall"}))
    assert kind(meanings, "1384 00 005") is Kind.LOW_BATTERY
    assert kind(meanings, "1602 00 005") is Kind.TEST
    assert kind(meanings, "1121 00 005") is Kind.DURESS, "005 is a user there"
    assert meanings.contact_id("4711", Payload("3", "101", "00", "005"))[:2] == (Kind.FALL, Phase.CLEAR)
    assert meanings.sia("4711", "QA", "5").kind is Kind.FALL, "the same zone in both formats"
    assert meanings.sia("4711", "YT", "5").kind is Kind.LOW_BATTERY


def test_an_account_before_its_line() -> None:
    own, _ = read_accounts({"4711": {"dialect": "vesta", "codes": {"120": "fall"}, "zones": {"*": "help"}}})
    rules = {name: account.meaning for name, account in own.items() if account.meaning is not None}
    meanings = Meanings(MeaningOptions(codes={"120": "general", "QA": "medical"}), rules)
    assert kind(meanings, "1120 00 005") is Kind.HELP
    assert kind(meanings, "1120 00 005", "4712") is Kind.GENERAL
    assert meanings.sia("4712", "QA", "").kind is Kind.MEDICAL


def test_an_alarm_that_is_taken_away_says_so() -> None:
    meaning = Meanings(MeaningOptions(codes={"130": "telemetry"})).contact_id("4711", Payload("1", "130", "00", "001"))
    assert (meaning.kind, meaning.phase) == (Kind.TELEMETRY, Phase.STATE)
    assert (meaning.detail["rule"], meaning.detail["standard_kind"]) == ("codes.130", "intrusion")


def test_a_test_that_is_made_an_alarm_is_raised() -> None:
    assert Meanings(MeaningOptions(codes={"602": "sos"})).contact_id("4711", Payload("1", "602", "00", "001")).phase is Phase.RAISE


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"codes": {"12": "fall"}}, "codes: '12'"),
        ({"codes": {"120": "nothing"}}, "codes: '120'"),
        ({"codes": {"120": "acknowledge"}}, "codes: '120'"),
        ({"zones": {"005": "fall"}}, "zones: '005'"),
        ({"zones": {"4711:005": ""}}, "zones: '4711:005'"),
    ],
)
def test_faults_of_options_name_key_and_remedy(options: dict[str, dict[str, str]], named: str) -> None:
    with pytest.raises(ValueError, match="write") as raised:
        MeaningOptions(**options)  # type: ignore[arg-type]
    assert named in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[8A8A]\nkey = "00"\n', "a.toml: 8A8A.key: has 2 hex digits; write 32, 48 or 64"),
        ('[8A8A]\nkey_text = "short"\n', "a.toml: 8A8A.key_text: has 5 characters; write 16, 24 or 32, of ASCII only"),
        ("[8A8A]\nmust_encrypt = true\n", "a.toml: 8A8A.key: is missing beside must_encrypt; write it, or key_text"),
        ("[8A8A]\nkeys = 1\n", "a.toml: 8A8A.keys: is not known; did you mean key?"),
        ("[8A8A]\nmust_encrypt = 1\n", "a.toml: 8A8A.must_encrypt: "),
        ("[8A8A]\nwindow_s = [5, 20]\n", "a.toml: 8A8A.window_s: does not hold our own time"),
        ('[8A8A]\ndialect = "klingon"\n', "a.toml: 8A8A.dialect: 'klingon' is not possible; correct it: one of standard, climax, vesta"),
        ('[8A8A]\ncodes = {"1" = "fall"}\n', "a.toml: 8A8A.codes: '1'"),
        ('[8A8A]\nzones = {"005" = "what"}\n', "a.toml: 8A8A.zones: '8A8A:005'"),
        ("[8a8a]\n[8A8A]\n", "a.toml: 8A8A stands twice"),
        ('["not an account"]\n', "a.toml: not an account.name: "),
        ("8A8A = 5\n", "a.toml: 8A8A.name: is no table"),
        ("[8A8A\n", "a.toml: is no valid TOML (at line 1"),
    ],
)
def test_faults_of_an_accounts_file(text: str, problem: str) -> None:
    _, problems = read_accounts_file(text, "a.toml")
    assert [one[: len(problem)] for one in problems] == [problem]


def test_a_bypassed_zone_is_a_technical_matter() -> None:
    """As the sheet's table has it: somebody may be without the alarm of that zone."""
    assert code_of("570").category == "T"
