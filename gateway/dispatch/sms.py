"""Orders as short messages through a provider's web interface: the request is a template of the configuration, so that any provider fits."""

import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import jmespath
import structlog

from gateway.config.dispatch import SmsCallbackConfig, SmsChannelConfig
from gateway.config.words import MIN_SECRET
from gateway.dispatch.contract import DeliveryError, Order, Undelivered
from gateway.dispatch.order_words import coded_answers, read_order, short_text
from gateway.dispatch.outgoing_http import hold, new_client, send
from gateway.dispatch.short_messages import Awaited, Pace
from gateway.secrets import secret_of
from gateway.signature import is_signed

MAX_TEXT = 600  # octets of UTF-8: 200 Chinese characters, three parts of 67 (3GPP TS 23.040, 9.2.3.24.1)
MAX_FIELDS = 100  # of a form that is posted to us
MAX_ID = 100  # characters of a provider's message id
_PLACE = re.compile(r"\{([a-z]+)\}")

log = structlog.get_logger("sms")


class SmsChannel:
    """`deliver` returns when the provider has taken the text; a later report that it will not arrive makes the order fail after all."""

    name = "sms"

    def __init__(
        self,
        config: SmsChannelConfig,
        language: Callable[[], str] = lambda: "zh-CN",
        undelivered: Undelivered = lambda _order, _reason: None,
    ) -> None:
        self._config = config
        self._language = language
        self._undelivered = undelivered
        self._secret = secret_of("dispatch.sms.secret_file", config.secret_file).decode() if config.secret_file else ""
        self._success, self._final, self._message_id = (_compiled(text) for text in (config.success, config.final, config.message_id))
        self._pace = Pace(config.per_minute)
        self._awaited = Awaited()
        self._client = new_client(config.timeout_s)
        self.callback = SmsCallback(config.callback) if config.callback is not None else None

    async def run(self) -> None:
        """Hold the pool of connections until cancelled."""
        await hold(self._client)

    async def deliver(self, order: Order) -> None:
        """Post once. Cancelling: the text may or may not leave."""
        if not order.address:
            raise DeliveryError("no_number", retry=False)
        language = self._language()
        how = coded_answers(order.delivery, language)
        text = short_text(read_order(order.body), language, head=self._config.head, how=how, limit=MAX_TEXT)
        name = await self._post(order.address, text, order.delivery)
        if name:
            self._awaited.put(name, order)

    async def say(self, number: str, text: str) -> None:
        """A short text that is no order; whether it arrives decides nothing."""
        try:
            await self._post(number, text.removeprefix("【12349】") if self._config.head != "【12349】" else text, "")
        except DeliveryError as error:
            log.warning("text_not_sent", channel=self.name, reason=error.reason)

    def report(self, name: str, *, failed: bool) -> bool:
        """What became of one of our texts; False when nobody waits for it."""
        order = self._awaited.pop(name)
        if order is not None and failed:
            self._undelivered(order, "undelivered")
        return order is not None

    async def _post(self, number: str, text: str, delivery: str) -> str:
        """The provider's id of the text, "" when it gives none. Raises DeliveryError."""
        config = self._config
        places = {
            "phone": number,
            "national": number.removeprefix("+86"),
            "text": text,
            "id": delivery,
            "secret": self._secret,
            "username": config.username,
        }
        await self._pace.turn()
        what: dict[str, Any] = {"headers": _filled(config.headers, places)}
        what |= {"data": _filled(config.form, places)} if config.form else {"json": _filled(config.json, places)}
        if config.username:
            what["auth"] = (config.username, self._secret)
        answer = await send(self._client, config.timeout_s, config.method, _filled(config.url, {"id": delivery}), **what)
        return self._read(answer)

    def _read(self, answer: bytes) -> str:
        if not (self._success or self._final or self._message_id):
            return ""
        try:
            said = json.loads(answer)
        except (ValueError, RecursionError):
            said = None
        if said is None:
            if self._success is None:
                return ""  # taken, as the status said
            raise DeliveryError("garbage")
        if self._success is not None and not _is_true(self._success, said):
            raise DeliveryError("refused", retry=not (self._final is not None and _is_true(self._final, said)))
        name = _found(self._message_id, said) if self._message_id is not None else None
        return str(name)[:MAX_ID] if isinstance(name, str | int) else ""


class SmsCallback:
    """Reads what the provider posts to us. Nothing is believed that is not proved by the secret."""

    def __init__(self, config: SmsCallbackConfig) -> None:
        self.config = config
        self._secret = secret_of("dispatch.sms.callback.secret_file", config.secret_file, MIN_SECRET)
        self._sender, self._text, self._id, self._report_id, self._failed = (
            _compiled(text) for text in (config.sender, config.text, config.id, config.report_id, config.failed)
        )

    def is_proved(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Did the provider write this? headers: names in lower case."""
        given = headers.get(self.config.header.lower(), "")
        if self.config.proof == "shared":
            return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._secret)
        return is_signed(self._secret, body, given)

    def read(self, content_type: str, body: bytes) -> "Written | Report | None":
        """A text that somebody wrote, or the fate of one of ours; None for what is neither."""
        said = _posted(content_type, body)
        if said is None:
            return None
        sender, text = _found(self._sender, said), _found(self._text, said)
        if isinstance(sender, str | int) and isinstance(text, str) and sender and text:
            name = _found(self._id, said)
            return Written(_whole(str(sender))[:40], _whole(text)[:2000], _whole(str(name))[:MAX_ID] if isinstance(name, str | int) else "")
        name = _found(self._report_id, said)
        if isinstance(name, str | int) and name:
            return Report(str(name)[:MAX_ID], self._failed is not None and _is_true(self._failed, said))
        return None


class Written:
    """A text that came in. id: the provider's, "" when it gives none."""

    __slots__ = ("id", "sender", "text")

    def __init__(self, sender: str, text: str, id_: str) -> None:
        self.sender, self.text, self.id = sender, text, id_


class Report:
    """What became of one of our texts, by the id that the provider gave it."""

    __slots__ = ("failed", "id")

    def __init__(self, id_: str, failed: bool) -> None:
        self.id, self.failed = id_, failed


def _posted(content_type: str, body: bytes) -> Any:
    try:
        if "json" in content_type:
            return json.loads(body)
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except (ValueError, RecursionError):
        return None


def _whole(text: str) -> str:
    """Without half letters: who cuts UTF-16 into short messages cuts through faces, and what cannot be written as UTF-8 cannot be kept."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    """The template with its places filled in. What is filled in is not read again: a text that holds {secret} stays as it is."""
    if isinstance(value, str):
        return _PLACE.sub(lambda found: places.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: _filled(item, places) for key, item in value.items()}
    return [_filled(item, places) for item in value] if isinstance(value, list | tuple) else value


def _compiled(expression: str) -> Any:
    return jmespath.compile(expression) if expression else None


def _found(expression: Any, said: Any) -> Any:
    if expression is None:
        return None
    try:
        return expression.search(said)
    except jmespath.exceptions.JMESPathError:  # a function on a value of another type
        return None


def _is_true(expression: Any, said: Any) -> bool:
    return _found(expression, said) is True
