"""Orders as mails: plain text over one SMTP server (RFC 5321), STARTTLS or TLS, the standard library's client in a thread."""

import asyncio
import contextlib
import smtplib
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from gateway.clock import utc_now
from gateway.config.dispatch import EmailChannelConfig, server_address
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.order_words import mail_text, read_order
from gateway.errors import ConfigError
from gateway.secrets import secret_of

# Mails on the way at once: a server takes one in under a second, and providers allow ten connections from one client.
AT_ONCE = 8
MAX_LINE = 900  # octets; servers refuse or cut a line of more than 998 (RFC 5322, 2.1.1)


class EmailChannel:
    """`deliver` returns when the server has taken the mail for its recipient (250 after DATA). A mail per order: a refusal concerns one.

    Message-ID is made of the delivery id and the number of the repetition, so that a mail sent twice is shown once. 4xx, a dropped connection
    and a certificate that is not trusted are worth trying again; a recipient or content refused with 5xx is final (RFC 5321, 4.2.1).
    """

    name = "email"

    def __init__(self, config: EmailChannelConfig, language: Callable[[], str] = lambda: "zh-CN") -> None:
        address = server_address(config.server)
        if address is None:
            raise ConfigError([f"dispatch.email.server: {config.server!r} is not HOST:PORT; write mail.example:587"])
        self._host, self._port = address
        self._config = config
        self._language = language
        self._password = secret_of("dispatch.email.password_file", config.password_file).decode() if config.password_file else ""
        try:
            self._tls = ssl.create_default_context(cafile=config.ca_file or None) if config.security != "none" else None
        except OSError as error:
            raise ConfigError([f"dispatch.email.ca_file: {config.ca_file}: {error.strerror or 'no certificate'}; write a PEM file"]) from error
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Each mail makes its own connection."""
        await asyncio.get_running_loop().create_future()

    async def deliver(self, order: Order) -> None:
        """Send once. Cancelling: it may still leave."""
        if order.address.count("@") != 1 or not order.address.isprintable() or " " in order.address:
            raise DeliveryError("bad_address", retry=False)
        try:
            mail = self._mail(order)
        except (ValueError, IndexError) as error:  # what the standard library cannot read as an address
            raise DeliveryError("bad_address", retry=False) from error
        try:
            # smtplib limits each step; the whole must end too, even when the server sends one octet a second
            async with asyncio.timeout(self._config.timeout_s):
                reason, retry = await self._in_thread(mail, order.address)
        except TimeoutError:
            raise DeliveryError("timeout") from None
        if reason:
            raise DeliveryError(reason, retry=retry)

    def _mail(self, order: Order) -> EmailMessage:
        subject, text = mail_text(read_order(order.body), self._language())
        mail = EmailMessage(SMTP)
        mail["From"] = self._config.sender
        mail["To"] = order.address
        mail["Subject"] = " ".join(subject.split())
        mail["Date"] = format_datetime(utc_now())
        mail["Message-ID"] = f"<{order.delivery}.{order.repeat}@{self._config.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # no holiday notice comes back (RFC 3834, 5)
        is_plain = text.isascii() and max(map(len, text.split("\n"))) <= MAX_LINE
        mail.set_content(text + "\n", charset="utf-8", cte="7bit" if is_plain else "base64")
        return mail

    async def _in_thread(self, mail: EmailMessage, recipient: str) -> tuple[str, bool]:
        """A thread of its own, which nobody waits for when the gateway stops: an executor's would keep it for as long as a server is silent."""
        await self._places.acquire()  # given back by the thread, not by who gave up waiting for it
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[str, bool]] = loop.create_future()

        def finish(found: tuple[str, bool]) -> None:
            self._places.release()
            if not done.done():
                done.set_result(found)

        def work() -> None:
            found = "failed", True
            try:
                found = self._send(mail, recipient)
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(finish, found)

        try:
            threading.Thread(target=work, name="email", daemon=True).start()
        except RuntimeError:  # no more threads in this process
            finish(("busy", True))
        return await done

    def _send(self, mail: EmailMessage, recipient: str) -> tuple[str, bool]:
        """In a thread: ("", _) when it was taken, else why not, and whether trying again may help. Never what the server wrote: it names people."""
        config = self._config
        us = config.sender.rpartition("@")[2]  # what EHLO says; looking our own name up may take a name server half a minute
        try:
            if config.security == "tls":
                client: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, us, timeout=config.timeout_s, context=self._tls)
            else:
                client = smtplib.SMTP(self._host, self._port, us, timeout=config.timeout_s)
            try:
                if config.security == "starttls":
                    client.starttls(context=self._tls)
                if config.username:
                    client.login(config.username, self._password)
                client.send_message(mail, config.sender, [recipient])
            finally:
                _say_goodbye(client)
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            return f"smtp_{code}", not 500 <= code < 600
        except smtplib.SMTPAuthenticationError as error:  # our own fault: the next one up the tree would be refused too
            return f"login_{error.smtp_code}", True
        except smtplib.SMTPNotSupportedError:
            return "not_supported", True  # no STARTTLS, no AUTH: nothing is sent in the clear
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            return f"smtp_{error.smtp_code}", not (isinstance(error, smtplib.SMTPDataError) and 500 <= error.smtp_code < 600)
        except smtplib.SMTPServerDisconnected:
            return "disconnected", True
        except smtplib.SMTPException:
            return "garbage", True
        except ssl.SSLError:
            return "not_trusted", True
        except TimeoutError:
            return "timeout", True
        except (OSError, UnicodeError, ValueError) as error:
            return ("unreachable", True) if isinstance(error, OSError) else ("garbage", True)
        return "", True


def _say_goodbye(client: smtplib.SMTP) -> None:
    """QUIT decides nothing any more: the mail was taken or refused before."""
    try:
        client.quit()
    except (OSError, smtplib.SMTPException):
        client.close()
