"""`simulate panel FAMILY --to WIRE`: one panel, receiver, nurse-call end or pager that presses, and tells what was confirmed to it.

    simulate panel dc09 --to tcp:127.0.0.1:12001 --to udp:127.0.0.1:12002 --account 4711 --zone 005 --key 000102030405060708090a0b0c0d0e0f

Standard output has one JSON object a press: {"device", "what", "outcome", "tries", "answers"}. Exit 0: all were confirmed (where a protocol
confirms nothing: written to a wire that stood); 1: not all; 2: wrong use.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

from simulators.panels import dc09_text, nurse_call, receiver
from simulators.panels.dialler import Dialler
from simulators.panels.line_panels import AlarmDecoder, ElkPanel, LinePanel, NessPanel, RfLink
from simulators.panels.nurse_call import NurseCallMaster, NurseCallStation
from simulators.panels.pagers import Comp2Sender, TapSender
from simulators.panels.receiver import AlarmReceiver
from simulators.sent import Sent
from simulators.wire import keep_open, read_wire

QUIRKS: dict[str, tuple[str, ...]] = {
    "dc09": dc09_text.QUIRKS,
    "surgard": receiver.QUIRKS,
    "system3": receiver.QUIRKS,
    "espa-master": nurse_call.QUIRKS,
    "espa-station": ("trailing_rs", "leading_space"),
    "ness": ("minute_60",),
    "elk": (),
    "alarmdecoder": (),
    "rflink": (),
    "tap": (),
    "comp2": ("tilde",),
}
STANDS_S = 30.0  # for somebody at the other end of the wire
Press = Callable[[], Awaitable[Sent]]


def parser() -> argparse.ArgumentParser:
    """The command line of `simulate panel`."""
    quirks = "; ".join(f"{family}: {', '.join(words)}" for family, words in QUIRKS.items() if words)
    found = argparse.ArgumentParser(prog="simulate panel", description="One panel that presses and tells what was confirmed to it.")
    found.add_argument("family", choices=sorted(QUIRKS))
    found.add_argument(
        "--to", action="append", required=True, metavar="WIRE",
        help="serial:PATH (a pseudo-terminal is made there), tcp:HOST:PORT, udp:HOST:PORT, serve:HOST:PORT; dc09: twice for main and backup",
    )  # fmt: skip
    found.add_argument("--account", default="4711", help="account, room, pager or id of a transmitter (default %(default)s)")
    found.add_argument("--zone", default="005", help="of panels that have zones (default %(default)s)")
    found.add_argument("--code", default="101", help="Contact ID code of dc09 and receivers (default %(default)s, a pendant)")
    found.add_argument("--text", default="Room 12 call", help="of nurse calls and pages")
    found.add_argument("--presses", type=int, default=1, metavar="N", help="0: only signs of life, for --seconds")
    found.add_argument("--every", type=float, default=1.0, metavar="S", help="between presses (default %(default)g)")
    found.add_argument("--then", choices=("nothing", "restore", "cancel"), default="nothing", help="after each press, where there is a word for it")
    found.add_argument("--seconds", type=float, default=60.0, metavar="S", help="give up after so long (default %(default)g)")
    found.add_argument("--quirk", action="append", default=[], metavar="NAME", help=f"may be given more than once. {quirks}")
    found.add_argument("--garbage", type=float, default=0.0, metavar="P", help="chance of a burst of garbage before a message")
    found.add_argument("--flip", type=float, default=0.0, metavar="P", help="chance of a flipped bit in a message")
    found.add_argument("--key", default="", help="dc09: 32, 48 or 64 hex digits; encrypts")
    found.add_argument("--token", choices=("ADM-CID", "SIA-DCS"), default="ADM-CID", help="dc09: the payload")
    found.add_argument("--null", type=float, default=90.0, metavar="S", help="dc09: supervision interval")
    found.add_argument("--clock-off", type=float, default=0.0, metavar="S", help="dc09: how wrong its clock is; a NAK corrects it")
    found.add_argument("--answer", type=float, metavar="S", help="how long an answer is waited for (default: the protocol's)")
    return found


def main(arguments: list[str]) -> int:
    """Exit 0: all confirmed; 1: not all; 2: wrong use."""
    options = parser().parse_args(arguments)
    strange = [quirk for quirk in options.quirk if quirk not in QUIRKS[options.family]]
    try:
        if strange:
            raise ValueError(f"{options.family} has no quirk {strange[0]!r}; it has: {', '.join(QUIRKS[options.family]) or 'none'}")
        if len(bytes.fromhex(options.key)) not in (0, 16, 24, 32):
            raise ValueError("--key: write 32, 48 or 64 hex digits")
        for text in options.to:
            read_wire(text)
        return asyncio.run(_play(options))
    except ValueError as error:
        print(f"simulate panel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 1


def build(options: argparse.Namespace) -> tuple[Any, list[Any], dict[str, Press]]:
    """(panel, wires to keep open, how it presses and takes back)."""
    family, quirks, zone = options.family, frozenset(options.quirk), options.zone
    wires: list[Any] = [read_wire(text) for text in options.to]
    for wire in wires:
        wire.noise.garbage, wire.noise.flip = options.garbage, options.flip
    wire, account = wires[0], options.account
    patience = {"answer_s": options.answer} if options.answer else {}
    panel: Any
    if family == "dc09":
        key = bytes.fromhex(options.key)
        panel = Dialler(account, wires, key=key, token=options.token, null_s=options.null, quirks=quirks, clock_off_s=options.clock_off, **patience)
        acts = {"press": lambda: panel.press(zone, options.code), "restore": lambda: panel.press(zone, options.code, qualifier=3, what="restore")}
        return panel, [], {name: _later(act) for name, act in acts.items()}
    if family in ("surgard", "system3"):
        panel = AlarmReceiver(wire, system3=family == "system3", quirks=quirks, **patience)
        acts = {
            "press": lambda: panel.press(account, zone, options.code),
            "restore": lambda: panel.press(account, zone, options.code, qualifier="R", what="restore"),
        }
    elif family.startswith("espa"):
        panel = (NurseCallMaster if family == "espa-master" else NurseCallStation)(wire, quirks=quirks, **patience)
        acts = {"press": lambda: panel.cry(account, options.text), "cancel": lambda: panel.cry(account, options.text, what="cancel")}
    elif family in ("ness", "elk"):
        panel = NessPanel(wire, zone_of_clock=ZoneInfo("Asia/Shanghai"), minute_60="minute_60" in quirks) if family == "ness" else ElkPanel(wire)
        acts = {"press": lambda: panel.press(int(zone)), "restore": lambda: panel.press(int(zone), restore=True)}
    elif family == "alarmdecoder":
        panel = AlarmDecoder(wire)
        acts = {"press": lambda: panel.press(account)}
    elif family == "rflink":
        panel = RfLink(wire)
        return panel, wires, {"press": lambda: panel.press(account)}
    elif family == "tap":
        panel = TapSender(wire, **patience)
        acts = {"press": lambda: panel.press(account, options.text)}
    else:
        panel = Comp2Sender(wire, tilde="tilde" in quirks)
        acts = {"press": lambda: panel.press(account, options.text)}
    return panel, wires, {name: _later(act) for name, act in acts.items()}


def _later(act: Callable[[], Sent]) -> Press:
    async def press() -> Sent:
        return act()

    return press


async def _play(options: argparse.Namespace) -> int:
    panel, wires, acts = build(options)
    give_up = time.monotonic() + options.seconds
    tasks = [asyncio.create_task(keep_open(wire)) for wire in wires] + [asyncio.create_task(panel.run())]
    confirms = not isinstance(panel, LinePanel | Comp2Sender)
    try:
        for wire in wires:
            await _until(lambda wire=wire: wire.plugged, min(give_up, time.monotonic() + STANDS_S))  # type: ignore[misc]
        if not options.presses:
            await asyncio.sleep(options.seconds)
        for number in range(options.presses):
            if number:
                await asyncio.sleep(options.every)
            for word in ("press", options.then):
                if word in acts:
                    sent = await acts[word]()
                    if confirms:
                        await _until(lambda sent=sent: sent.over, give_up)  # type: ignore[misc]
                    print(sent.to_json(), flush=True)
        await asyncio.sleep(0 if confirms else 0.2)  # what was written shall leave before the wire is cut
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return 0 if all(sent.confirmed is not None or (not confirms and sent.answers) for sent in panel.sent) else 1


async def _until(condition: Callable[[], object], deadline: float) -> None:
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - the condition is about any part of a panel
        await asyncio.sleep(0.02)
