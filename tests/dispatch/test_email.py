"""Orders as mails: a real SMTP server (aiosmtpd) with TLS and passwords, and servers that behave badly over real sockets."""

import asyncio
import contextlib
import email
import email.policy
import gc
import ssl
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from certificates import self_signed
from waiting import WAIT_S, free_port, wait_until

from gateway.config import read_config
from gateway.config.dispatch import EmailChannelConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.email import EmailChannel
from gateway.errors import ConfigError
from tests.dispatch.text_house import cries, elders, gateway, legs

# aiosmtpd warns of its own old names while it serves
pytestmark = [
    pytest.mark.filterwarnings("ignore:Session.login_data:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning"),
]
TO = "station@example.org"
BODY = (
    '{"delivery":"0123456789abcdef0123456789abcdef","incident":"I20250302-0001","kind":"sos","severity":"critical",'
    '"person":{"name":"某人","age":85,"address":"红古路12号"},"reply_by":"2025-03-02T10:03:00Z","page":"https://12349.example/r/token"}'
).encode()


class Mailbox:
    """What a real server was given. answer: of RCPT and of DATA, when the test wants another one than 250."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.rcpt = self.data = ""
        self.logins: list[tuple[bytes, bytes]] = []
        self.was_tls: list[bool] = []

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]) -> str:
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data:
            return self.data
        assert isinstance(envelope.content, bytes)
        self.was_tls.append(session.ssl is not None)
        self.mails.append((str(envelope.mail_from), envelope.rcpt_tos, envelope.content))
        return "250 taken"

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"geheim", handled=False)

    def mail(self) -> EmailMessage:
        (one,) = self.mails
        return email.message_from_bytes(one[2], policy=email.policy.default)  # type: ignore[return-value]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("mail"))


@contextlib.contextmanager
def server(mailbox: Mailbox, certificate: tuple[Path, Path] | None = None, *, tls: bool = False, login: bool = False) -> Iterator[int]:
    """aiosmtpd in a thread of its own; gives the port."""
    port = free_port()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    more: dict[str, Any] = {"authenticator": mailbox.authenticate, "auth_required": True} if login else {}
    if context is not None and not tls:
        more |= {"tls_context": context, "require_starttls": True}
    elif login:
        more |= {"auth_require_tls": False}
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, ssl_context=context if tls else None, server_hostname="test", **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the server's own, about what the test wants so
        controller.start()
    try:
        yield port
    finally:
        controller.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()  # the server does not close what its clients have left


def channel(port: int, **more: Any) -> EmailChannel:
    settings = {"server": f"localhost:{port}", "sender": "orders@12349.example", "security": "none", "timeout_s": 3.0} | more
    return EmailChannel(EmailChannelConfig(**settings))


def order(body: bytes = BODY, repeat: int = 0, address: str = TO) -> Order:
    return Order(
        delivery="0123456789abcdef0123456789abcdef", incident="I20250302-0001", responder="station", address=address, body=body, repeat=repeat
    )


async def failure(delivery: Any) -> tuple[str, bool]:
    with pytest.raises(DeliveryError) as failed:
        await delivery
    return failed.value.reason, failed.value.retry


async def test_a_mail() -> None:
    mailbox = Mailbox()
    with server(mailbox) as port:
        await channel(port).deliver(order())
    ((sender, recipients, _),) = mailbox.mails
    assert (sender, recipients) == ("orders@12349.example", [TO])
    mail = mailbox.mail()
    assert mail["Message-ID"] == "<0123456789abcdef0123456789abcdef.0@12349.example>"
    assert mail["Subject"] == "12349 派单 I20250302-0001：SOS 求助", "the subject names nobody"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == [
        "SOS 求助 I20250302-0001",
        "对象：某人，85岁，红古路12号",
        "请在 2025-03-02 10:03 UTC 前答复。",
        "查看并答复：https://12349.example/r/token",
    ]
    assert "List-Id" not in mail
    assert mail["Auto-Submitted"] == "auto-generated"


async def test_a_mail_in_english_and_a_withdrawal() -> None:
    mailbox = Mailbox()
    with server(mailbox) as port:
        settings = EmailChannelConfig(server=f"localhost:{port}", sender="orders@12349.example", security="none")
        way = EmailChannel(settings, lambda: "en")
        await way.deliver(order())
        await way.deliver(order(b'{"delivery":"d","incident":"I20250302-0001","withdrawn":true}', repeat=1))
    first, second = (email.message_from_bytes(mail[2], policy=email.policy.default) for mail in mailbox.mails)
    assert first["Subject"] == "12349 order I20250302-0001: SOS"
    assert "See and answer: https://12349.example/r/token" in first.get_content()  # type: ignore[attr-defined]
    assert second.get_content().strip() == "I20250302-0001: withdrawn, you need not go."  # type: ignore[attr-defined]
    assert second["Message-ID"] == "<0123456789abcdef0123456789abcdef.1@12349.example>"


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_encrypted_and_with_a_password(security: str, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\n")
    mailbox = Mailbox()
    with server(mailbox, certificate, tls=security == "tls", login=True) as port:
        way = channel(port, security=security, ca_file=str(certificate[0]), username="orders", password_file=str(tmp_path / "password"))
        await way.deliver(order())
    assert len(mailbox.mails) == 1
    assert mailbox.was_tls == [security == "starttls"], "of a connection that is TLS from its beginning the server knows nothing else"
    assert mailbox.logins == [(b"orders", b"geheim")]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_trusts(security: str, certificate: tuple[Path, Path]) -> None:
    mailbox = Mailbox()
    with server(mailbox, certificate, tls=security == "tls") as port:
        assert await failure(channel(port, security=security).deliver(order())) == ("not_trusted", True)
    assert mailbox.mails == []


async def test_a_server_without_starttls_gets_nothing() -> None:
    mailbox = Mailbox()
    with server(mailbox) as port:
        assert await failure(channel(port, security="starttls").deliver(order())) == ("not_supported", True)
    assert mailbox.mails == []


async def test_a_wrong_password(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("falsch")
    with server(Mailbox(), certificate, login=True) as port:
        way = channel(port, security="starttls", ca_file=str(certificate[0]), username="orders", password_file=str(tmp_path / "password"))
        assert await failure(way.deliver(order())) == ("login_535", True)


@pytest.mark.parametrize(
    ("where", "answer", "expected"),
    [
        ("rcpt", "550 5.1.1 no such user", ("smtp_550", False)),
        ("rcpt", "450 4.2.1 mailbox busy", ("smtp_450", True)),
        ("data", "554 5.7.1 spam", ("smtp_554", False)),
        ("data", "451 4.3.0 try later", ("smtp_451", True)),
    ],
)
async def test_refused(where: str, answer: str, expected: tuple[str, bool]) -> None:
    mailbox = Mailbox()
    setattr(mailbox, where, answer)
    with server(mailbox) as port:
        assert await failure(channel(port).deliver(order())) == expected


@contextlib.asynccontextmanager
async def rude(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A server that talks as the test wants."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            with contextlib.suppress(ConnectionError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listening.close()
        await listening.wait_closed()


async def test_garbage_silence_and_a_drop_in_the_middle() -> None:
    async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff\x00\x1b[31m" * 50 + b"\r\n")
        await writer.drain()

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readline()
                return  # the connection goes while the mail is under way
            writer.write(b"250 OK\r\n")

    async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:  # each step is quick enough, the whole never ends
            writer.write(b"2")
            await writer.drain()
            await asyncio.sleep(0.05)

    for talk, reasons in (
        (garbage, {"garbage", "disconnected"}),
        (silence, {"timeout", "disconnected"}),
        (drop, {"disconnected"}),
        (drips, {"timeout"}),
    ):
        async with rude(talk) as port:
            reason, retry = await failure(channel(port, timeout_s=0.5).deliver(order()))
            assert (reason in reasons, retry) == (True, True), (talk.__name__, reason)
    assert await failure(channel(free_port()).deliver(order())) == ("unreachable", True)


async def test_a_silent_server_does_not_keep_a_gateway_that_stops() -> None:
    """Its thread waits for timeout_s; the process does not wait for the thread."""
    program = """
import asyncio, sys
from gateway.config.dispatch import EmailChannelConfig
from gateway.dispatch.contract import Order
from gateway.dispatch.email import EmailChannel
async def main():
    channel = EmailChannel(EmailChannelConfig(server="127.0.0.1:" + sys.argv[1], sender="a@b.example", security="none", timeout_s=600))
    body = b'{"incident": "I1", "text": "x"}'
    task = asyncio.create_task(channel.deliver(Order(delivery="d", incident="I1", responder="r", address="x@y.example", body=body)))
    await asyncio.to_thread(input)
    task.cancel()
asyncio.run(main())
"""
    arrived = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    async with rude(silence) as port:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(port), stdin=asyncio.subprocess.PIPE)
        async with asyncio.timeout(2 * WAIT_S):
            await arrived.wait()
            await process.communicate(b"\n")
        assert process.returncode == 0


async def test_a_long_line_is_cut_by_no_server() -> None:
    """RFC 5322, 2.1.1: 998 octets; a wish in Latin letters has more."""
    mailbox = Mailbox()
    with server(mailbox) as port:
        await channel(port).deliver(order(msgspec.json.encode({"incident": "I1", "text": "soup " * 400, "subject": "two\r\nlines"})))
    assert max(map(len, mailbox.mails[0][2].split(b"\r\n"))) <= 998
    assert mailbox.mail().get_content().strip() == ("soup " * 400).strip()
    assert mailbox.mail()["Subject"] == "two lines"


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "a@b\0", "a@"])
async def test_an_address_that_is_none(address: str) -> None:
    assert await failure(channel(25).deliver(order(address=address))) == ("bad_address", False)


@pytest.mark.parametrize("name", ["某人\r\nBcc: x@y", "a\nb", "\x00"])
async def test_names_make_no_headers(name: str) -> None:
    """Whatever stands in the order stands in the text."""
    mailbox = Mailbox()
    body = msgspec.json.encode({"delivery": "d", "incident": "I1", "kind": "sos", "severity": "critical", "person": {"name": name, "address": "x"}})
    with server(mailbox) as port:
        await channel(port).deliver(order(body))
    assert mailbox.mail()["Bcc"] is None
    assert mailbox.mails[0][1] == [TO]


async def test_a_gateway_whose_stations_get_mails(tmp_path: Path) -> None:
    """Refused for good by the server, the next one up is asked; the answer of a mail comes by the link, or by voice."""
    mailbox = Mailbox()
    with server(mailbox) as port:
        settings = f'[dispatch.email]\nserver = "localhost:{port}"\nsender = "orders@12349.example"\nsecurity = "none"\n'
        async with gateway(tmp_path, "email", settings, TO, "centre@example.org") as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the mail")
            delivery = elders(house).legs[0].delivery
            assert mailbox.mail()["Message-ID"] == f"<{delivery}.0@12349.example>"
            assert "红古路12号" in mailbox.mail().get_content()
            for answer in ("accept", "arrived", "done"):
                house._answered("station", msgspec.json.encode({"delivery": delivery, "answer": answer}))
            await wait_until(lambda: legs(house) == [("station", "done")], "answered by the door of web stations")


def test_mails_to_elsewhere_are_encrypted(tmp_path: Path) -> None:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text('[dispatch.email]\nserver = "mail.example:25"\nsender = "a@b"\nsecurity = "none"\nusername = "x"\n')
    with pytest.raises(ConfigError) as problem:
        read_config(tmp_path / "gateway.toml")
    assert "dispatch.email.security: is none, and 'mail.example' is not this machine" in str(problem.value)
    assert "dispatch.email.password_file: is missing" in str(problem.value)
