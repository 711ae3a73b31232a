"""Orders as short messages through a provider's web interface: a whole gateway, a provider of the test's over real HTTP, answers posted back."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from waiting import wait_until

from gateway.app import STATIC, House
from gateway.config import read_config
from gateway.config.dispatch import CHECKS, SmsCallbackConfig, SmsChannelConfig
from gateway.console.http import make_app
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.order_words import code_of
from gateway.dispatch.short_messages import TURN_S, Pace
from gateway.dispatch.sms import SmsChannel
from gateway.errors import ConfigError
from gateway.event import Kind
from tests.dispatch.text_house import CENTRE, STATION, Web, cries, elders, gateway, legs, web

SECRET = b"a secret of the provider's and ours"
SETTINGS = """
[dispatch.sms]
url = "{url}/send/{{id}}"
headers = {{ Authorization = "Bearer {{secret}}" }}
json = {{ to = ["{{phone}}"], content = "{{text}}", reference = "{{id}}" }}
secret_file = "sms.secret"
success = "code == `0`"
final = "code == `1001`"
message_id = "data.id"
timeout_s = 1
[dispatch.sms.callback]
secret_file = "callback.secret"
report_id = "report.id"
failed = "report.status == 'UNDELIV'"
"""


def provider_house(folder: Path, server: Web, more: str = "") -> Any:
    (folder / "sms.secret").write_text("key-of-ours\n")
    (folder / "callback.secret").write_bytes(SECRET + b"\n")
    server.answers = [(200, b'{"code":0,"data":{"id":"m1"}}')]
    return gateway(folder, "sms", SETTINGS.format(url=server.url) + more)


async def posts(house: House, body: bytes, *, content_type: str = "application/json", signature: str | None = None) -> int:
    """The provider posts to /api/v1/texts; gives the status."""
    if signature is None:
        signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    status, _ = await house.short_message({"x-signature": signature}, content_type, body)
    return status


def written(sender: str, text: str, name: str = "in-1") -> bytes:
    return json.dumps({"from": sender, "text": text, "id": name}).encode()


async def test_from_the_order_to_done(tmp_path: Path) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
            leg, ((path, headers, body),) = elders(house).legs[0], server.requests
            assert path == f"/send/{leg.delivery}"
            assert headers["authorization"] == "Bearer key-of-ours"
            said, four = json.loads(body), code_of(leg.delivery)
            assert (said["to"], said["reference"]) == ([STATION], leg.delivery)
            assert said["content"].startswith(f"【12349】SOS 求助 {elders(house).id}：王秀兰")
            assert f"1 {four} 接受" in said["content"]
            answers = [(f"1 {four}", "accepted"), (f"接受{four}", "accepted"), (f"3{four}", "arrived"), (f"4 {four}", "done")]
            for number, (answer, state) in enumerate(answers):
                assert await posts(house, written("17400000001", answer, f"in-{number}")) == 200
                assert legs(house) == [("station", state)], "stored before the provider is answered"
            assert STATION not in path


async def test_not_signed_wrongly_signed_and_garbage_change_nothing(tmp_path: Path) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
            accept = written(STATION, f"1 {code_of(elders(house).legs[0].delivery)}")
            other = "sha256=" + hmac.new(b"another secret altogether", accept, hashlib.sha256).hexdigest()
            for signature in ("", "sha256=", other, "ü"):
                assert await posts(house, accept, signature=signature) == 401
            for body in (b"", b"{", b"[]", b'{"from":1,"text":{}}', b"\xff"):
                assert await posts(house, body) == 400
            assert await posts(house, b"a=" + b"1&a=" * 200, content_type="application/x-www-form-urlencoded") == 400
            assert legs(house) == [("station", "sent")]


async def test_half_a_letter_costs_no_answer_and_no_cry(tmp_path: Path) -> None:
    """Providers cut UTF-16 wherever a part ends; JSON can hold such a half, UTF-8 and the store cannot."""
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
            accept = f"1 {code_of(elders(house).legs[0].delivery)} 马上到\ud83d"
            assert await posts(house, written(STATION, accept)) == 200
            assert legs(house) == [("station", "accepted")]
            assert await posts(house, written("+8617400000099", "摔倒了\ud83d", "in-2\udc00")) == 200
            assert [one.kind for one in house.incidents.values() if one.person is None] == [Kind.HELP]


async def test_a_replayed_callback_is_known(tmp_path: Path) -> None:
    """Accepted, then declined; the accept comes once more, signature and all: it is the same message and changes nothing."""
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
            four = code_of(elders(house).legs[0].delivery)
            accept = written(STATION, f"1 {four}", "in-1")
            assert await posts(house, accept) == 200
            assert await posts(house, written(STATION, f"2 {four}", "in-2")) == 200
            before = legs(house)
            assert before[0] == ("station", "declined")
            assert await posts(house, accept) == 200
            assert legs(house) == before


@pytest.mark.parametrize(
    ("answer", "reason", "retry"),
    [
        ((200, b'{"code":1001}'), "refused", False),
        ((200, b'{"code":7}'), "refused", True),
        ((200, b"<html>busy</html>"), "garbage", True),
        ((200, b""), "garbage", True),
        ((400, b"{}"), "http_400", False),
        ((429, b"{}"), "http_429", True),
        ((503, b"{}"), "http_503", True),
        ((302, b"{}"), "http_302", True),
    ],
)
async def test_what_the_provider_says(tmp_path: Path, answer: tuple[int, bytes], reason: str, retry: bool) -> None:
    with web() as server:
        server.answers = [answer]
        channel = SmsChannel(config(server.url))
        with pytest.raises(DeliveryError) as failed:
            await channel.deliver(order())
        assert (failed.value.reason, failed.value.retry) == (reason, retry)
        await channel._client.aclose()


async def test_no_answer_and_nobody_there(tmp_path: Path) -> None:
    with web() as server:
        server.may_answer.clear()
        channel = SmsChannel(msgspec.structs.replace(config(server.url), timeout_s=0.2))
        with pytest.raises(DeliveryError, match="timeout"):
            await channel.deliver(order())
        await channel._client.aclose()
    channel = SmsChannel(config(server.url))
    with pytest.raises(DeliveryError, match="unreachable"):
        await channel.deliver(order())
    await channel._client.aclose()


def config(url: str) -> SmsChannelConfig:
    return SmsChannelConfig(url=f"{url}/send", json={"to": "{phone}", "text": "{text}"}, success="code == `0`", final="code == `1001`")


def order(body: bytes = b'{"delivery":"d1","incident":"I1","kind":"sos","severity":"critical"}') -> Order:
    return Order(delivery="d1", incident="I1", responder="station", address=STATION, body=body)


async def test_refused_the_next_one_up_is_asked(tmp_path: Path) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            server.answer = lambda _path, _headers, body: (200, b'{"code":1001}' if STATION.encode() in body else b'{"code":0,"data":{"id":"m2"}}')
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "sent")], "the centre is asked")
            assert json.loads(server.requests[-1][2])["to"] == [CENTRE]


async def test_a_report_that_it_will_not_arrive_fails_the_order(tmp_path: Path) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
            assert await posts(house, b'{"report":{"id":"nobody","status":"UNDELIV"}}') == 200
            assert legs(house) == [("station", "sent")]
            server.answers = [(200, b'{"code":0,"data":{"id":"m2"}}')]
            assert await posts(house, b'{"report":{"id":"m1","status":"UNDELIV"}}') == 200
            await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "sent")], "the centre is asked")
            assert elders(house).legs[0].reason == "undelivered"


async def test_an_elder_who_writes_is_a_call_for_help(tmp_path: Path) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            assert await posts(house, written("17400000003", "我头晕")) == 200
            (incident,) = house.incidents.values()
            assert incident.kind is Kind.HELP


async def test_codes_cannot_be_tried_out(tmp_path: Path) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
            four = int(code_of(elders(house).legs[0].delivery))
            for attempt in range(1, 7):
                await posts(house, written(STATION, f"1 {(four + attempt) % 10_000:04}", f"in-{attempt}"))
            await posts(house, written(STATION, f"1 {four:04}", "in-9"))
            assert legs(house) == [("station", "sent")], "after five wrong ones even the right one is read by a person"
            assert any(one.kind is Kind.HELP for one in house.incidents.values())
            await wait_until(lambda: len(server.requests) == 2, "one hint, not six")


async def test_a_form_with_basic_authentication_and_the_national_number(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pass")
    with web() as server:
        settings = SmsChannelConfig(
            url=f"{server.url}/send", form={"mobile": "{national}", "msg": "{text}"}, username="user", secret_file=str(tmp_path / "secret"), head=""
        )
        channel = SmsChannel(settings, lambda: "en")
        await channel.deliver(order(b'{"text":"a {secret} & b=c"}'))
        ((_, headers, body),) = server.requests
        assert dict(parse_qsl(body.decode())) == {"mobile": "17400000001", "msg": "a {secret} & b=c"}, "what is filled in is not read again"
        assert headers["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
        await channel._client.aclose()


async def test_the_pace() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(60, clock=lambda: 100.0)
    for _ in range(6):
        await pace.turn(sleep)
    assert slept == []
    for _ in range(int(TURN_S)):
        await pace.turn(sleep)
    assert slept == [float(second) for second in range(1, int(TURN_S) + 1)]
    with pytest.raises(DeliveryError, match="busy"):
        await pace.turn(sleep)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("url", 'url = "https://h/{phone}"\njson = { t = "{text}", p = "{phone}" }', "addresses stand in logs"),
        ("url", 'url = "h"\njson = { t = "{text}", p = "{phone}" }', "no web address"),
        ("form", 'url = "https://h/"', "both missing"),
        ("form", 'url = "https://h/"\njson = { t = "{text}", p = "{phone}" }\nform = { t = "x" }', "exactly one"),
        ("json", 'url = "https://h/"\njson = { t = "{text}", p = "{phone}", x = "{name}" }', "{name}, which is not known"),
        ("form", 'url = "https://h/"\njson = { t = "{text}" }', "no {phone}"),
        ("secret_file", 'url = "https://h/"\njson = { t = "{text}", p = "{phone}", k = "{secret}" }', "is missing"),
        ("success", 'url = "https://h/"\njson = { t = "{text}", p = "{phone}" }\nsuccess = "code ="', "no JMESPath"),
    ],
)
def test_faults_of_the_configuration_name_the_key(tmp_path: Path, key: str, text: str, words: str) -> None:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text(f"[dispatch.sms]\n{text}\n")
    with pytest.raises(ConfigError) as problem:
        read_config(tmp_path / "gateway.toml")
    assert f"dispatch.sms.{key}: " in str(problem.value)
    assert words in str(problem.value)


def test_the_example_of_the_type_is_without_fault() -> None:
    assert list(CHECKS[SmsChannelConfig](config("https://h"))) == []
    assert list(CHECKS[SmsCallbackConfig](SmsCallbackConfig(secret_file="x"))) == []


async def test_over_http(tmp_path: Path) -> None:
    """The routes themselves: /api/v1/texts for the provider, and the same incident as a CAP alert."""
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                await cries(house)
                await wait_until(lambda: legs(house) == [("station", "sent")], "the provider has the text")
                accept = written(STATION, f"1 {code_of(elders(house).legs[0].delivery)}")
                headers = {"content-type": "application/json", "x-signature": "sha256=" + hmac.new(SECRET, accept, hashlib.sha256).hexdigest()}
                refused = await client.post("/api/v1/texts", content=accept, headers=headers | {"x-signature": "sha256=00"})
                assert (refused.status_code, refused.json()["reason"]) == (401, "bad_signature")
                taken = await client.post("/api/v1/texts", content=accept, headers=headers)
                assert (taken.status_code, taken.text) == (200, '{"code":0}')
                assert legs(house) == [("station", "accepted")]
                cap = await client.get(f"/api/v1/incidents/{elders(house).id}/cap", params={"language": "en", "to": "119"})
                assert (cap.status_code, cap.headers["content-type"]) == (200, "application/cap+xml")
                assert "<event>SOS</event>" in cap.text
                assert "王秀兰" not in cap.text
                assert (await client.get("/api/v1/incidents/I0/cap")).status_code == 404
                assert (await client.get(f"/api/v1/incidents/{elders(house).id}/cap", params={"language": "fr"})).status_code == 400


async def test_no_number_is_in_any_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with web() as server:
        async with provider_house(tmp_path, server) as house:
            server.answer = lambda _path, _headers, body: (200, b'{"code":1001}' if STATION.encode() in body else b"garbage")
            await cries(house)
            await wait_until(lambda: ("station", "failed") in legs(house), "refused")
            await wait_until(lambda: house.metrics.orders.labels("sms", "retried")._value.get() >= 1, "garbage")
            await posts(house, written("17400000009", "你好"))
    said = "".join(capfd.readouterr())
    assert "ready" in said
    assert "17400000" not in said
