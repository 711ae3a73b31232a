"""The SIP parser: RFC 4475, and what gateways in the field do to the text."""

import contextlib
import time

import pytest

from drivers.sip.message import MAX_HEAD, MalformedMessage, NameAddr, Uri, check_strictly, parse_message, parse_params, split_list
from tests.sip.rfc4475 import TORTURE, Torture, torture

INVITE = (
    b"INVITE sip:12349@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK-1\r\nFrom: <sip:13893100001@192.0.2.20>;tag=a\r\n"
    b"To: <sip:12349@192.0.2.10>\r\nCall-ID: x@192.0.2.20\r\nCSeq: 1 INVITE\r\nContent-Length: 4\r\n\r\nv=0\n"
)


def outcome(data: bytes, *, strict: bool) -> str:
    try:
        message = parse_message(data)
        if strict:
            check_strictly(message)
    except MalformedMessage as fault:
        return fault.reason
    return "good"


@pytest.mark.parametrize("row", TORTURE, ids=lambda row: row.id)
def test_rfc4475(row: Torture) -> None:
    assert len(row.wire) == row.octets
    assert outcome(row.wire, strict=True) == row.strict
    assert outcome(row.wire, strict=False) == (row.lenient or row.strict)


def test_the_score(capsys: pytest.CaptureFixture[str]) -> None:
    """27 must be parsed, by a user agent and by a watcher; 8 a user agent must refuse; nothing may raise anything else."""
    score = {"parse": 0, "refuse": 0, "crash": 0}
    for row in TORTURE:
        try:
            strict, lenient = outcome(row.wire, strict=True), outcome(row.wire, strict=False)
        except Exception:
            score["crash"] += 1
            continue
        if row.set == "parse":
            score["parse"] += strict == lenient == "good"
        elif row.set == "refuse":
            score["refuse"] += strict != "good"
    with capsys.disabled():
        print(f"\nRFC 4475: {score['parse']}/{score['refuse']}/{score['crash']} (must parse / must refuse / crashes)")
    assert len(TORTURE) == 49
    assert score == {"parse": 27, "refuse": 8, "crash": 0}


def test_the_tortuous_invite_means_what_the_rfc_says() -> None:
    message = parse_message(torture("wsinv"))
    assert (message.method, message.cseq, message.cseq_method) == ("INVITE", 9, "INVITE")
    assert (message.from_tag, message.to_tag) == ("98asjd8", "1918181833n")
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.branch == "390skdjuw"
    assert message.via_count == 3
    assert message.header("subject") == ""
    assert message.header("newfangledheader") == "newfangled value continued newfangled value"
    assert message.name_addrs("contact")[0].params == {"newparam": "newvalue", "secondparam": "", "q": "0.33"}
    assert len(message.body) == 150
    assert not message.truncated


def test_the_widest_characters() -> None:
    message = parse_message(torture("intmeth"))
    assert message.method == message.cseq_method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.from_.params["fromparam''~+*_!.-%"] == "работающий"
    assert message.from_tag == "_token~1'+`*%!-."
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"


def test_percent_signs() -> None:
    message = parse_message(torture("esc01"))
    assert Uri(message.uri).user == "sips:user@example.com"
    assert message.to.user == "user"
    assert message.from_.user == "I have spaces"
    assert parse_message(torture("escnull")).from_.user == "null-\0-null"
    assert len(parse_message(torture("esc02")).values("contact")) == 2  # C%6Fntact is no Contact
    assert Uri(parse_message(torture("semiuri")).uri).user == "user"


def test_long_values_and_every_spelling_of_via() -> None:
    message = parse_message(torture("longreq"))
    assert message.via_count == 34
    assert message.from_.user == "amazinglylongcallername" * 5
    assert message.from_tag == "12" + "982" * 50 + "424"
    assert message.call_id == "longreq.one" + "really" * 20 + "longcallid"
    assert message.to.display == "I have a user name of " + "extreme" * 10 + " proportion"
    assert message.to.parsed.port == 6000
    assert len(message.body) == 150


def test_what_well_formed_but_odd_messages_say() -> None:
    assert parse_message(torture("unreason")).reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert parse_message(torture("noreason")).reason == ""
    assert parse_message(torture("bext01")).values("require") == ["nothingSupportsThis", "nothingSupportsThisEither"]
    assert Uri(parse_message(torture("novelsc")).uri).scheme == "soap.beep"
    assert parse_message(torture("unksm2")).from_.uri == "http://www.example.com"
    assert parse_message(torture("zeromf")).header("max-forwards") == "0"
    # RFC 3261, 10.2.1: without brackets a parameter is the Contact header's, with them the URI's
    plain, bracketed = (parse_message(torture(name)).name_addrs("contact")[0] for name in ("cparam01", "cparam02"))
    assert (plain.params, plain.user) == ({"unknownparam": ""}, "+19725552222")
    assert (bracketed.params, bracketed.parsed.params) == ({}, "unknownparam")
    assert parse_message(torture("inv2543")).branch == ""
    assert parse_message(torture("badbranch")).branch == "z9hG4bK"


def test_what_a_watcher_makes_of_flawed_messages() -> None:
    assert parse_message(torture("lwsstart")).uri == "sip:user@example.com"
    assert parse_message(torture("lwsruri")).uri == "sip:user@example.com;lr"
    assert parse_message(torture("trws")).method == "OPTIONS"
    assert parse_message(torture("baddn")).to.user == "t.watson"
    assert parse_message(torture("badaspec")).to.user == "t.watson"
    assert parse_message(torture("quotbal")).to.user == "j.user"


@pytest.mark.parametrize(("name", "reason"), [("insuf", "missing_call_id"), ("mismatch02", "cseq_method_mismatch"), ("multi01", "repeated_header")])
def test_a_refused_message_can_be_answered(name: str, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason) as refused:
        parse_message(torture(name))
    assert refused.value.message is not None
    assert refused.value.message.branch.startswith("z9hG4bK")


def test_the_tail_of_a_datagram_is_no_second_message() -> None:
    message = parse_message(torture("dblreq"))
    assert (message.method, message.body) == ("REGISTER", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "keepalive"),
        (b"\r\n\r\n", "keepalive"),
        (b"\0\0\0\0", "keepalive"),
        (b"hello", "not_sip"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_sip"),
        (INVITE.replace(b"Call-ID: x@192.0.2.20\r\n", b""), "missing_call_id"),
        (INVITE.replace(b"To: <sip:12349@192.0.2.10>\r\n", b""), "missing_to"),
        (INVITE.replace(b"CSeq: 1 INVITE", b"CSeq: 2147483648 INVITE"), "bad_cseq"),
        (INVITE.replace(b"CSeq: 1 INVITE", "CSeq: １ INVITE".encode()), "bad_cseq"),
        (INVITE.replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"), "cseq_method_mismatch"),
        (INVITE.replace(b"\r\nTo", b"\r\n" + b"X: y\r\n" * 300 + b"To"), "too_many_headers"),
        (INVITE.replace(b"\r\nTo", b"\r\nX: " + b"y" * MAX_HEAD + b"\r\nTo"), "too_long"),
        (b"SIP/2.0 99 Low\r\n\r\n", "bad_status_code"),
        (b"SIP/2.0 700 High\r\n\r\n", "bad_status_code"),
        (b"SIP/2.0\r\n\r\n", "bad_status_code"),
    ],
)
def test_no_message(data: bytes, reason: str) -> None:
    assert outcome(data, strict=False) == reason


def test_compact_comma_joined_and_folded() -> None:
    data = (
        b'\r\n\r\nSIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP a;branch=z9hG4bK-2 ,\r\n SIP/2.0/UDP b;branch=z9hG4bK-1\r\nf : "a, b" <sip:1@x>;tag=f\r\n'
        b'T: sip:2@y;tag=t\r\ni:c\r\nCSeq:\t1\r\n INVITE\r\nP-Asserted-Identity: "Li, Na" <sip:a@x>, <tel:+8613893100001>\r\n\r\n'
    )
    message = parse_message(data)
    assert (message.branch, message.via_count, message.from_tag, message.to_tag) == ("z9hG4bK-2", 2, "f", "t")
    assert [address.user for address in message.name_addrs("p-asserted-identity")] == ["a", "+8613893100001"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("李娜".encode(), "李娜"),
        ("李娜".encode("gb18030"), "李娜"),
        ("誠".encode("gb18030") + b'\\"x', '誠"x'),  # second octet of 誠 is 0x5c, a backslash
        (b"\xff\xfe\xff", ""),
    ],
)
def test_display_names_in_gbk_never_cost_the_message(name: bytes, shown: str) -> None:
    message = parse_message(INVITE.replace(b"From: <", b'From: "' + name + b'" <'))
    assert message.from_.user == "13893100001"
    assert message.from_tag == "a"
    assert message.from_.display == shown


def test_a_body_cut_short_and_headers_cut_off() -> None:
    assert parse_message(INVITE[:-2]).truncated
    cut = parse_message(INVITE[: INVITE.index(b"Content-Length") + 9])
    assert cut.truncated
    assert cut.header("content-length") == ""


def test_lines_that_end_in_lf_alone() -> None:
    message = parse_message(INVITE.replace(b"\r\n", b"\n"))
    assert (message.call_id, message.body) == ("x@192.0.2.20", b"v=0\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:13893100001;phone-context=+86@[2001:db8::1]:5062;user=phone", ("sip", "13893100001", "2001:db8::1", 5062)),
        ("sips:a%2Bb:secret@Example.COM", ("sips", "a+b", "example.com", None)),
        ("tel:+86-138-9310-0001;phone-context=x", ("tel", "+86-138-9310-0001", "", None)),
        ("sip:example.com", ("sip", "", "example.com", None)),
        ("sip:a@b:99999999999", ("sip", "a", "b", None)),
        ("nobodyKnows:this", ("nobodyknows", "", "this", None)),
        ("", ("", "", "", None)),
    ],
)
def test_uri(text: str, expected: tuple[object, ...]) -> None:
    uri = Uri(text)
    assert (uri.scheme, uri.user, uri.host, uri.port) == expected


def test_parameters_without_brackets_belong_to_the_header() -> None:
    address = NameAddr("sip:a@b;tag=1")
    assert (address.uri, address.params) == ("sip:a@b", {"tag": "1"})
    assert NameAddr("<sip:a@b;tag=1>").params == {}
    assert parse_params(';a="x;y";B=2;;c') == {"a": "x;y", "b": "2", "c": ""}
    assert split_list('"a,b" <sip:x,y@z>, c,,') == ['"a,b" <sip:x,y@z>', "c"]


@pytest.mark.parametrize(
    "hostile",
    [
        b"X: " + b" " * 60_000 + b"z\r\n y",
        b"X: a" + b"\r\n " * 20_000,
        b'Contact: "' + b"\\" * 60_000,
        b'Contact: "' + b"\xd5" * 60_000,
        b"Contact: " + b"<" * 60_000,
        b"Contact: <sip:a>" + b";" * 60_000,
        b"Contact: " + b"," * 60_000,
        b"Via: SIP/2.0/UDP a" + b" " * 60_000 + b"\x01",
        b"Via: SIP/2.0/UDP a" + b";a" * 30_000 + b"\x01",
        b"Via: SIP/2.0/UDP a" + b";a = b " * 8000 + b"\x01",
    ],
    ids=["blanks", "folds", "backslashes", "gbk", "brackets", "semicolons", "commas", "via-blanks", "via-params", "via-values"],
)
def test_the_time_does_not_grow_with_the_square_of_the_size(hostile: bytes) -> None:
    """Each of these takes some milliseconds; a quadratic pattern takes seconds."""
    data = INVITE.replace(b"\r\nTo", b"\r\n" + hostile + b"\r\nTo")
    start = time.process_time()
    message = parse_message(data)
    for name in message.headers:
        assert all(address.user is not None and address.display is not None for address in message.name_addrs(name))
    assert message.via_count
    with contextlib.suppress(MalformedMessage):
        check_strictly(message)
    assert time.process_time() - start < 1.0
