"""Two gateways must not both send help: who has a second machine asks it before it starts, and goes on asking while it runs.

Each take-over is counted in the journal's database (gateway.store.takeovers). Of two that have come from the same journal the one of the later
take-over goes on; the other one gives way: it raises an incident, leaves a mark, reads and sends nothing more, and ends. Nobody gives way to a
silence, nor to a word that is not proven by the token of `[spare]`, nor to an equal: two orders for one cry are better than none.
"""

import asyncio
import hashlib
import hmac
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from prometheus_client import CollectorRegistry, Gauge

from drivers.contract import Emit
from gateway.clock import utc_now
from gateway.config import Config
from gateway.errors import GatewayError, GaveWay, StoreDown
from gateway.event import Event, Kind, Phase, Severity
from gateway.own_api import HEALTHY
from gateway.spare_source import token_of

log = structlog.get_logger("spare")

ASK_S = 3.0  # a machine that is off must not hold up a start at night
EVERY_S = 5.0  # two orders for one cry for so long at most, once both can hear one another
KEEP_S = 5.0  # for the disk, before we end
NONCE = 32  # hexadecimal digits
TOLD = 16  # gateways of before that were told of; more within one run nobody has
LINE, DEVICE = "spare", "gateway"
GAVE_WAY = "gave-way"  # in the data folder
BACK = "make this machine its spare (gateway spare), then `gateway takeover` here; docs/guide/backup.md"
NEWER, OLDER, EQUAL, UNPROVEN = "other_gateway_newer", "other_gateway_older", "other_gateway_equal", "other_gateway_unproven"

Note = Callable[..., Awaitable[None]]


def runs(address: str, verify: ssl.SSLContext | bool = False) -> bool:
    """Does a gateway answer there? Whose certificate it shows does not matter: nothing is told to it, and a foreign one is no reason to start."""
    try:
        answer = httpx.get(f"{address.rstrip('/')}/healthz", timeout=ASK_S, verify=verify, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.content[: len(HEALTHY)] == HEALTHY


def refuse_if_other_runs(config: Config) -> None:
    """Raises GatewayError, with the remedy, when the machine of spare.other runs as the gateway already, GaveWay when this one has given way."""
    mark = config.data_folder / GAVE_WAY
    if mark.exists():
        raise GaveWay(
            f"this machine has given way ({mark.read_text('utf-8').strip()}): what the other one has heard since is not here. To go back: {BACK}."
            f" If the other one is lost for good, and this one must go on as it was: remove {mark} and start again"
        )
    if config.spare.other and runs(config.spare.other):
        host = urlsplit(config.spare.other).hostname
        raise GatewayError(f"a gateway runs on {host} already (spare.other): it has taken over, and two would both send help. To go back: {BACK}")


class Word(msgspec.Struct, frozen=True):
    """What a running gateway says of itself. instance: of this run; takeovers: of its journal; proof: by the token and the asker's number."""

    instance: str
    takeovers: int
    proof: str

    def is_proven(self, token: bytes, what: str, nonce: str) -> bool:
        """Has whoever says so the token, and is it no answer of before?"""
        return hmac.compare_digest(self.proof, _proof(token, what, nonce, self.instance, self.takeovers))


def _proof(token: bytes, what: str, nonce: str, instance: str, takeovers: int) -> str:
    return hmac.new(token, f"{what} {nonce} {instance} {takeovers}".encode(), hashlib.sha256).hexdigest()


class SpareGuard:
    """`run` beside the alarms asks the other machine; `answer` is asked by it. The token itself never travels."""

    def __init__(self, config: Config, receive: Emit, note: Note, registry: CollectorRegistry) -> None:
        self._other = config.spare.other.rstrip("/")
        self._mark: Path = config.data_folder / GAVE_WAY
        self._token = token_of(config)
        self._receive = receive
        self._note = note
        self._instance = secrets.token_hex(16)
        self._told = ""  # the reason of the incident that is open
        self._older: list[str] = []  # that have asked us
        self.takeovers = 0  # given by the app, once the database is open
        self.gave_way = ""  # what whoever starts us again must know
        self._runs = Gauge("gateway_spare_other_runs", "1: a gateway runs on the machine of spare.other, too", registry=registry)

    def counted(self, takeovers: int) -> None:
        """The database itself was taken over while we run (PostgreSQL). Any thread."""
        self.takeovers = takeovers

    async def run(self, stop: asyncio.Event, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Until cancelled, or until we give way: then `stop` is set."""
        if not self._other:
            return
        if not self._token:
            log.warning("spare.other is asked at the start only: nothing proves what it says without spare.token_file")
            return
        async with httpx.AsyncClient(timeout=ASK_S, verify=False, trust_env=False) as client:
            while not self.gave_way:
                await sleep(EVERY_S)
                await self._look(client, stop)

    async def _look(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        word = await self._ask(client)
        is_other = word is None or word.instance != self._instance  # our files may name ourselves: they were the first machine's
        reason = "" if not is_other else await self._unproven() if word is None else self._judged(word)
        self._runs.set(bool(reason))
        if reason == NEWER:
            await self._give_way(stop)
        elif reason != self._told:
            await self._tell(reason)

    def _judged(self, word: Word) -> str:
        return NEWER if word.takeovers > self.takeovers else OLDER if word.takeovers < self.takeovers else EQUAL

    async def _unproven(self) -> str:
        return UNPROVEN if await asyncio.to_thread(runs, self._other) else ""

    async def _ask(self, client: httpx.AsyncClient) -> Word | None:
        """None: nobody there says anything that is proven."""
        nonce = secrets.token_hex(NONCE // 2)
        mine = self._word("ask", nonce)
        asked = {"nonce": nonce, "instance": mine.instance, "takeovers": str(mine.takeovers), "proof": mine.proof}
        try:
            answer = await client.get(f"{self._other}/api/v1/spare/standing", params=asked)
            word = msgspec.json.decode(answer.content, type=Word)
        except (httpx.HTTPError, msgspec.MsgspecError):
            return None
        return word if word.is_proven(self._token, "answer", nonce) else None

    def _word(self, what: str, nonce: str) -> Word:
        return Word(self._instance, self.takeovers, _proof(self._token, what, nonce, self._instance, self.takeovers))

    async def answer(self, asked: Mapping[str, str]) -> Word | None:
        """To the other machine; None: without a token we say nothing. One of before that is proven is told to the desk: it gives way."""
        nonce = asked.get("nonce", "")
        if not self._token or len(nonce) != NONCE:
            return None
        try:
            other = Word(asked.get("instance", ""), int(asked.get("takeovers", "")), asked.get("proof", ""))
        except ValueError:
            other = None
        if (
            other is not None
            and other.takeovers < self.takeovers
            and other.instance not in self._older
            and other.is_proven(self._token, "ask", nonce)
        ):
            self._older = [*self._older[-TOLD:], other.instance]
            log.error("the machine of before has been running, too, and gives way", takeovers=other.takeovers, ours=self.takeovers)
            await self._tell(OLDER)
        return self._word("answer", nonce)

    async def _tell(self, reason: str) -> None:
        """An incident, until the other one is silent. What the disk cannot take now is told at the next look."""
        now = utc_now()
        detail: dict[str, object] = {"reason": reason or self._told, "takeovers": self.takeovers}
        event = Event(
            kind=Kind.FAULT,
            phase=Phase.RAISE if reason else Phase.CLEAR,
            line=LINE,
            device=DEVICE,
            received_at=now,
            occurred_at=now,
            severity=Severity.MAJOR,
            detail=detail,
        )
        (verdict,) = await self._receive([event])
        if verdict.kept:
            self._told = reason
            log.log(40 if reason else 20, "other_gateway", reason=reason or "silent", takeovers=self.takeovers)

    async def _give_way(self, stop: asyncio.Event) -> None:
        host = urlsplit(self._other).hostname
        self.gave_way = (
            f"a gateway of a later take-over runs on {host} (spare.other), and this one has given way: help is sent from there. What was heard here"
            f" since the take-over stands in this machine's journal only: look through it (gateway journal show). To go back: {BACK}"
        )
        log.critical("gave_way: this gateway ends, and is not started again by itself", other=host, takeovers=self.takeovers, to_go_back=BACK)
        try:
            async with asyncio.timeout(KEEP_S):
                await self._tell(NEWER)
                await self._note(Kind.AUDIT, "gateway", gave_way=host, takeovers=self.takeovers)
        except (StoreDown, TimeoutError):
            log.warning("the disk does not take it that we give way")
        try:
            self._mark.write_text(f"{utc_now():%Y-%m-%dT%H:%M:%SZ} to {host}\n", "utf-8")
        except OSError as error:
            log.warning("the mark that we have given way cannot be written", file=str(self._mark), reason=error.strerror)
        stop.set()
