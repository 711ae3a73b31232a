"""Digest authentication: published vectors, and what a server must not be talked into."""

import re

import pytest

from drivers.sip import digest
from drivers.sip.digest import DigestServer, Outcome, authorize, is_stale, parse_header, response

REALM, USER, PASSWORD = "12349.example", "alarm-01", "s3cret"
SECRET = bytes(range(32))
URI = "sip:scaip@192.0.2.10"


def server(**options: object) -> DigestServer:
    return DigestServer(REALM, SECRET, {USER: PASSWORD}, **options)  # type: ignore[arg-type]


def proof(challenges: list[str], *, user: str = USER, password: str = PASSWORD, nc: int = 1, method: str = "MESSAGE") -> list[str]:
    return [authorize(challenges, method, URI, user, password, "f2/wE4q74E6zIJEt", nc)]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "75ed52f5e54f989a4223c6c64c100131"),
        ("SHA-256", "a8c9e092d73f9dfdc5e46f72757bd70a4b5881c2c62a63f3213a78435ecb3f8e"),
        ("SHA-512-256", "7344d9290b7db00a6d35af8b8455386df0f2fb4c3837c1012277e8c1a3c49e91"),
    ],
)
def test_the_vectors_of_the_fact_sheet(algorithm: str, expected: str) -> None:
    challenge = f'Digest realm="{REALM}", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcC", qop="auth", algorithm={algorithm}'
    told = parse_header(proof([challenge])[0])
    assert told is not None
    assert told["response"] == expected


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc7616_3_9_1(algorithm: str, expected: str) -> None:
    challenge = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",'
        ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    header = authorize([challenge], "GET", "/dir/index.html", "Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    told = parse_header(header)
    assert told is not None
    assert told["response"] == expected
    assert told["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    for plain in (f"algorithm={algorithm}", "qop=auth", "nc=00000001"):
        assert plain in header  # these three go without quotes


def test_rfc2617_and_the_older_form_without_qop() -> None:
    """RFC 2617, 3.5; the form without qop is RFC 2069's, as its erratum 749 computes it."""
    common = ("GET", "/dir/index.html", "Mufasa", "testrealm@host.com", "Circle Of Life", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    assert response("MD5", *common, cnonce="0a4f113b", nc="00000001", qop="auth") == "6629fae49393a05397450978507c4ef1"
    assert response("MD5", *common) == "670fd8c2df070c60b045671b8b24ff02"


def test_session_variants_hash_the_nonces_in() -> None:
    """No RFC prints a vector of -sess: worked out by hand from RFC 7616, 3.4.2."""
    import hashlib

    first = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    session = hashlib.md5(f"{first}:n:c".encode()).hexdigest()
    asked = hashlib.md5(f"MESSAGE:{URI}".encode()).hexdigest()
    wanted = hashlib.md5(f"{session}:n:00000001:c:auth:{asked}".encode()).hexdigest()
    assert response("MD5-sess", "MESSAGE", URI, USER, REALM, PASSWORD, "n", cnonce="c", nc="00000001", qop="auth") == wanted


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess"])
def test_a_device_that_knows_its_password(algorithm: str) -> None:
    ours = server(algorithms=(algorithm,))
    assert ours.check("MESSAGE", proof(ours.challenge(1000.0)), 1001.0) == digest.Proof(Outcome.OK, USER)


def test_the_best_algorithm_stands_first_and_unknown_ones_are_passed_over() -> None:
    challenges = server().challenge(1000.0)
    assert [re.search(r"algorithm=(\S+?)(,|$)", line).group(1) for line in challenges] == ["SHA-256", "MD5"]  # type: ignore[union-attr]
    assert "algorithm=SHA-256" in proof(challenges)[0]
    newer = [
        'Digest realm="x", nonce="1", algorithm=SHA3-512, qop="auth"',
        'Digest realm="x", nonce="2", qop="auth-int"',
        "Basic realm=x",
        *challenges,
    ]
    assert "algorithm=SHA-256" in proof(newer)[0]
    assert proof(["Basic realm=x"]) == [""]


def test_without_credentials_or_for_another_realm() -> None:
    ours = server()
    assert ours.check("MESSAGE", [], 0.0).outcome is Outcome.MISSING
    assert ours.check("MESSAGE", ["Basic YTpi", 'Digest realm="other", nonce="x"'], 0.0).outcome is Outcome.MISSING
    other = DigestServer("other.example", SECRET, {USER: PASSWORD})
    both = [*proof(other.challenge(0.0)), *proof(ours.challenge(0.0))]
    assert ours.check("MESSAGE", both, 0.0).outcome is Outcome.OK


def test_wrong_passwords_and_unknown_users_look_the_same() -> None:
    ours = server()
    assert ours.check("MESSAGE", proof(ours.challenge(0.0), password="guess"), 0.0).outcome is Outcome.WRONG
    assert ours.check("MESSAGE", proof(ours.challenge(0.0), user="nobody"), 0.0).outcome is Outcome.WRONG
    assert ours.check("OPTIONS", proof(ours.challenge(0.0)), 0.0).outcome is Outcome.WRONG  # made for another method


def test_an_old_nonce_is_stale_only_for_who_knows_the_password() -> None:
    ours = server()
    old = ours.challenge(1000.0)
    assert ours.check("MESSAGE", proof(old), 1300.0).outcome is Outcome.OK
    assert ours.check("MESSAGE", proof(old, nc=2), 1300.1).outcome is Outcome.STALE
    assert ours.check("MESSAGE", proof(old, password="guess"), 1300.1).outcome is Outcome.WRONG
    assert is_stale(ours.challenge(1300.1, stale=True))
    assert not is_stale(ours.challenge(1300.1))


def test_a_nonce_of_others_making_is_stale() -> None:
    """Also that of our own last run: the device asks again and is in."""
    ours = server()
    before = DigestServer(REALM, bytes(32), {USER: PASSWORD})
    assert ours.check("MESSAGE", proof(before.challenge(1000.0)), 1000.0).outcome is Outcome.STALE
    assert ours.check("MESSAGE", proof(ours.challenge(2000.0)), 1000.0).outcome is Outcome.STALE  # from a clock that was ahead
    for forged in ("", "x" * 44, "é" * 44, "A" * 43 + "="):
        challenge = [f'Digest realm="{REALM}", nonce="{forged}", qop="auth", algorithm=MD5']
        assert ours.check("MESSAGE", proof(challenge), 1000.0).outcome is Outcome.STALE


def test_a_count_serves_once() -> None:
    ours = server()
    asked = ours.challenge(1000.0)
    assert ours.check("MESSAGE", proof(asked, nc=1), 1000.0).outcome is Outcome.OK
    assert ours.check("MESSAGE", proof(asked, nc=1), 1000.0).outcome is Outcome.REPLAYED
    assert ours.check("MESSAGE", proof(asked, nc=5), 1000.0).outcome is Outcome.OK
    assert ours.check("MESSAGE", proof(asked, nc=3), 1000.0).outcome is Outcome.REPLAYED


def test_without_qop_a_nonce_serves_once() -> None:
    ours = server()
    asked = [line.replace('qop="auth", ', "") for line in ours.challenge(1000.0)]
    assert "qop" not in proof(asked)[0]
    assert ours.check("MESSAGE", proof(asked), 1000.0).outcome is Outcome.OK
    assert ours.check("MESSAGE", proof(asked), 1000.0).outcome is Outcome.REPLAYED


def test_what_is_no_longer_remembered_is_stale_not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MAX_NONCES", 2)
    ours = server()
    asked = [ours.challenge(1000.0 + number) for number in range(3)]
    for challenge in asked:
        assert ours.check("MESSAGE", proof(challenge), 1010.0).outcome is Outcome.OK
    assert ours.check("MESSAGE", proof(asked[0]), 1010.0).outcome is Outcome.STALE
    assert ours.check("MESSAGE", proof(asked[2]), 1010.0).outcome is Outcome.REPLAYED


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.replace("algorithm=SHA-256", "algorithm=SHA-512-256"),  # not offered: no way down, no way up
        lambda header: header.replace("nc=00000001", "nc=1"),
        lambda header: header.replace("nc=00000001", "nc=-0000001"),
        lambda header: header.replace("qop=auth", "qop=auth-int"),
        lambda header: re.sub(r'cnonce="[^"]*"', 'cnonce=""', header),
        lambda header: re.sub(r'response="[^"]*"', 'response="é"', header),
        lambda header: re.sub(r'response="[^"]*", ', "", header),
        lambda header: re.sub(r'username="[^"]*", ', "", header),
    ],
)
def test_broken_proofs_are_wrong(change: object) -> None:
    ours = server()
    header = change(proof(ours.challenge(0.0))[0])  # type: ignore[operator]
    assert ours.check("MESSAGE", [header], 0.0).outcome is Outcome.WRONG


@pytest.mark.parametrize(
    "header", ["", "Digest", "digest ", 'Digest realm="x', "Digest realm=x realm=y", "Digest ,,", 'Digest a="1", a="2"', "Digest " + "a=" * 4000]
)
def test_broken_headers_do_not_raise(header: str) -> None:
    told = parse_header(header)
    assert told is None or "nonce" not in told
    assert server().check("MESSAGE", [header], 0.0).outcome is Outcome.MISSING


def test_names_with_quotes_and_of_any_script() -> None:
    names = {'say "hi" \\ bye': "x", "李娜": "密码"}
    ours = DigestServer('a "b"', SECRET, names)
    for user, password in names.items():
        assert ours.check("MESSAGE", proof(ours.challenge(0.0), user=user, password=password), 0.0) == digest.Proof(Outcome.OK, user)
    header = proof(ours.challenge(0.0), user="李娜", password="密码")[0].replace('username="李娜"', "username*=UTF-8''%E6%9D%8E%E5%A8%9C")
    assert ours.check("MESSAGE", [header], 0.0).user == "李娜"
    assert "\r" not in authorize(ours.challenge(0.0), "MESSAGE", "sip:a\r\nX: y", "u", "p", "c")


def test_what_cannot_be_served_is_said_at_the_start() -> None:
    with pytest.raises(ValueError, match="SHA3"):
        server(algorithms=("SHA3",))
    with pytest.raises(ValueError, match="16 octets"):
        DigestServer(REALM, b"short", {})
