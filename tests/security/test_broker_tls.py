"""Brokers over TLS, against a real Mosquitto that wants a certificate of us: who is believed, by what name, and what is said when nobody is."""

import gc
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from servers import Mosquitto, until
from waiting import free_port

from drivers.lines.broker_tls import TlsFiles, client_context
from drivers.lines.mqtt_session import Broker, MqttSession
from drivers.registry import check_line
from gateway.config import LineConfig, MqttChannelConfig
from gateway.dispatch.mqtt import broker_of
from gateway.errors import ConfigError, LineError
from tests.security.authority import Authority, Issued


class Guarded:
    """A broker that lets nobody in without a certificate of this authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.server_certificate = self.authority.issue("broker", hosts=("localhost",))
        self.server = Mosquitto(folder)
        self.port = free_port()
        self.server.add(
            f"listener {self.port} 127.0.0.1\ncafile {self.authority.certificate}\ncertfile {self.server_certificate.certificate}\n"
            f"keyfile {self.server_certificate.key}\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous true\n"
        )

    def broker(self, own: Issued | None = None, *, ca: Path | None = None, host: str = "localhost") -> Broker:
        files = {} if own is None else {"certificate_file": str(own.certificate), "key_file": str(own.key)}
        return Broker.parse(f"mqtts://{host}:{self.port}", ca_file=str(ca or self.authority.certificate), **files)

    async def let_in(self, broker: Broker) -> None:
        session = MqttSession(broker, client_id="guarded", kept=False)
        try:
            await session.connect()
        finally:
            await session.close()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    found = Guarded(tmp_path)
    await found.server.start()
    yield found
    await found.server.stop()
    gc.collect()


async def test_who_shows_a_certificate_is_let_in_under_its_name(guarded: Guarded) -> None:
    await guarded.let_in(guarded.broker(guarded.authority.issue("gateway")))
    assert guarded.server.said("u'gateway'") == 1


async def test_a_renewed_certificate_counts_from_the_next_connection_on(guarded: Guarded) -> None:
    """The same files under the same Broker: nothing is built anew."""
    own = guarded.authority.issue("first", file="own")
    broker = guarded.broker(own)
    await guarded.let_in(broker)
    guarded.authority.issue("second", file="own")
    await guarded.let_in(broker)
    assert (guarded.server.said("u'first'"), guarded.server.said("u'second'")) == (1, 1)


async def test_without_a_certificate_the_keys_to_write_are_named(guarded: Guarded) -> None:
    with pytest.raises(LineError, match="certificate_file and key_file"):
        await guarded.let_in(guarded.broker())


async def test_one_that_is_over_is_named_with_its_day(guarded: Guarded) -> None:
    own = guarded.authority.issue("late", ended=True)
    with pytest.raises(LineError, match=r"our certificate has expired on \d{4}-\d\d-\d\d: renew certificate_file .*late\.pem"):
        await guarded.let_in(guarded.broker(own))
    words = ("certificate has expired", "certificate verify failed")
    await until(lambda: any(guarded.server.said(one) for one in words), "the broker writes why, once it has told us")


async def test_one_of_another_authority_is_not_let_in(guarded: Guarded) -> None:
    stranger = Authority(guarded.folder, "other").issue("gateway", file="stranger")
    with pytest.raises(LineError, match=r"who signed certificate_file .*stranger\.pem"):
        await guarded.let_in(guarded.broker(stranger))


async def test_a_broker_of_another_authority_is_not_believed(guarded: Guarded) -> None:
    other = Authority(guarded.folder, "other")
    with pytest.raises(LineError, match=r"CERTIFICATE_VERIFY_FAILED.*; write who signed it into ca_file \(.*other\.pem\)"):
        await guarded.let_in(guarded.broker(guarded.authority.issue("gateway"), ca=other.certificate))


async def test_a_broker_of_another_name_is_not_believed(guarded: Guarded) -> None:
    with pytest.raises(LineError, match=r"mismatch.*in place of '127\.0\.0\.1' under broker|not valid for.*'127\.0\.0\.1'"):
        await guarded.let_in(guarded.broker(guarded.authority.issue("gateway"), host="127.0.0.1"))


async def test_a_broker_whose_certificate_is_over_is_not_believed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    over = authority.issue("broker", hosts=("localhost",), ended=True)
    server, port = Mosquitto(tmp_path), free_port()
    server.add(f"listener {port} 127.0.0.1\ncertfile {over.certificate}\nkeyfile {over.key}\nallow_anonymous true\n")
    await server.start()
    try:
        with pytest.raises(LineError, match="expired; renew the broker's certificate"):
            await MqttSession(Broker.parse(f"mqtts://localhost:{port}", ca_file=str(authority.certificate)), client_id="x", kept=False).connect()
    finally:
        await server.stop()
        gc.collect()


def test_nothing_older_than_tls_1_2(tmp_path: Path) -> None:
    context = client_context(TlsFiles(str(Authority(tmp_path).certificate)))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_files_that_cannot_be_used_are_named_with_the_remedy(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, other = authority.issue("own"), authority.issue("other")
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("PRIVATE WORDS")
    for files, words in (
        (TlsFiles(str(nothing)), r"ca_file: .*nothing\.pem: holds no certificates"),
        (
            TlsFiles(str(authority.certificate), str(own.certificate), str(other.key)),
            r"certificate_file: .*is no certificate for the key in .*other\.key",
        ),
        (TlsFiles(str(authority.certificate), str(own.certificate), str(tmp_path / "gone")), "No such file or directory; write it"),
    ):
        with pytest.raises(LineError, match=words) as found:
            client_context(files)
        assert "PRIVATE WORDS" not in str(found.value)


def test_half_a_pair_and_tls_without_tls_are_told_before_anything_runs(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own")
    options = {"certificate_file": str(own.certificate)}
    told = check_line(LineConfig(name="w", codec="generic", broker="mqtts://h", options=options))
    assert told == ["line 'w': options.key_file: is missing beside certificate_file; write both, or neither"]
    options |= {"key_file": str(own.key)}
    assert check_line(LineConfig(name="w", codec="generic", broker="mqtts://h", options=options)) == []
    told = check_line(LineConfig(name="w", codec="generic", broker="mqtt://h", options=options))
    assert [one.partition(": is for mqtts:// only")[0] for one in told] == ["line 'w': options.certificate_file", "line 'w': options.key_file"]
    with pytest.raises(ConfigError, match=r"key_file: /gone does not exist"):
        broker_of(MqttChannelConfig(broker="mqtts://h", certificate_file=str(own.certificate), key_file="/gone"))
