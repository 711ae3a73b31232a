"""A SCAIP home unit: alarms and heartbeats by SIP MESSAGE, a list of receivers with fall-back, the voice call after an accepted alarm.

    simulate home-unit --receiver udp:127.0.0.1:5060 --alarm 0003:0010 --voice 127.0.0.1:5070 --number 12349

Standard output has one JSON object a message: {"cid", "ref", "mty", "outcome", "snu", "tries", "call"}. Exit 0: all were taken over.
Only a status number 0 means taken over; 200 without `<mrs>`, 503, silence or another number make it try the next receiver.
"""

import argparse
import asyncio
import contextlib
import json
import re
import secrets
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from xml.sax.saxutils import escape, unescape

from simulators.exchange.sip_parse import Message
from simulators.home_call import VoiceCall
from simulators.home_link import ALGORITHMS, T1_S, Answer, HomeLink, Receiver
from simulators.sip_text import Address

ANSWER_S = 20.0  # caruhome's unit waits so long for the `<mrs>`
HOLD_S = 60.0  # after "hold": so long for another one
ORDER = ("ref", "ver", "sco", "cha", "mty", "hbo", "cid", "dty", "did", "dco", "dte", "crd", "stc", "stt", "pri", "lco", "lva", "lge", "lte", "ame")
OK, HOLD, BUSY = 0, 4, 6


@dataclass(slots=True)
class Try:
    """One receiver asked. code: of the SIP transaction; snu: of the `<mrs>`, None when none came; sent: transmissions."""

    receiver: str
    code: int
    sent: int
    snu: int | None = None


@dataclass(slots=True)
class Said:
    """One message and what became of it: confirmed (snu 0) or lost. answer: fields of the last `<mrs>`; call: final code of the voice call."""

    cid: str
    ref: str
    mty: str
    outcome: str = "lost"
    answer: dict[str, str] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)
    call: int = 0

    def to_json(self) -> str:
        told = {"cid": self.cid, "ref": self.ref, "mty": self.mty, "outcome": self.outcome, "snu": self.answer.get("snu"), "call": self.call}
        return json.dumps(told | {"tries": [asdict(one) for one in self.tries]})


class HomeUnit:
    """One unit. voice: where its calls go, UDP (None: it has no microphone); number: what it asks for there. `said` keeps everything, in order."""

    def __init__(
        self,
        cid: str,
        receivers: list[Receiver],
        *,
        account: str = "",
        password: str = "",
        algorithms: tuple[str, ...] = tuple(ALGORITHMS),
        voice: Address | None = None,
        number: str = "",
        talk_s: float = 2.0,
        t1_s: float = T1_S,
        answer_s: float = ANSWER_S,
        hold_s: float = HOLD_S,
        tls: ssl.SSLContext | None = None,
        root: str = "mrq",
        content_type: str = "application/scaip+xml",
    ) -> None:
        self.cid = cid
        self.receivers = receivers
        self.said: list[Said] = []
        self.link = HomeLink(cid, self._heard, account=account, password=password, t1_s=t1_s, algorithms=algorithms, tls=tls)
        self._voice = voice
        self._number = number
        self._talk_s = talk_s
        self._t1_s = t1_s
        self._answer_s = answer_s
        self._hold_s = hold_s
        self._root = root
        self._content_type = content_type
        self._first = secrets.token_hex(3)
        self._answers: dict[str, asyncio.Queue[dict[str, str]]] = {}

    async def __aenter__(self) -> "HomeUnit":
        await self.link.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.stop()

    async def alarm(self, dty: str = "0003", stc: str = "0010", **tags: str) -> Said:
        """Somebody presses; then the call, if there is a voice and the receiver wants one."""
        said = await self.say("ME", dty=dty, stc=stc, crd=f"sip:{self.cid}@home.example", **tags)
        if said.outcome == "confirmed" and self._voice is not None and said.answer.get("mre", "00").lstrip("0"):
            said.call = await self.call(self._voice, said.answer.get("tnu", "") if said.answer.get("cre") == "62" else self._number)
        return said

    async def beat(self) -> Said:
        """One heartbeat."""
        return await self.say("PI", dty="0002")

    async def beats(self, every_s: float) -> None:
        """Heartbeats until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(every_s)

    async def say(self, mty: str, ref: str = "", **tags: str) -> Said:
        """One message to the receivers in their order, until one takes it over."""
        said = Said(self.cid, ref or f"{self._first}{len(self.said):06}", mty)
        self.said.append(said)
        body = self._request({"ref": said.ref, "mty": mty, "cid": self.cid, **tags})
        inbox = self._answers[said.ref] = asyncio.Queue()
        try:
            for receiver in self.receivers:
                if await self._ask(receiver, body, said, inbox):
                    said.outcome = "confirmed"
                    break
        finally:
            del self._answers[said.ref]
        return said

    async def _ask(self, receiver: Receiver, body: bytes, said: Said, inbox: "asyncio.Queue[dict[str, str]]") -> bool:
        """Does this receiver take it over?"""
        answer: Answer = await self.link.message(receiver, body, self._content_type)
        one = Try(str(receiver), answer.code, answer.sent)
        said.tries.append(one)
        if not 200 <= answer.code < 300:
            return False
        if answer.message is not None and answer.message.body:  # the variant with the answer inside
            inbox.put_nowait(fields_of(answer.message.body))
        wait_s = self._answer_s
        while True:
            try:
                async with asyncio.timeout(wait_s):  # not wait_for: in Python 3.11 it may swallow a cancellation
                    said.answer = await inbox.get()
            except TimeoutError:
                return False
            one.snu = int(said.answer["snu"]) if said.answer.get("snu", "").isdigit() else None
            if one.snu != HOLD:
                return one.snu == OK
            wait_s = self._hold_s

    def _request(self, values: dict[str, str]) -> bytes:
        inner = "".join(f"<{tag}>{value if tag == 'lge' else escape(value)}</{tag}>" for tag in ORDER if (value := values.get(tag)))
        return f"<{self._root}>{inner}</{self._root}>".encode()

    def _heard(self, message: Message) -> None:
        """An `<mrs>` for something we are waiting for; others are nobody's."""
        answer = fields_of(message.body)
        inbox = self._answers.get(answer.get("ref", "")) or (next(iter(self._answers.values()), None) if "ref" not in answer else None)
        if inbox is not None:
            inbox.put_nowait(answer)

    async def call(self, address: Address, target: str = "", talk_s: float | None = None) -> int:
        """The voice call: INVITE, ACK, BYE over a UDP socket of its own. The final code of the INVITE, 0 for none."""
        return await VoiceCall(self.cid, address, target, self._t1_s).run(self._talk_s if talk_s is None else talk_s)


def fields_of(body: bytes) -> dict[str, str]:
    """Tags of an `<mrs>`, text unescaped."""
    return {tag: unescape(value) for tag, value in re.findall(r"<([a-z]{3})>([^<]*)</\1>", body.decode("utf-8", "replace"))}


@contextlib.asynccontextmanager
async def street(units: list[HomeUnit]) -> AsyncIterator[list[HomeUnit]]:
    """Several units at once."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(unit) for unit in units]


def parser() -> argparse.ArgumentParser:
    """The command line of `simulate home-unit`."""
    found = argparse.ArgumentParser(prog="simulate home-unit", description="SCAIP home units that send alarms and heartbeats by SIP MESSAGE.")
    found.add_argument(
        "--receiver", action="append", required=True, metavar="udp:HOST:PORT", help="also tcp:, tls:; several: the unit's list in order"
    )
    found.add_argument("--cid", default="1234567890", help="id of the first unit (default %(default)s); the next ones count up")
    found.add_argument("--units", type=int, default=1, metavar="N")
    found.add_argument(
        "--alarm", action="append", default=[], metavar="DTY:STC", help="each unit sends these, one after the other: 0003:0010 is a press"
    )
    found.add_argument("--heartbeats", type=int, default=0, metavar="N", help="each unit sends so many")
    found.add_argument("--every", type=float, default=60.0, metavar="S", help="pause between heartbeats (default %(default)g)")
    found.add_argument("--account", default="", help="for digest (default: the cid)")
    found.add_argument("--password", default="")
    found.add_argument("--voice", type=_address, metavar="HOST:PORT", help="call there by UDP after an alarm was taken over")
    found.add_argument("--number", default="", help="the number that it calls there, for instance 12349; an answer with tnu says another")
    found.add_argument("--talk", type=float, default=2.0, metavar="S")
    found.add_argument("--drop", type=int, default=0, metavar="N", help="lose the first N answers: 4 makes five transmissions of one request")
    found.add_argument("--insecure", action="store_true", help="tls: believe any certificate")
    return found


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not like 127.0.0.1:5070")
    return host, int(port)


def main(arguments: list[str]) -> int:
    """`simulate home-unit`: 0 when every message was taken over, 1 when not, 2 for wrong use."""
    options = parser().parse_args(arguments)
    try:
        receivers = [Receiver.read(text) for text in options.receiver]
        first = int(options.cid)
    except ValueError as error:
        print(f"simulate home-unit: {error}", file=sys.stderr)
        return 2
    context = ssl.create_default_context()
    if options.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    units = [
        HomeUnit(
            f"{first + number:0{len(options.cid)}}", receivers, account=options.account, password=options.password, voice=options.voice,
            number=options.number, talk_s=options.talk, tls=context,
        )
        for number in range(options.units)
    ]  # fmt: skip
    try:
        return asyncio.run(_play(units, options))
    except KeyboardInterrupt:
        return 1


async def _play(units: list[HomeUnit], options: argparse.Namespace) -> int:
    async with street(units):
        await asyncio.gather(*(_one(unit, options) for unit in units))
    return 0 if all(said.outcome == "confirmed" for unit in units for said in unit.said) else 1


async def _one(unit: HomeUnit, options: argparse.Namespace) -> None:
    unit.link.drop_answers = options.drop
    for text in options.alarm:
        dty, _, stc = text.partition(":")
        print((await unit.alarm(dty, stc)).to_json(), flush=True)
    for number in range(options.heartbeats):
        if number:
            await asyncio.sleep(options.every)
        print((await unit.beat()).to_json(), flush=True)
