"""The web hook channel against a real HTTP server."""

import asyncio
import gzip
import hashlib
import hmac
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from waiting import WAIT_S

from gateway.config import DispatchConfig, MqttChannelConfig, WebhookChannelConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.registry import build_channels, check_channels
from gateway.dispatch.webhook import WebhookChannel
from gateway.errors import ConfigError

SECRET = b"0123456789abcdef-secret"
BODY = '{"delivery":"d1","kind":"sos","person":{"name":"张某"}}'.encode()


class Receiver:
    """A responder's web server: remembers what it got and answers what the test lays out, the last answer for ever."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, bytes]] = [(200, b"")]
        self.encoding = ""
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                status, answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                receiver.may_answer.wait(WAIT_S)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                if receiver.encoding:
                    self.send_header("Content-Encoding", receiver.encoding)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_arguments: object) -> None: ...  # who gave up waiting is no error here

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/orders"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    return str(tmp_path / "secret")


@pytest.fixture
async def channel(secret_file: str) -> AsyncIterator[Callable[..., WebhookChannel]]:
    running: list[asyncio.Task[None]] = []

    def channel(timeout_s: float = 5, **more: object) -> WebhookChannel:
        made = WebhookChannel(WebhookChannelConfig(secret_file=secret_file, timeout_s=timeout_s), **more)
        running.append(asyncio.create_task(made.run()))
        return made

    yield channel
    await asyncio.sleep(0)  # a run that has begun closes its pool when cancelled
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def order(url: str, repeat: int = 0) -> Order:
    return Order(delivery="d1", incident="i1", responder="clinic-1", address=url, body=BODY, repeat=repeat)


async def failure(delivery) -> tuple[str, bool]:
    with pytest.raises(DeliveryError) as failed:
        await delivery
    return failed.value.reason, failed.value.retry


async def test_the_signature_proves_the_body(receiver: Receiver, channel) -> None:
    await channel().deliver(order(receiver.url))
    [(path, headers, body)] = receiver.requests
    assert (path, body) == ("/orders", BODY)
    assert headers["content-type"] == "application/json"
    assert headers["x-delivery"] == "d1"
    # what a responder would do: HMAC-SHA-256 of the bytes as they came (RFC 2104, FIPS 180-4)
    assert headers["x-signature"] == "sha256=" + hmac.digest(SECRET, body, hashlib.sha256).hex()


def test_hmac_by_the_published_vector(tmp_path: Path) -> None:
    """RFC 4231, 4.3 (test case 2): the primitive the signature is made of."""
    assert hmac.digest(b"Jefe", b"what do ya want for nothing?", "sha256").hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


async def test_a_second_try_has_the_same_id(receiver: Receiver, channel) -> None:
    receiver.answers = [(503, b""), (200, b"")]
    hook = channel()
    assert await failure(hook.deliver(order(receiver.url))) == ("http_503", True)
    await hook.deliver(order(receiver.url, repeat=1))
    assert [headers["x-delivery"] for _, headers, _ in receiver.requests] == ["d1", "d1"]
    assert receiver.requests[0][2] == receiver.requests[1][2]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_delivered(status: int, receiver: Receiver, channel) -> None:
    receiver.answers = [(status, b"")]
    await channel().deliver(order(receiver.url))


@pytest.mark.parametrize(
    ("status", "retry"), [(400, False), (401, False), (404, False), (410, False), (408, True), (429, True), (500, True), (502, True)]
)
async def test_refused(status: int, retry: bool, receiver: Receiver, channel) -> None:
    receiver.answers = [(status, b"reason")]
    assert await failure(channel().deliver(order(receiver.url))) == (f"http_{status}", retry)


async def test_no_redirect_is_followed(receiver: Receiver, channel) -> None:
    receiver.answers = [(307, b"")]
    assert await failure(channel().deliver(order(receiver.url))) == ("http_307", True)
    assert len(receiver.requests) == 1


async def test_nobody_listens(receiver: Receiver, channel) -> None:
    receiver.close()
    assert await failure(channel().deliver(order(receiver.url))) == ("unreachable", True)


async def test_a_server_that_does_not_answer(receiver: Receiver, channel) -> None:
    receiver.may_answer.clear()
    assert await failure(channel(timeout_s=0.2).deliver(order(receiver.url))) == ("timeout", True)
    receiver.may_answer.set()


@pytest.mark.parametrize("address", ["", "no address", "ftp://host/", "http:///orders", "stations/x"])
async def test_an_address_that_is_none(address: str, channel) -> None:
    assert await failure(channel().deliver(order(address))) == ("bad_address", False)


async def test_an_answer_in_the_body_is_handed_on(receiver: Receiver, channel) -> None:
    answers: list[tuple[str, bytes]] = []
    receiver.answers = [(200, b'{"delivery":"d1","answer":"accept"}'), (200, b"x" * 100_000), (204, b"")]
    hook = channel(answered=lambda responder, body: answers.append((responder, body)))
    for _ in range(3):
        await hook.deliver(order(receiver.url))
    assert answers == [("clinic-1", b'{"delivery":"d1","answer":"accept"}')]


async def test_channels_of_the_configuration(tmp_path: Path, secret_file: str) -> None:
    config = DispatchConfig(mqtt=MqttChannelConfig(broker="mqtt://h"), webhook=WebhookChannelConfig(secret_file="secret"))
    assert check_channels(config, tmp_path) == []
    channels = build_channels(config, tmp_path)
    assert sorted(channels) == ["mqtt", "webhook"]
    assert build_channels(DispatchConfig(), tmp_path) == {}


async def test_every_fault_is_told(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    config = DispatchConfig(mqtt=MqttChannelConfig(broker="http://h"), webhook=WebhookChannelConfig(secret_file="none"))
    for tell in (lambda: build_channels(config, tmp_path), lambda: _raise(check_channels(config, tmp_path))):
        with pytest.raises(ConfigError) as problem:
            tell()
        assert [text.split(":")[0] for text in problem.value.problems] == ["dispatch.mqtt.broker", "dispatch.webhook.secret_file"]
    with pytest.raises(ConfigError, match="holds 5 bytes"):
        WebhookChannel(WebhookChannelConfig(secret_file=str(tmp_path / "short")))


def _raise(problems: list[str]) -> None:
    raise ConfigError(problems)


async def test_the_time_is_signed_against_replay(receiver: Receiver, channel) -> None:
    """What a receiver does: the second signature covers the time, so that an order kept by somebody cannot be sent again an hour later."""
    times = iter((1_740_909_600.5, 1_740_909_700.0))
    hook = channel(now=lambda: next(times))
    for repeat in (0, 1):
        await hook.deliver(order(receiver.url, repeat=repeat))
    stamps = []
    for _, headers, body in receiver.requests:
        stamps.append(headers["x-timestamp"])
        wanted = hmac.new(SECRET, headers["x-timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert headers["x-signature-timed"] == f"sha256={wanted}"
    assert stamps == ["1740909600", "1740909700"]


async def test_an_answer_that_never_ends_or_breaks_off_is_no_answer(receiver: Receiver, channel) -> None:
    """The order is delivered, whatever stands in the body."""
    answers: list[tuple[str, bytes]] = []
    hook = channel(answered=lambda responder, body: answers.append((responder, body)))
    for body in (b"\xff\xfe garbage", b"<html>", b"[]"):
        receiver.answers = [(200, body)]
        await hook.deliver(order(receiver.url))
    assert [body for _, body in answers] == [b"\xff\xfe garbage", b"<html>", b"[]"], "read by the one who reads stations' replies, and rejected there"


async def test_a_packed_answer_is_not_unpacked(receiver: Receiver, channel) -> None:
    """825 octets that are 400 MB unpacked: the loop that alarms need would stand still for a second."""
    answers: list[bytes] = []
    hook = channel(answered=lambda _responder, body: answers.append(body))
    receiver.encoding = "gzip, gzip"
    receiver.answers = [(200, gzip.compress(gzip.compress(b'{"delivery": "d1", "answer": "accept"}')))]
    await hook.deliver(order(receiver.url))
    assert receiver.requests[0][1]["accept-encoding"] == "identity"
    assert answers == []


async def test_a_name_that_is_none_is_a_bad_address(channel) -> None:
    assert await failure(channel().deliver(order("http://xn--/"))) == ("bad_address", False)
