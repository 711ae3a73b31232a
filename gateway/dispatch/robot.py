"""Orders into chat groups: the robots of WeCom (企业微信群机器人) and DingTalk (钉钉自定义机器人). A group hears; it answers by the link or by voice.

Sources: the platforms' own pages on group robots: 20 messages a minute each; WeCom errcode 45009 too many, 93000 bad address; DingTalk signs with
HMAC-SHA-256 of "<ms>\\n<secret>" under the secret, base64, in the query; errcode 310000 bad signature, key word or address, 130101, 410100 too many.
"""

import asyncio
import base64
import hmac
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import structlog

from drivers.token_bucket import Bucket
from gateway.clock import monotonic, utc_now
from gateway.config.dispatch import RobotConfig
from gateway.config.words import is_web_address
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.order_words import group_text, is_order, read_order, words_of
from gateway.dispatch.outgoing_http import hold, new_client, send
from gateway.errors import ConfigError
from gateway.secrets import secret_of

TOO_MANY = frozenset((45009, 130101, 410100))
FINAL = frozenset((93000, 310000, 300001, 40008, 40035))  # bad address, signature or content: trying again is of no use
MAX_TEXT = 2000  # octets; WeCom takes 2048 of a text, DingTalk 20,000
# Notices that wait for room (withdrawn, taken, repeated): the latest of each delivery; a robot sends the first orders of a whole minute meanwhile.
MAX_NOTICES = 200
NOTICES_SHOWN = 10
KEPT_FOR_ORDERS = 5.0  # of the bucket: a storm of notices must not take the room of a first order

log = structlog.get_logger("robot")


class _Robot(NamedTuple):
    config: RobotConfig
    url: str
    secret: str
    bucket: Bucket
    notices: OrderedDict[str, str]  # delivery → words, newest last
    something: asyncio.Event  # … waits


class RobotChannel:
    """`deliver` returns when the platform has taken the message (errcode 0). First orders leave one by one, at once or not at all (retry).

    Notices are coalesced when the platform's limit is near: what waits leaves with the next message or when there is room, the newest of each
    delivery. They are courtesies: those that wait are lost when the gateway stops.
    """

    name = "robot"

    def __init__(
        self,
        configs: tuple[RobotConfig, ...],
        language: Callable[[], str] = lambda: "zh-CN",
        area: Callable[[Order], str] = lambda _order: "",
        clock: Callable[[], float] = monotonic,
        now: Callable[[], float] = lambda: utc_now().timestamp(),
    ) -> None:
        self._language = language
        self._area = area
        self._clock = clock
        self._now = now
        self._robots = {config.name: _robot(config) for config in configs}
        self._client = new_client(max(config.timeout_s for config in configs))

    async def run(self) -> None:
        """Send what was put off when there is room again; hold the pool of connections until cancelled."""
        late = [asyncio.create_task(self._send_late(robot), name=f"dispatch-robot-notices {name}") for name, robot in self._robots.items()]
        try:
            await hold(self._client)
        finally:
            for task in late:
                task.cancel()

    async def _send_late(self, robot: _Robot) -> None:
        """Of one robot: a group whose platform is away keeps no other group waiting."""
        while True:
            await robot.something.wait()
            robot.something.clear()
            while robot.notices:
                await asyncio.sleep((1 + KEPT_FOR_ORDERS) / robot.bucket.per_s)
                if robot.notices and robot.bucket.level(self._clock()) >= 1:
                    try:
                        await self._with_waiting(robot, "")
                    except DeliveryError as error:
                        if not error.retry:  # the group is gone: whoever waits for courtesies there waits in vain
                            robot.notices.clear()

    async def deliver(self, order: Order) -> None:
        """Send once. Cancelling: it may or may not be shown."""
        robot = self._robots.get(order.address)
        if robot is None:
            raise DeliveryError("no_such_robot", retry=False)
        said = read_order(order.body)
        config, language, clock = robot.config, self._language(), self._clock()
        text = group_text(said, language, self._area(order), details=config.details, link=config.link)
        is_first = is_order(said) and not order.repeat
        if not is_first and robot.bucket.level(clock) < 1 + KEPT_FOR_ORDERS:
            self._put_off(robot, order.delivery, text)
            return
        if robot.bucket.level(clock) < 1:
            raise DeliveryError("rate_limit")
        await self._with_waiting(robot, text)

    async def _with_waiting(self, robot: _Robot, text: str) -> None:
        """Post the text, and with it what waits."""
        robot.bucket.charge(1.0, self._clock())
        waiting = dict(robot.notices)
        await self._post(robot, _with_notices(text, list(waiting.values()), self._language()))
        for delivery, words in waiting.items():
            if robot.notices.get(delivery) == words:
                del robot.notices[delivery]

    def _put_off(self, robot: _Robot, delivery: str, text: str) -> None:
        robot.something.set()
        robot.notices.pop(delivery, None)
        robot.notices[delivery] = text
        if len(robot.notices) > MAX_NOTICES:
            robot.notices.popitem(last=False)

    async def _post(self, robot: _Robot, text: str) -> None:
        url = robot.url
        if robot.secret:
            at = str(int(self._now() * 1000))
            sign = base64.b64encode(hmac.digest(robot.secret.encode(), f"{at}\n{robot.secret}".encode(), "sha256")).decode()
            url += ("&" if "?" in url else "?") + urlencode({"timestamp": at, "sign": sign})
        message = {"msgtype": "text", "text": {"content": text.encode()[:MAX_TEXT].decode("utf-8", "ignore")}}
        answer = await send(self._client, robot.config.timeout_s, "POST", url, json=message)
        code = _error_code(answer)
        if code is None:
            raise DeliveryError("garbage")
        if code in TOO_MANY:
            robot.bucket.charge(robot.bucket.level(self._clock()), self._clock())  # the platform counts otherwise than we: wait
            raise DeliveryError("rate_limit")
        if code:
            log.warning("robot_refused", robot=robot.config.name, errcode=code)
            raise DeliveryError(f"errcode_{code}", retry=code not in FINAL)


def _robot(config: RobotConfig) -> _Robot:
    where = f"dispatch.robot {config.name}"
    url = secret_of(f"{where}: url_file", config.url_file).decode("utf-8", "replace")
    if not is_web_address(url):
        raise ConfigError([f"{where}: url_file: {config.url_file} holds no web address; paste the robot's address into it"])
    secret = secret_of(f"{where}: secret_file", config.secret_file).decode("utf-8", "replace") if config.secret_file else ""
    return _Robot(config, url, secret, Bucket(config.per_minute / 60, float(config.per_minute)), OrderedDict(), asyncio.Event())


def _with_notices(text: str, notices: list[str], language: str) -> str:
    if not notices:
        return text
    newest = notices[-NOTICES_SHOWN:]
    if not text:
        return "\n".join(newest)
    return f"{text}\n{words_of(language).others.format(len(notices), ' '.join(newest))}"


def _error_code(answer: bytes) -> int | None:
    try:
        said: Any = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    code = said.get("errcode") if isinstance(said, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None
