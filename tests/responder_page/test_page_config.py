"""[responder_page]: off by default, refused beyond this machine without TLS, every fault with its key; and the words in both languages."""

import json
from pathlib import Path

import pytest
from certificates import self_signed

from gateway.config import Config, read_config
from gateway.errors import ConfigError
from gateway.responder_page.words import language_of

LANG = Path(__file__).parents[2] / "gateway" / "responder_page" / "static" / "lang"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    self_signed(tmp_path, "cert")
    (tmp_path / "page.secret").write_text("ab" * 32)
    (tmp_path / "short.secret").write_text("ab" * 8)
    (tmp_path / "empty.pem").write_text("")
    return tmp_path


GOOD = {
    "listen": "0.0.0.0:8443",
    "public_url": "https://help.example.org:8443",
    "cert_file": "cert.pem",
    "key_file": "cert.key",
    "secret_file": "page.secret",
}


def written(place: Path, **keys: object) -> Path:
    file = place / "gateway.toml"
    rows = {name: value for name, value in {**GOOD, **keys}.items() if value is not None}
    file.write_text("[responder_page]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in rows.items()))
    return file


def test_off_by_default() -> None:
    assert not Config().responder_page.is_on


def test_with_tls_it_may_listen_everywhere(place: Path) -> None:
    assert read_config(written(place)).responder_page.is_on


def test_on_loopback_it_needs_no_tls(place: Path) -> None:
    assert read_config(written(place, listen="127.0.0.1:12350", cert_file=None, key_file=None)).responder_page.is_on
    assert read_config(written(place, listen="[::1]:0", cert_file=None, key_file=None, public_url="http://127.0.0.1:1")).responder_page.is_on


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"cert_file": None, "key_file": None}, "listen"),
        ({"listen": "[::]:8443", "cert_file": None, "key_file": None}, "listen"),
        ({"listen": "example.org:8443", "cert_file": None, "key_file": None}, "listen"),
        ({"listen": "8443"}, "listen"),
        ({"listen": "127.0.0.1:99999"}, "listen"),
        ({"key_file": None}, "key_file"),
        ({"cert_file": "absent.pem"}, "cert_file"),
        ({"cert_file": "cert.key"}, "cert_file"),
        ({"key_file": "empty.pem"}, "cert_file"),
        ({"secret_file": None}, "secret_file"),
        ({"secret_file": "short.secret"}, "secret_file"),
        ({"previous_secret_file": "short.secret"}, "previous_secret_file"),
        ({"public_url": None}, "public_url"),
        ({"public_url": "http://help.example.org"}, "public_url"),
        ({"public_url": "https://user@help.example.org"}, "public_url"),
        ({"public_url": "https://help.example.org/?a=1"}, "public_url"),
        ({"public_url": "https://[help"}, "public_url"),
        ({"proxies": ["proxy.lan"]}, "proxies"),
        ({"desk_phone": "desk"}, "desk_phone"),
        ({"valid_s": 5}, "valid_s"),
    ],
)
def test_each_fault_is_told_with_its_key(place: Path, keys: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_config(written(place, **keys))
    assert [problem for problem in refused.value.problems if f"responder_page.{key}" in problem], refused.value.problems
    assert all("; " in problem for problem in refused.value.problems)


def test_both_languages_say_the_same() -> None:
    chinese, english = (json.loads((LANG / f"{name}.json").read_text("utf-8")) for name in ("zh-CN", "en"))
    assert chinese.keys() == english.keys()
    for key in chinese:
        holes = [sorted(part.partition("}")[0] for part in text[key].split("{")[1:]) for text in (chinese, english)]
        assert holes[0] == holes[1], key


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("", "en-GB,en;q=0.9", "en"),
        ("", "fr,en;q=0.2,zh;q=0.7", "zh-CN"),
        ("", "zh-TW", "zh-CN"),
        ("", "fr", "zh-CN"),
        ("", "", "zh-CN"),
        ("", "en;q=x,;;,q=1", "en"),
        ("en", "zh", "en"),
        ("../en", "zh", "zh-CN"),
    ],
)
def test_the_language_of_a_reader(chosen: str, accepted: str, expected: str) -> None:
    assert language_of(chosen, accepted, "zh-CN") == expected
