"""Numbers as people and exchanges write them, and which header says who is calling."""

import pytest

from drivers.sip.caller import Trust, identify
from drivers.sip.message import parse_message
from drivers.sip.number import NumberPlan
from tests.sip.sip_wire import Dialog

PLAN = NumberPlan(hotlines=("12349", "12345", "6212345"), area_code="0931", strip=("9",))
MOBILE, LANZHOU = "+8613893112345", "+869318412345"


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        # 1 international
        ("+8613893112345", MOBILE),
        ("008613893112345", MOBILE),
        ("+86-138-9311-2345", MOBILE),
        ("+86013893112345", MOBILE),
        ("+8609318412345", LANZHOU),
        ("%2B8613893112345", MOBILE),
        ("+12024561111", "+12024561111"),
        # 2 country code without a plus
        ("8613893112345", MOBILE),
        ("869318412345", LANZHOU),
        ("862161234567", "+862161234567"),
        # 3 mobile, with a trunk 0 too; Beijing is no mobile
        ("13893112345", MOBILE),
        ("138 9311 2345", MOBILE),
        ("１３８９３１１２３４５", MOBILE),
        ("013893112345", MOBILE),
        ("01084123456", "+861084123456"),
        # 4 area code and subscriber
        ("09318412345", LANZHOU),
        ("0931-8412345", LANZHOU),
        ("(0931)8412345", LANZHOU),
        ("02161234567", "+862161234567"),
        ("057187654321", "+8657187654321"),
        ("075583456789", "+8675583456789"),
        # 5 local
        ("8412345", LANZHOU),
        # 6 operator prefixes
        ("1795113893112345", MOBILE),
        ("17909013893112345", MOBILE),
        ("1259313893112345", MOBILE),
        ("1180809318412345", LANZHOU),
        # 7 what the PBX adds
        ("913893112345", MOBILE),
        ("98412345", LANZHOU),
        # phone-context and other parameters
        ("13893112345;phone-context=+86", MOBILE),
        # 8 not E.164
        *((raw, None) for raw in ("110", "119", "120", "122", "12345", "12349", "10086", "95588", "96123", "4001234567", "8008101234")),
        *((raw, None) for raw in ("106901234567", "8200", "8001", "093112349")),
        # 9 anything else
        *(
            (raw, None)
            for raw in ("", "anonymous", "+", "00", "alarm-01", "1234567", "+86", "+861", "+8612349", "1" * 40, "9" * 5000, "١٣٨٩٣١١٢٣٤٥"[:3])
        ),
    ],
)
def test_number(raw: str, e164: str | None) -> None:
    assert PLAN.e164(raw) == e164


def test_a_service_number_is_no_subscriber() -> None:
    assert NumberPlan(area_code="0931").e164("95533777") is None


def test_a_local_number_without_an_area_code_stays_as_it_is() -> None:
    assert NumberPlan().e164("8412345") is None


@pytest.mark.parametrize(
    ("called", "hotline"),
    [
        ("12349", "12349"),
        ("+8612349", "12349"),
        ("8612349", "12349"),
        ("008612349", "12349"),
        ("093112349", "12349"),
        ("+8693112349", "12349"),
        ("0931-12349", "12349"),
        ("912349", "12349"),
        ("6212345", "6212345"),
        ("09316212345", "6212345"),
        ("+869316212345", "6212345"),
        ("057112349", None),
        ("8001", None),
        ("110", None),
        ("", None),
        ("123490", None),
    ],
)
def test_hotline(called: str, hotline: str | None) -> None:
    assert PLAN.hotline(called) == hotline


def test_any_area_when_ours_is_not_configured() -> None:
    assert NumberPlan(hotlines=("12349",)).hotline("093112349") == "12349"


def who(extra: str, *, trusted: bool = True, caller: str = "13893100001", **options: object) -> tuple[str, str, str, str]:
    found = identify(parse_message(Dialog(caller=caller, extra=extra).request()), trusted, PLAN, **options)  # type: ignore[arg-type]
    return found.raw, found.source, found.presentation, found.redirecting


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("P-Asserted-Identity: <sip:gw@192.0.2.1>, <tel:+8613893112345>", ("+8613893112345", "p_asserted_identity", "allowed", "")),
        ("Remote-Party-ID: <sip:13893112345@x>;party=calling;privacy=full", ("13893112345", "remote_party_id", "restricted", "")),
        ("Remote-Party-ID: <sip:1@x>;party=called, <sip:2@x>;screen=no, <sip:3@x>;screen=yes", ("3", "remote_party_id", "allowed", "")),
        ("Privacy: id;critical", ("13893100001", "from", "restricted", "")),
        ("Diversion: <sip:8412345@x>;reason=no-answer, <sip:1@x>", ("13893100001", "from", "allowed", "8412345")),
        (
            "History-Info: <sip:8412345@x>;index=1, <sip:12349@x;cause=302>;index=1.1",
            ("13893100001", "from", "allowed", "8412345"),
        ),
    ],
)
def test_headers_of_a_trusted_peer(extra: str, expected: tuple[str, ...]) -> None:
    assert who(extra) == expected


def test_nobody_else_is_believed() -> None:
    told = "P-Asserted-Identity: <sip:13893112345@x>\r\nDiversion: <sip:8412345@x>"
    assert who(told, trusted=False) == ("13893100001", "from", "allowed", "")


@pytest.mark.parametrize("caller", ["anonymous", "Anonymous", "unavailable", "unknown", "Restricted"])
def test_an_anonymous_caller_is_a_caller(caller: str) -> None:
    assert who("", caller=caller)[:2] == ("", "none")


def test_the_sites_own_header_and_contact() -> None:
    assert who("X-Real-Number: 013893112345", caller="anonymous", headers=("X-Real-Number",))[:2] == ("013893112345", "x_real_number")
    assert who("X-Real-Number: <sip:13893112345@gw>", caller="anonymous", headers=("X-Real-Number",))[0] == "13893112345"
    assert who("Contact: <sip:13893112345@x>", caller="anonymous", contact=True)[:2] == ("13893112345", "contact")
    assert who("Contact: <sip:13893112345@x>", caller="anonymous")[1] == "none"


def test_trust_is_by_address_or_network() -> None:
    trust = Trust(("192.0.2.10", "2001:db8::/32"))
    assert [trust.covers(peer) for peer in ("192.0.2.10", "192.0.2.11", "2001:db8::5", "::ffff:192.0.2.10", "", "x")] == [
        True,
        False,
        True,
        True,
        False,
        False,
    ]
