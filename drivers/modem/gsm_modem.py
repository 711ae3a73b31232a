"""A GSM modem in AT commands: sends short messages, reads those that come in, watches card and network. One object a connection.

Source: 3GPP TS 27.005 (PDU mode: +CMGF, +CMGS, +CNMI, +CMTI, +CMGR, +CMGL, +CMGD, +CDS; +CMS ERROR), TS 27.007 (+CPIN, +CREG, +CSQ, +CMEE;
+CME ERROR), ITU-T V.250. Quirks met: echo that stays on, a late prompt, answers in pieces, unasked lines in the middle of an answer.
An incoming message stays on the card until it is stored: receipt is its deletion.
"""

import hashlib
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Word
from drivers.modem.at_lines import PROMPT, AtLines
from drivers.modem.parts import Message, Parts
from drivers.modem.tpdu import Deliver, StatusReport, Submit, read_incoming, submits
from drivers.telephone import ShortText
from gateway.event import Kind, Phase

ANSWER_S = 5.0  # of a modem to a command that asks the network nothing
PROMPT_S = 10.0  # slow modems think before "> "
SEND_S = 60.0  # of the network to one part: what makers of modems give as the longest time
FIRST_TRIES = 5  # of "AT": a modem that wakes up swallows some
SILENT = 2  # commands without an answer in a row: the connection is given up and opened anew
REGISTER_S = 5.0  # between two looks while there is no network
GRACE_S = 60.0  # so long after the start a modem may look for its network before that is news
MAX_QUEUE = 20  # messages that wait for the modem: at ten seconds each three minutes, then the order is better off elsewhere
MAX_COMMANDS = 200  # reads and deletions that wait: more messages than a card holds
POLL = 3  # commands of one look
MAX_SENT = 500  # parts whose report is awaited
TEXT_PLAIN = "text/plain"
REASONS = ("bad_pdu",)
SERVICE_PREFIXES = ("100", "106", "95")  # carriers, bulk senders and banks in China: nobody who calls for help
_HEX = re.compile(rb"[0-9A-Fa-f]{10,}")
_NUMBER = re.compile(rb"\d+")
_ADDRESS = re.compile(r"\+?[0-9]{1,20}")  # TS 23.040, 9.1.2.5: ten octets of digits


class ModemOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """pin_file: the card's PIN; tried once, as three wrong ones lock it. validity_min: so long the network tries to deliver; an order is of no
    use later. reports: ask for reports of delivery. poll_s: how often network and signal are asked for, which also shows that the modem lives.
    ignore: beginnings of numbers whose messages nobody reads; senders with a name in place of a number are ignored too."""

    pin_file: str = ""
    validity_min: int = 60
    reports: bool = True
    poll_s: float = 30.0
    ignore: tuple[str, ...] = SERVICE_PREFIXES

    def __post_init__(self) -> None:
        if not 5 <= self.validity_min <= 720 or self.validity_min % 5:
            raise ValueError("validity_min: write minutes from 5 to 720 in steps of 5")
        if not 1 <= self.poll_s <= 3600:
            raise ValueError("poll_s: write seconds from 1 to 3600")


class CardMemory:
    """What outlives a connection: a PIN that was refused is never sent again, until the gateway is started anew."""

    def __init__(self) -> None:
        self.pin_refused = False


class _Command:
    """One line to the modem, and what is done with its answer: (reason, "" when it was OK; lines of the answer)."""

    __slots__ = ("done", "line", "payload", "wait_s")

    def __init__(self, line: str, done: Callable[[str, list[bytes]], None], wait_s: float = ANSWER_S, payload: bytes = b"") -> None:
        self.line, self.done, self.wait_s, self.payload = line.encode(), done, wait_s, payload


class _Sending:
    """A message that is being sent, part after part."""

    __slots__ = ("parts", "sent", "text", "token")

    def __init__(self, token: int, text: ShortText, parts: list[Submit]) -> None:
        self.token, self.text, self.parts, self.sent = token, text, parts, 0


class GsmModem:
    """A codec (drivers.contract) that sends too: `tell` takes a ShortText, `told` gives what came of it.

    state: starting | no_card | pin_wanted | pin_refused | locked | ready. on_fate: called with the id of a message that will not arrive.
    """

    peer_repeats = False

    def __init__(self, options: ModemOptions | None = None, place: Surroundings | None = None, pin: str = "") -> None:
        self._options = options or ModemOptions()
        place = place or Surroundings()
        self._pin = pin
        self._card = place.memory if isinstance(place.memory, CardMemory) else CardMemory()
        self.counts: Counter[str] = Counter()
        self.state = "starting"
        self.is_registered = False
        self.signal_dbm: int | None = None
        self.hang_up = False
        self.on_fate: Callable[[str], None] = lambda _id: None
        self._lines = AtLines()
        self._parts = Parts()
        self._out = bytearray()
        self._commands: deque[_Command] = deque()
        self._flying: _Command | None = None
        self._answer: list[bytes] = []
        self._due: float | None = None  # of the command that flies
        self._prompted = False
        self._header = b""  # of an unasked message whose PDU is the next line
        self._silent = self._tries = 0
        self._poll_at: float | None = None
        self._began_at = 0.0
        self._told_network: bool | None = None  # whether there is one, as it was last told
        self._texts: deque[_Sending] = deque()
        self._told: list[tuple[int, str]] = []
        self._found: list[Signal | Rejected] = []
        self._held: set[int] = set()  # places on the card that were read and are not deleted yet
        self._sent: OrderedDict[tuple[int, str], str] = OrderedDict()
        self._reference = int.from_bytes(hashlib.sha256(place.session.encode()).digest()[:1])
        self._now = 0.0

    # --- what the line asks for --------------------------------------------------------------------------------------

    def connected(self, now: float) -> None:
        self._now = self._began_at = now
        self._out += b"\x1b\r"  # an earlier life of ours may have left it waiting for a message
        self._do("AT", self._awake)
        self._pump()

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        self._now = now
        for line in self._lines.feed(data, wants_prompt=bool(self._flying and self._flying.payload and not self._prompted)):
            self._read(line)
        self.counts["too_long"] = self._lines.too_long
        self._pump()
        return self._drain()

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is stored: the card may forget it."""
        for index in signal.token if isinstance(signal.token, tuple) else ():
            if index in self._held:
                self._do(f"AT+CMGD={index}", lambda _reason, _lines, index=index: self._held.discard(index))  # type: ignore[misc]
        self._pump()

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It stays on the card; the line emits it again."""

    def data_to_send(self) -> bytes:
        data, self._out = bytes(self._out), bytearray()
        return data

    def deadline(self) -> float | None:
        return min((at for at in (self._due, self._poll_at, self._parts.deadline()) if at is not None), default=None)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        self._now = now
        if self._due is not None and now >= self._due:
            self._timed_out()
        if self._poll_at is not None and now >= self._poll_at:
            if len(self._commands) > MAX_COMMANDS - POLL:
                self._poll_at = now + REGISTER_S  # no room for the question, and without its answer there would be no next one
            else:
                self._poll_at = None
                self._look()
        for message in self._parts.expire(now):
            self._emit(message)
        self._pump()
        return self._drain()

    def disconnected(self, now: float) -> list[Signal | Rejected]:
        """The port is gone; those who wait were told by the line."""
        self._now = now
        self._flying = self._due = self._poll_at = None
        self._commands.clear()
        self._texts.clear()
        return self._drain()

    def can_tell(self, device: str, word: Word) -> bool:  # noqa: ARG002 - the seam is the same for all
        """Devices do not speak here."""
        return False

    def tell(self, text: ShortText, token: int, now: float) -> None:
        """Send a message in as many parts as it needs."""
        self._now = now
        if _ADDRESS.fullmatch(text.number) is None:
            self._told.append((token, "bad_number"))
        elif self.state != "ready":
            self._told.append((token, self.state if self.state != "starting" else "not_ready"))
        elif not self.is_registered:
            self._told.append((token, "no_network"))
        elif len(self._texts) >= MAX_QUEUE:
            self._told.append((token, "busy"))
        else:
            self._reference = (self._reference + 1) & 0xFF
            validity = self._options.validity_min // 5 - 1
            parts = submits(text.number, text.text, self._reference, report=self._options.reports, validity=validity)
            self._texts.append(_Sending(token, text, parts))
            if len(self._texts) == 1:
                self._send_part()
            self._pump()

    def told(self) -> list[tuple[int, str]]:
        told, self._told = self._told, []
        return told

    # --- commands and answers ----------------------------------------------------------------------------------------

    def _do(self, line: str, done: Callable[[str, list[bytes]], None], wait_s: float = ANSWER_S, payload: bytes = b"") -> None:
        if len(self._commands) < MAX_COMMANDS:
            self._commands.append(_Command(line, done, wait_s, payload))

    def _pump(self) -> None:
        if self._flying is None and self._commands and not self.hang_up:
            command = self._flying = self._commands.popleft()
            self._answer, self._prompted = [], False
            self._out += command.line + b"\r"
            self._due = self._now + (PROMPT_S if command.payload else command.wait_s)

    def _finish(self, reason: str) -> None:
        command, answer = self._flying, self._answer
        self._flying, self._due, self._answer = None, None, []
        if command is not None:
            command.done(reason, answer)

    def _timed_out(self) -> None:
        command = self._flying
        if command is not None and command.payload and not self._prompted:
            self._out += b"\x1b"
        self._silent += 1
        self.counts["timeouts"] += 1
        if self._silent >= SILENT and self.state != "starting":
            self.hang_up = True
        self._finish("timeout")

    def _read(self, line: bytes) -> None:
        command = self._flying
        if self._header:
            header, self._header = self._header, b""
            if _HEX.fullmatch(line):
                self._unasked(header, line)
                return
        if line.startswith((b"+CMTI:", b"+CDSI:", b"+CMT:", b"+CDS:")) or command is None:
            self._news(line)
            return
        if line == PROMPT:
            self._prompted = True
            self._out += command.payload + b"\x1a"
            self._due = self._now + command.wait_s
        elif line == command.line or (command.payload and line.rstrip(b"\x1a") == command.payload):
            self.counts["echoes"] += 1
        elif command.payload and not self._prompted and (line == b"OK" or line.startswith(b"+CMGS:")):
            self.counts["too_late"] += 1  # the answer to a message that was given up
        elif line == b"OK":
            self._silent = 0
            self._finish("")
        elif line == b"ERROR" or line.startswith((b"+CMS ERROR:", b"+CME ERROR:")):
            self._silent = 0
            self._finish(_reason(line))
        elif not command.line.startswith(b"AT+CREG") and line.startswith(b"+CREG:"):
            self._news(line)
        else:
            self._answer.append(line)
            del self._answer[: -2 * MAX_COMMANDS]

    def _news(self, line: bytes) -> None:
        """A line that answers nothing."""
        if line.startswith(b"+CMTI:"):
            numbers = _NUMBER.findall(line.rpartition(b",")[2])
            if numbers:
                self._fetch(int(numbers[0]))
        elif line.startswith((b"+CMT:", b"+CDS:")):
            self._header = line
        elif line.startswith(b"+CREG:"):
            fields = _NUMBER.findall(line)
            if len(fields) == 1:
                self._set_registered(int(fields[0]))
        else:
            self.counts["passed_over"] += 1

    # --- the start ---------------------------------------------------------------------------------------------------

    def _awake(self, reason: str, _lines: list[bytes]) -> None:
        if reason:
            self._tries += 1
            if self._tries >= FIRST_TRIES:
                self.hang_up = True
            else:
                self._do("AT", self._awake, wait_s=2.0)
            return
        self._do("ATE0", lambda _reason, _lines: None)
        self._do("AT+CMEE=1", lambda _reason, _lines: None)
        self._do("AT+CPIN?", self._card_says)

    def _card_says(self, reason: str, lines: list[bytes]) -> None:
        said = b" ".join(lines)
        if not reason and b"READY" in said:
            self._do("AT+CMGF=0", self._pdu_mode)
        elif not reason and b"SIM PIN" in said and b"2" not in said:
            if self._pin and not self._card.pin_refused:
                self._do(f'AT+CPIN="{self._pin}"', self._pin_taken, wait_s=20.0)
            else:
                self._stuck("pin_refused" if self._card.pin_refused else "pin_wanted")
        elif reason in ("cme_14", "timeout", "error"):  # the card wakes up
            self._poll_at = self._now + REGISTER_S
        else:
            self._stuck("locked" if b"PUK" in said else "no_card")

    def _pin_taken(self, reason: str, _lines: list[bytes]) -> None:
        if reason:
            self._card.pin_refused = reason != "timeout"
            self._stuck("pin_refused")
        else:
            self._poll_at = self._now + 1.0  # it needs a moment, then it is READY

    def _stuck(self, state: str) -> None:
        if self.state != state:
            self._tell_fault(Phase.RAISE, "card", state)
        self.state = state
        self._poll_at = self._now + self._options.poll_s

    def _pdu_mode(self, reason: str, _lines: list[bytes]) -> None:
        if reason:
            self.hang_up = True
            return
        self._do(f"AT+CNMI=2,1,0,{int(self._options.reports)},0", self._news_wanted)

    def _news_wanted(self, reason: str, _lines: list[bytes]) -> None:
        if reason:
            self._do("AT+CNMI=2,1,0,0,0", lambda _reason, _lines: None)  # no reports: older modems
        if self.state != "ready":
            self._tell_fault(Phase.CLEAR, "card", "ready")
        self.state = "ready"
        self._do("AT+CREG?", self._registration)
        self._do("AT+CMGL=4", self._listed)

    # --- card and network --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if self.state == "ready":
            self._do("AT+CREG?", self._registration)
            self._do("AT+CSQ", self._strength)
            self._do("AT+CMGL=4", self._listed)  # what came in unannounced, or whose announcement was garbled
        else:
            self._do("AT+CPIN?", self._card_says)

    def _registration(self, reason: str, lines: list[bytes]) -> None:
        for line in lines:
            if not reason and line.startswith(b"+CREG:"):
                fields = _NUMBER.findall(line)
                self._set_registered(int(fields[1] if len(fields) > 1 else fields[0]) if fields else 0)
        self._poll_at = self._now + (self._options.poll_s if self.is_registered else REGISTER_S)

    def _set_registered(self, status: int) -> None:
        self.is_registered = status in (1, 5)  # at home, roaming (TS 27.007, 7.2)
        if self.is_registered and self._told_network is not True:
            self._told_network = True
            self._tell_fault(Phase.CLEAR, "network", "network")
        elif not self.is_registered and self._told_network is not False and self._now - self._began_at >= GRACE_S:
            self._told_network = False
            self._tell_fault(Phase.RAISE, "network", "no_network")

    def _strength(self, reason: str, lines: list[bytes]) -> None:
        fields = _NUMBER.findall(lines[0]) if lines and not reason else []
        if fields:
            value = int(fields[0])
            self.signal_dbm = 2 * value - 113 if value <= 31 else None  # TS 27.007, 8.5

    def _tell_fault(self, phase: Phase, edge: str, what: str) -> None:
        self._found.append(Signal(kind=Kind.FAULT, phase=phase, kind_raw=what, device="modem", edge=edge, detail={"reason": what}))

    # --- out ---------------------------------------------------------------------------------------------------------

    def _send_part(self) -> None:
        sending = self._texts[0]
        part = sending.parts[sending.sent]
        self._commands.append(_Command(f"AT+CMGS={part.length}", self._part_sent, SEND_S, part.hex.encode()))

    def _part_sent(self, reason: str, lines: list[bytes]) -> None:
        if not self._texts:
            return
        sending = self._texts[0]
        reference = next((_NUMBER.findall(line) for line in lines if line.startswith(b"+CMGS:")), [])
        if not reason and not reference:
            reason = "garbage"
        if not reason:
            sending.sent += 1
            if sending.text.id:
                self._sent[int(reference[0]), sending.text.number[-8:]] = sending.text.id
                if len(self._sent) > MAX_SENT:
                    self._sent.popitem(last=False)
            if sending.sent < len(sending.parts):
                self._send_part()
                return
        self.counts["sent" if not reason else "not_sent"] += 1
        self._texts.popleft()
        self._told.append((sending.token, reason))
        if reason == "cms_331":
            self.is_registered = False
        if self._texts:
            self._send_part()

    def _reported(self, report: StatusReport) -> None:
        key = (report.reference, report.recipient[-8:])
        if not report.is_over or key not in self._sent:
            return
        name = self._sent.pop(key)
        self.counts["undelivered" if report.has_failed else "delivered"] += 1
        if report.has_failed:
            self.on_fate(name)

    # --- in ----------------------------------------------------------------------------------------------------------

    def _fetch(self, index: int) -> None:
        if index not in self._held:
            self._do(f"AT+CMGR={index}", lambda reason, lines: self._fetched(index, reason, lines))

    def _fetched(self, index: int, reason: str, lines: list[bytes]) -> None:
        digits = next((line for line in lines if _HEX.fullmatch(line)), b"")
        if not reason and digits:
            self._incoming(digits, index)

    def _listed(self, reason: str, lines: list[bytes]) -> None:
        """Everything on the card: pairs of a head and a PDU."""
        index: int | None = None
        for line in lines if not reason else ():
            if line.startswith(b"+CMGL:"):
                numbers = _NUMBER.findall(line)
                index = int(numbers[0]) if numbers else None
            elif index is not None and _HEX.fullmatch(line):
                self._incoming(line, index)
                index = None

    def _unasked(self, header: bytes, digits: bytes) -> None:
        report = read_incoming(digits) if header.startswith(b"+CDS:") else None
        if isinstance(report, StatusReport):
            self._reported(report)
        else:
            self._incoming(digits, None)

    def _incoming(self, digits: bytes, index: int | None) -> None:
        if index in self._held or len(self._held) > MAX_COMMANDS:
            return  # known already; or a modem out of its mind: what it has is read again when the line is opened anew
        if index is not None:
            self._held.add(index)
        indices = () if index is None else (index,)
        read = read_incoming(digits)
        if isinstance(read, StatusReport):
            self._reported(read)
            self._forget(indices)
        elif not isinstance(read, Deliver) or read.text is None:
            self._found.append(Rejected(reason="bad_pdu", raw=digits, token=indices))
        elif not read.sender.lstrip("+").isdigit() or read.sender.removeprefix("+86").startswith(self._options.ignore):
            self.counts["ignored"] += 1
            self._forget(indices)
        else:
            for message in self._parts.add(read, index, self._now):
                self._emit(message)

    def _forget(self, indices: tuple[int, ...]) -> None:
        self.confirm(Rejected(reason="", raw=b"", token=indices))

    def _emit(self, message: Message) -> None:
        first = message.first
        identity = hashlib.blake2b(f"{first.sender}|{first.sent_at}|{message.text}".encode(), digest_size=12).hexdigest()
        detail: dict[str, object] = {"text": message.text, "from": first.sender}
        if not message.is_whole:
            detail["incomplete"] = True
        self._found.append(
            Signal(
                kind=Kind.HELP,
                kind_raw=TEXT_PLAIN,
                device=first.sender,
                dedup=f"sms:{identity}" if first.sent_at is not None else None,  # without a time the same words are a second cry
                time=first.sent_at,
                detail=detail,
                raw=message.text.encode("utf-8", "replace"),
                token=message.indices,
            )
        )

    def _drain(self) -> list[Signal | Rejected]:
        found, self._found = self._found, []
        return found


def _reason(line: bytes) -> str:
    word, _, number = line.partition(b" ERROR:")
    numbers = _NUMBER.findall(number)
    if not numbers:
        return "error"
    return f"{word.lstrip(b'+').decode().lower()}_{int(numbers[0])}"
