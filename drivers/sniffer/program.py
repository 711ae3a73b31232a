"""The command line, `gateway-sniffer`: listens on a mirror port or reads a capture file, and sends each SIP message on as HEPv3."""

import argparse
import contextlib
import select
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from drivers.capture.file import CaptureError, Frame, read_frames
from drivers.capture.packets import Packet
from drivers.sniffer import report
from drivers.sniffer.hep import Agent, encode
from drivers.sniffer.live import Live, NoCapture
from drivers.sniffer.sender import Sender, open_sender, parse_target
from drivers.sniffer.sieve import Sieve
from drivers.sniffer.unusual import ScapyUnwrap

PORTS = (5060,)
BUSY = 1024 * 1024  # bytes waiting for a TCP target: a file is not read on before they have left
LEAVE_S = 10.0  # at the end of a file, for what has not left yet
IDLE_S = 1.0  # longest sleep: signals and the minute's line are looked after so often


class Fault(Exception):
    """Why it cannot go on, and what to do."""


def main(argv: list[str] | None = None) -> int:
    """0 when everything was sent, 1 when something was not possible, 2 for wrong use."""
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except (Fault, NoCapture) as error:
        print(f"gateway-sniffer: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway-sniffer",
        description="Hears SIP on a mirror port, or in a capture file, and sends each message as HEPv3 to the gateway's hep line. It never sends "
        "anything to the telephones. SIP in TLS cannot be heard: let the exchange send HEP itself.",
    )
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--interface", "-i", metavar="IF", help="listen here; needs the capability CAP_NET_RAW")
    origin.add_argument("--read", "-r", metavar="FILE", help="a pcap or pcapng file, - for standard input")
    parser.add_argument("--to", "-t", required=True, metavar="TARGET", help="udp:HOST:PORT or tcp:HOST:PORT of the gateway's hep line")
    parser.add_argument("--ports", type=_ports, default=PORTS, metavar="P,P…", help="SIP ports of the telephones and the exchange; default: 5060")
    parser.add_argument("--auth-key-file", metavar="FILE", help="its first line is the key that the hep line wants (HEP chunk 0x000e)")
    parser.add_argument("--agent-id", type=_agent_id, default=12349, metavar="N", help="number in every packet; default: 12349")
    parser.add_argument("--agent-name", default="", metavar="NAME", help="name in every packet; default: none")
    parser.add_argument("--tunnels", action="store_true", help="the switch mirrors through GRE, ERSPAN, VXLAN, TZSP, MPLS or PPPoE: take those whole")
    parser.add_argument("--no-promiscuous", action="store_true", help="only what is for this machine itself")
    parser.add_argument(
        "--speed", type=_speed, default=0.0, metavar="F", help="of a file: 1 as recorded, 10 ten times as fast, 0 at once (default); use tcp: for 0"
    )
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write counters here for Prometheus' textfile collector, every 10 s")
    return parser


def _ports(text: str) -> tuple[int, ...]:
    try:
        ports = tuple(int(word) for word in text.split(","))
    except ValueError:
        ports = ()
    if not ports or not all(0 < port < 65_536 for port in ports) or len(ports) > 32:
        raise argparse.ArgumentTypeError(f"{text!r} are no ports; write up to 32, such as 5060,5080")
    return ports


def _agent_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no agent id; write a number below 4294967296")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed; write 1, a factor, or 0 for at once")
    return speed


def _run(args: argparse.Namespace) -> int:
    try:
        target = parse_target(args.to)
    except ValueError as error:
        raise Fault(f"--to: {error}") from None
    work = Work(Sieve(args.ports, ScapyUnwrap()), Agent(args.agent_id, args.agent_name.encode()[:64], _key(args.auth_key_file)), args.metrics)
    with contextlib.ExitStack() as opened:
        live = None
        if args.interface:
            live = Live(args.interface, args.ports, tunnels=args.tunnels, promiscuous=not args.no_promiscuous)
            opened.callback(live.close)
        work.sender = open_sender(target, _say)
        opened.callback(work.sender.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            opened.callback(signal.signal, number, signal.signal(number, work.stop))
        try:
            if live is not None:
                print(f"gateway-sniffer: listening on {args.interface}; frames are chosen by {live.filtered_by}", file=sys.stderr, flush=True)
                work.listen(live)
            else:
                work.replay(args.read, args.speed)
        finally:
            work.tell(live, last=True)
    return 1 if live is None and (work.counts["hep_dropped"] or work.counts["hep_refused"]) else 0


def _say(line: str) -> None:
    print(f"gateway-sniffer: {line}", file=sys.stderr, flush=True)


def _key(name: str | None) -> bytes:
    if name is None:
        return b""
    try:
        key = Path(name).read_bytes().partition(b"\n")[0].strip()
    except OSError as error:
        raise Fault(f"--auth-key-file: {name}: {(error.strerror or str(error)).lower()}; write the key into it and let us read it") from error
    if not key:
        raise Fault(f"--auth-key-file: {name}: its first line is empty; write the key there")
    return key


class Work:
    """The one loop: frames into the sieve, messages out of it into the sender, and now and then a word about it."""

    sender: Sender

    def __init__(self, sieve: Sieve, agent: Agent, metrics: Path | None) -> None:
        self._sieve = sieve
        self._agent = agent
        self._metrics = metrics
        self._stopped = False
        self._last_message = 0.0
        self._line_at = time.monotonic() + report.LINE_S
        self._file_at = 0.0
        self._told = ""
        self.counts: Counter[str] = Counter()

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM, SIGINT."""
        self._stopped = True

    def listen(self, live: Live) -> None:
        """Until stopped. Raises NoCapture when the interface is lost."""
        while not self._stopped:
            due = self._sieve.deadline()
            wait = IDLE_S if due is None else min(IDLE_S, max(0.0, due - time.time()))
            ready, _, _ = select.select([live], [], [], wait)
            for time_, link, data in live.read() if ready else ():
                self._pass(self._sieve.take(time_, link, data))
            if not ready:
                self._pass(self._sieve.expire(time.time()))
            self.sender.work(time.monotonic())
            self.tell(live)

    def replay(self, name: str, speed: float) -> None:
        """One file. Raises Fault when it cannot be read (after all that could be), or the target does not take it."""
        began = first = None
        last = 0.0
        fault = ""
        try:
            with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
                for frame in read_frames(file):
                    if first is None:
                        began, first = time.monotonic(), frame.time
                    if speed and began is not None:
                        self._sleep_until(began + (frame.time - first) / speed)
                    if self._stopped:
                        return
                    last = max(last, frame.time)
                    self._take(frame)
        except OSError as error:
            raise Fault(f"{name}: {(error.strerror or str(error)).lower()}") from error
        except CaptureError as error:
            fault = f"{name}: {error}"
        self._pass(self._sieve.finish(last))
        give_up = time.monotonic() + LEAVE_S
        while self.sender.waiting and not self._stopped:
            self.sender.work(time.monotonic())
            if time.monotonic() > give_up:
                raise Fault(f"the target did not take the last {self.sender.waiting} octets; is the gateway running?")
            self.sender.wait(0.1)
        if fault:
            raise Fault(fault)

    def _take(self, frame: Frame) -> None:
        self._pass(self._sieve.take(*frame))
        while self.sender.waiting > BUSY and not self._stopped:
            self.sender.wait(0.1)
            self.sender.work(time.monotonic())
            self.tell(None)

    def _sleep_until(self, due: float) -> None:
        while not self._stopped and (left := due - time.monotonic()) > 0:
            self.sender.wait(min(left, IDLE_S))
            self.sender.work(time.monotonic())
            self.tell(None)

    def _pass(self, messages: list[Packet]) -> None:
        for message in messages:
            self._last_message = message.time
            self.sender.send(encode(message, self._agent), time.monotonic())

    def tell(self, live: Live | None, *, last: bool = False) -> None:
        """The line of the minute and the file, when it is time for them."""
        now = time.monotonic()
        if not last and now < self._line_at and (self._metrics is None or now < self._file_at):
            return
        if live is not None:
            with contextlib.suppress(OSError):  # the interface may be gone
                live.count_drops()
        self.counts = self._sieve.counts + self.sender.counts + (live.counts if live is not None else Counter())
        if last or now >= self._line_at:
            self._line_at = now + report.LINE_S
            said = report.line(self.counts)
            if last or said != self._told:
                self._told = said
                print(f"gateway-sniffer: {said}", file=sys.stderr, flush=True)
        if self._metrics is not None and (last or now >= self._file_at):
            self._file_at = now + report.FILE_S
            try:
                report.write_metrics(self._metrics, self.counts, self._last_message)
            except OSError as error:
                print(f"gateway-sniffer: --metrics: {self._metrics}: {(error.strerror or str(error)).lower()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
