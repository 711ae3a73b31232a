"""`simulate exchange`: run the exchange with the faces that were asked for, place calls by a mix, and record the truth of every call.

Standard output has JSON lines: first {"ready", "sip", "ami", "esl"} with the ports, then (without --truth) one line a call, at the end
{"done", "calls", …}. After the last call was placed, those still live run to their ends. SIGINT and SIGTERM end the run at once.
"""

import argparse
import asyncio
import json
import math
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.call import Call, Plan
from simulators.exchange.esl_server import EslServer
from simulators.exchange.mirror import Mirror
from simulators.exchange.mix import HOTLINES, LOST, Mix, Placed
from simulators.exchange.model import Exchange, Settings
from simulators.exchange.sip_face import SipFace
from simulators.exchange.virtual import People
from simulators.sip_text import Address

FAULTS = ("ami_reset", "esl_reset", "flood", "restart", "slow", "shutdown")
FLOOD = 20_000  # events
SPARE = 1.3  # so many more agents than are busy on the average, and a few
SLOW_S = 0.01  # a pause after every octet


def parser() -> argparse.ArgumentParser:
    """The command line; a face that is not asked for is not there."""
    found = argparse.ArgumentParser(prog="simulate exchange", description="A telephone exchange with a queue and agents, and calls through it.")
    found.add_argument("--sip-port", type=int, help="take SIP calls there, UDP and TCP; 0: any free port")
    found.add_argument("--ami-port", type=int, help="be an Asterisk manager interface there")
    found.add_argument("--esl-port", type=int, help="be a FreeSWITCH event socket there")
    found.add_argument("--hep", type=_address, metavar="HOST:PORT", help="mirror every SIP message there as HEPv3")
    found.add_argument("--ami-user", default="gateway:gateway", metavar="NAME:SECRET", help="who may log in at the AMI (default %(default)s)")
    found.add_argument("--esl-password", default="simulated", help="default %(default)s")
    found.add_argument("--host", default="127.0.0.1", help="where to listen (default %(default)s)")
    found.add_argument("--calls-per-hour", type=float, default=0.0, metavar="N", help="simulated callers; 0: only those who call by SIP")
    found.add_argument("--seconds", type=float, default=math.inf, metavar="S", help="place calls for so long (default: until ended)")
    found.add_argument("--wait", action="store_true", help="place the first call when something arrives on standard input")
    found.add_argument("--talk", type=float, default=30.0, metavar="S", help="mean talk; waiting and ringing go with it (default %(default)g)")
    found.add_argument("--agents", type=int, metavar="N", help="8001, 8002 … (default: enough for the calls)")
    found.add_argument("--agent", action="append", default=[], metavar="EXT=HOST:PORT", help="a real SIP peer plays this agent")
    found.add_argument("--hotline", action="append", default=[], metavar="NUMBER", help=f"default {', '.join(HOTLINES)}")
    found.add_argument("--challenge", default="", metavar="PASSWORD", help="ask SIP callers for the digest of user `trunk`")
    found.add_argument(
        "--faulty", type=float, default=0.0, metavar="SHARE", help="share of calls with a SIP fault (lost BYE, fork, late ACK, re-INVITE)"
    )
    found.add_argument("--fault", action="append", default=[], metavar="WHAT@S", help=f"at second S one of: {', '.join(FAULTS)}")
    found.add_argument("--lose", type=float, default=0.0, metavar="SHARE", help="share of mirrored packets that are lost")
    found.add_argument("--seed", default="1")
    found.add_argument("--truth", type=Path, metavar="FILE", help="one JSON line a call")
    return found


def main(arguments: list[str]) -> int:
    """The command; gives the exit code: 0 done, 2 wrong use."""
    options = parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except (OSError, ValueError) as error:
        print(f"simulate exchange: {error}", file=sys.stderr)
    return 2


class Traffic:
    """Places calls at a rate until `seconds` have passed, and those again who were not taken. peak: most calls live at once."""

    def __init__(self, exchange: Exchange, mix: Mix, per_hour: float, seed: object) -> None:
        self.placed = 0
        self.peak = 0
        self._exchange = exchange
        self._mix = mix
        self._pause_s = 3600 / per_hour
        self._random = random.Random(f"traffic:{seed}")
        self._is_open = True

    async def run(self, seconds: float) -> None:
        """Arrivals are independent of one another (Poisson), as at a real hotline; behind time, the pauses are left out."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        due = loop.time()
        while (due := due + self._random.expovariate(1 / self._pause_s)) < end:
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._place(self._mix.draw())
        self._is_open = False

    def _place(self, placed: Placed) -> None:
        if not self._is_open:
            return
        call = self._exchange.offer(placed.plan, placed.caller, placed.form, placed.called)
        if call is None:
            return
        self.placed += 1
        self.peak = max(self.peak, len(self._exchange.calls))
        waiting = asyncio.create_task(call.done.wait())
        waiting.add_done_callback(lambda task: None if task.cancelled() else self._perhaps_again(call, placed))

    def _perhaps_again(self, call: Call, placed: Placed) -> None:
        if call.outcome in LOST and self._is_open and (found := self._mix.again(placed)) is not None:
            asyncio.get_running_loop().call_later(found[0], self._place, found[1])


class Faces:
    """The faces that were asked for, started and stopped together."""

    def __init__(self, exchange: Exchange, options: argparse.Namespace) -> None:
        self.exchange = exchange
        self.mirror = Mirror(options.hep, exchange.clock, seed=options.seed) if options.hep else None
        name, _, secret = options.ami_user.partition(":")
        self.ami = AmiServer(exchange, {name: User(secret)}) if options.ami_port is not None else None
        self.esl = EslServer(exchange, options.esl_password) if options.esl_port is not None else None
        self.sip = SipFace(exchange, self.mirror, password=options.challenge) if options.sip_port is not None else None
        self._options = options
        if self.mirror is not None:
            self.mirror.lose = options.lose

    async def start(self) -> dict[str, Any]:
        """Gives the ports."""
        options = self._options
        self.exchange.faces.append(People(self.exchange))
        if self.mirror is not None:
            self.exchange.faces.append(self.mirror)
        if self.sip is not None:
            await self.sip.start(options.sip_port, options.host)
        if self.ami is not None:
            await self.ami.start(options.ami_port, options.host)
        if self.esl is not None:
            await self.esl.start(options.esl_port, options.host)
        return {name: face.port if face else None for name, face in (("sip", self.sip), ("ami", self.ami), ("esl", self.esl))}

    async def stop(self) -> None:
        await self.exchange.stop()
        if self.sip is not None:
            await self.sip.stop()
        if self.ami is not None:
            await self.ami.stop()
        if self.esl is not None:
            await self.esl.stop()
        if self.mirror is not None:
            self.mirror.close()

    async def fault(self, what: str) -> None:
        """Let one thing go wrong now."""
        if what in ("ami_reset", "restart") and self.ami is not None:
            self.ami.reset()
        if what in ("esl_reset", "restart") and self.esl is not None:
            self.esl.reset()
        if what == "restart":
            await self.exchange.restart()
        elif what == "flood":
            if self.esl is not None:
                self.esl.flood(FLOOD)
            if self.ami is not None:
                await self.ami.flood(FLOOD)
        elif what == "slow" and self.ami is not None:
            self.ami.slow_s = SLOW_S
        elif what == "shutdown":
            if self.ami is not None:
                self.ami.shut_down(restart=False)
            if self.esl is not None:
                self.esl.say_goodbye()


async def _run(options: argparse.Namespace) -> int:
    hotlines = tuple(options.hotline) or tuple(HOTLINES)
    count = options.agents or max(8, math.ceil(options.calls_per_hour / 3600 * options.talk * SPARE) + 8)
    settings = Settings(hotlines=dict.fromkeys(hotlines, Plan()), agents=tuple(str(8001 + place) for place in range(count)), seed=options.seed)
    exchange = Exchange(settings)
    for text in options.agent:
        extension, _, address = text.partition("=")
        if extension not in exchange.desks:
            raise ValueError(f"--agent {text!r}: {extension!r} is none of {settings.agents[0]} … {settings.agents[-1]}; raise --agents")
        exchange.desks[extension].sip = _address(address)
    faults = [_fault(text) for text in options.fault]
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    faces = Faces(exchange, options)
    out = options.truth.open("w", encoding="utf-8", buffering=1) if options.truth else sys.stdout
    exchange.on_truth = lambda truth: _record(truth, out, outcomes)
    try:
        _say({"ready": True, **await faces.start()})
        tasks = [asyncio.create_task(_later(at, what, faces.fault)) for what, at in faults]
        traffic = None
        if options.calls_per_hour:
            mix = Mix(options.seed, talk_s=options.talk, faults=options.faulty, hotlines=hotlines)
            traffic = Traffic(exchange, mix, options.calls_per_hour, options.seed)
        begin = asyncio.Event()
        if options.wait:
            loop.add_reader(sys.stdin, begin.set)
        else:
            begin.set()
        tasks.append(asyncio.create_task(_play(exchange, traffic, options, begin)))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, tasks[-1]], return_when=asyncio.FIRST_COMPLETED)
        for task in [*tasks, stopped]:
            task.cancel()
        await asyncio.gather(*tasks, stopped, return_exceptions=True)
    finally:
        await faces.stop()
        if options.truth:
            out.close()
    told = {"done": True, "calls": sum(outcomes.values()), "outcomes": dict(outcomes), "refused": exchange.refused}
    told |= {"placed": traffic.placed, "peak": traffic.peak} if traffic else {}
    told |= {"packets": faces.mirror.packets} if faces.mirror else {}
    _say(told)
    return 0


async def _play(exchange: Exchange, traffic: Traffic | None, options: argparse.Namespace, begin: asyncio.Event) -> None:
    await begin.wait()
    if options.wait:
        asyncio.get_running_loop().remove_reader(sys.stdin)
    if traffic is not None:
        await traffic.run(options.seconds)
    elif math.isfinite(options.seconds):
        await asyncio.sleep(options.seconds)
    else:
        await asyncio.Event().wait()
    await exchange.drained()


async def _later(seconds: float, what: str, act: Callable[[str], Any]) -> None:
    await asyncio.sleep(seconds)
    await act(what)


def _record(truth: dict[str, Any], out: TextIO, outcomes: Counter[str]) -> None:
    outcomes[truth["outcome"]] += 1
    out.write(json.dumps(truth, ensure_ascii=True) + "\n")
    if out is sys.stdout:
        out.flush()


def _say(told: dict[str, Any]) -> None:
    print(json.dumps(told, ensure_ascii=False), flush=True)


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not like 127.0.0.1:9060")
    return host.strip("[]"), int(port)


def _fault(text: str) -> tuple[str, float]:
    what, _, at = text.partition("@")
    if what not in FAULTS:
        raise ValueError(f"--fault {text!r}: {what!r} is none of {', '.join(FAULTS)}")
    return what, float(at or 0)
