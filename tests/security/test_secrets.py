"""Secrets: out of files and systemd's credentials alone; told when they stand elsewhere; in no log, process list, environment or metric."""

import os
import signal
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.registry import DRIVERS, driver_for
from gateway import secrets
from gateway.check_words import DOUBTS
from gateway.cli import main
from gateway.config import Config, DispatchConfig, LineConfig, MqttChannelConfig, StoreConfig, examine_config
from gateway.config.dispatch import SmsChannelConfig
from gateway.errors import ConfigError
from gateway.wrong_value import without_none

DISTRICTS = Path(__file__).parents[2] / "config" / "districts"
HEAD = f'[gateway]\ndata = "var"\ndistricts = "{DISTRICTS}"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(HEAD + text, "utf-8")
    return path


# --- credentials of systemd


def test_a_credential_stands_for_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name in ("broker", "orders.key", "webhook"):
        (folder / name).write_text("0123456789abcdef")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    config, problems = examine_config(
        written(
            tmp_path,
            '[dispatch.webhook]\nsecret_file = "credential:webhook"\n[[line]]\nname = "w"\ncodec = "generic"\nbroker = "mqtt://h"\n'
            'options = { username = "gateway", password_file = "credential:broker" }\n',
        )
    )
    assert problems == []
    assert config.dispatch.webhook is not None
    assert config.dispatch.webhook.secret_file == f"{folder}/webhook"
    assert config.line[0].options["password_file"] == f"{folder}/broker"


def test_a_credential_that_is_not_handed_over_is_named_with_the_line_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    _, problems = examine_config(written(tmp_path, '[dispatch.webhook]\nsecret_file = "credential:webhook"\n'))
    assert problems[0].startswith(
        f"{tmp_path}/gateway.toml: dispatch.webhook.secret_file: there is no credential 'webhook'; write LoadCredential=webhook:"
    )
    _, problems = examine_config(written(tmp_path, '[dispatch.webhook]\nsecret_file = "credential:../shadow"\n'))
    assert "is no name" in problems[0]


def test_only_keys_of_files_are_looked_through(tmp_path: Path) -> None:
    told: list[tuple[str, str, str]] = []
    tables = {"calls": {"agents": {"8001": "credential:x"}}}
    assert secrets.with_credentials(tables, lambda *fault: told.append(fault), {}) == tables
    assert told == []


# --- where they must not stand


def test_the_password_of_the_database_is_in_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("s3 c/r@t\n")
    config, problems = examine_config(written(tmp_path, '[store]\nurl = "postgresql://gateway@db.lan/gateway"\npassword_file = "db"\n'))
    assert problems == []
    assert "s3" not in repr(config)
    assert secrets.database_url(config.store.url) == "postgresql://gateway:s3%20c%2Fr%40t@db.lan/gateway"
    with pytest.raises(ConfigError, match=r"store\.password_file: /gone: No such file"):
        secrets.database_url("postgresql://gateway@h/d?password_file=/gone")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[store]\npassword_file = "db"\n', "store.password_file: is for PostgreSQL"),
        ('[store]\nurl = "postgresql://h/d"\npassword_file = "db"\n', "store.url: names no user"),
        ('[store]\nurl = "postgresql://u:p@h/d"\npassword_file = "db"\n', "store.url: holds a password beside"),
    ],
)
def test_a_password_file_that_does_not_fit(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "db").write_text("x")
    assert [one for one in examine_config(written(tmp_path, text))[1] if words in one]


def test_what_is_written_out_is_told_by_key_and_never_by_value() -> None:
    config = Config(
        store=StoreConfig(url="postgresql://gateway:word@db/gateway"),
        line=(
            LineConfig(name="a", codec="sia_dc09", listen="tcp:1", options={"accounts": {"8A8A": {"key": "00" * 16}}}),
            LineConfig(name="b", codec="hep", listen="udp:1", options={"auth_key": "word", "auth_keys": {"192.0.2.1": "word"}}),
            LineConfig(name="c", codec="generic", broker="mqtt://h", options={"username": "u", "password_file": "f", "key_file": "k"}),
        ),
        dispatch=DispatchConfig(
            mqtt=MqttChannelConfig(broker="mqtt://h", username="u", password_file="p"),
            sms=SmsChannelConfig(
                url="https://sms.example", headers={"Authorization": "Bearer {secret}", "X-Api-Key": "word"}, json={"text": "{text}"}
            ),
        ),
    )
    assert list(secrets.written_out(config)) == [
        "store.url",
        "dispatch.sms.headers.X-Api-Key",
        "line[1].options.accounts.8A8A.key",
        "line[2].options.auth_key",
        "line[2].options.auth_keys.192.0.2.1",
    ]


def keys_of(kind: Any, seen: set[Any]) -> Iterator[str]:
    """Names of all text fields that a section may hold, its parts among them."""
    kind = without_none(kind)
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind in seen:
            return
        seen.add(kind)
        for field in msgspec.structs.fields(kind):
            if without_none(field.type) is str or typing.get_origin(field.type) is typing.Annotated:
                yield field.name
            yield from keys_of(field.type, seen)
    for part in typing.get_args(kind):
        yield from keys_of(part, seen)


def test_every_secret_that_the_configuration_knows_can_lie_in_a_file() -> None:
    """A new key that takes a secret needs a `_file` beside it; what may be written out for a try is told by `gateway check`."""
    seen: set[Any] = set()
    sections = {name for name in keys_of(Config, seen) if secrets.is_secret(name)}
    assert sections == set()
    options = {name: {key for key in keys_of(driver_for(name).options, set()) if secrets.is_secret(key)} for name in DRIVERS}
    files = {name: {field.name for field in msgspec.structs.fields(driver_for(name).options)} for name in DRIVERS}
    found = {(name, key) for name, keys in options.items() for key in keys}
    assert found == {("hep", "auth_key"), ("ami", "secret"), ("esl", "password")}
    assert all(f"{key}_file" in files[name] for name, key in found)


def test_files_that_everybody_may_read_are_told(tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("shut", 0o640), ("ca", 0o644)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    channel = MqttChannelConfig(broker="mqtts://h", password_file="open", key_file="shut", certificate_file="ca", ca_file="ca")
    assert list(secrets.open_to_others(Config(dispatch=DispatchConfig(mqtt=channel)), tmp_path)) == ["dispatch.mqtt.password_file"]


def test_gateway_check_tells_both_without_a_byte_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p").write_text("hidden-word")
    (tmp_path / "p").chmod(0o644)
    path = written(
        tmp_path,
        '[store]\nurl = "postgresql://gateway:hidden-word@127.0.0.1:1/gateway"\n[[line]]\nname = "w"\ncodec = "generic"\nbroker = "mqtt://h"\n'
        'options = { username = "u", password_file = "p" }\n',
    )
    assert main(["check", "--config", str(path), "--lang", "en"]) == 0
    out = capsys.readouterr()
    assert "1 secret stands in the configuration itself" in out.out
    assert "store.url" in out.out
    assert "1 file with a secret may be read by everybody" in out.out
    assert "hidden-word" not in out.out + out.err
    assert all(set(DOUBTS[language]) >= {"secret_open", "secret_written_out"} for language in DOUBTS)


# --- a running gateway gives none of them away


async def test_nothing_of_a_running_gateway_shows_a_secret(tmp_path: Path) -> None:
    """Process list, environment, log at its most talkative, metrics: none holds a byte of what lies in the files."""
    words = {name: f"{name}-9f31c0de5a77b2ee" for name in ("broker", "orders", "webhook", "platform", "ami", "account")}
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name, word in words.items():
        (folder / name).write_text(word)
    (tmp_path / "accounts.toml").write_text(f'[4711]\nkey_text = "{words["account"][:16]}"\n')
    port, dead, panel = free_port(), free_port(), free_port()
    path = written(
        tmp_path,
        f'[console]\naccounts = false\nlisten = "127.0.0.1:{port}"\n[log]\nlevel = "debug"\nformat = "json"\n'
        f'[dispatch.mqtt]\nbroker = "mqtt://127.0.0.1:{dead}"\nusername = "o"\npassword_file = "credential:orders"\n'
        '[dispatch.webhook]\nsecret_file = "credential:webhook"\n'
        '[[platform]]\nname = "province"\nsecret_file = "credential:platform"\n'
        f'[[line]]\nname = "w"\ncodec = "generic"\nbroker = "mqtt://127.0.0.1:{dead}"\n'
        'options = { username = "u", password_file = "credential:broker" }\n'
        f'[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:127.0.0.1:{dead}"\n'
        'options = { username = "u", secret_file = "credential:ami" }\n'
        f'[[line]]\nname = "panels"\ncodec = "sia_dc09"\nlisten = "tcp:{panel}:interface=127.0.0.1"\n'
        'options = { accounts_file = "accounts.toml" }\n',
    )
    log = tmp_path / "log"
    with log.open("wb") as opened:
        process = subprocess.Popen(  # noqa: ASYNC220 - forking takes a millisecond
            [sys.executable, "-m", "gateway.cli", "run", "--config", str(path)],
            stdout=opened,
            stderr=opened,
            env={**os.environ, "CREDENTIALS_DIRECTORY": str(folder)},
        )
    seen: dict[str, str] = {}

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            seen["metrics"] = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            seen["ops"] = httpx.get(f"http://127.0.0.1:{port}/api/v1/ops").text
        except httpx.HTTPError:
            return False
        return 'line="pbx"' in seen["metrics"] and log.read_text().count('"line":"w"') + log.read_text().count('"line": "w"') > 0

    try:
        await wait_until(is_up, "the gateway is up, and has tried its lines")
        seen["processes"] = Path(f"/proc/{process.pid}/cmdline").read_text()  # noqa: ASYNC240
        seen["environment"] = Path(f"/proc/{process.pid}/environ").read_text()  # noqa: ASYNC240
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)
    seen["log"] = log.read_text()
    assert "gateway_line" in seen["metrics"]
    given_away = [(where, name) for where, text in seen.items() for name, word in words.items() if word in text or word[:16] in text]
    assert given_away == []
