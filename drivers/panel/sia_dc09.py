"""SIA DC-09 as the receiver: alarm panels and diallers over TCP and UDP, plain or encrypted; SIA-DCS, ADM-CID and NULL.

A frame is answered with ACK (encrypted: *ACK) once all its events are kept; NAK gives an encrypted sender our time, when its own is outside the
window; DUH says that a sound frame cannot be used. Where the store fails, nothing is sent: the device repeats, then takes its other path.
What is no sound frame is never answered. Source: ANSI/SIA DC-09-2013; what the makers do otherwise: the protocol's fact sheet.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel import dc09_body, dc09_cipher
from drivers.panel.accounts import Account, Window, read_accounts
from drivers.panel.contact_id_codes import read_payload
from drivers.panel.dc09_block import read_block
from drivers.panel.dc09_body import Content, Header
from drivers.panel.dc09_frame import FRAME_S, Bad, Frame, Frames, make_frame
from drivers.panel.dc09_memory import NAKS_IN_A_ROW, Dc09Memory
from drivers.panel.meaning import Meaning, MeaningOptions, Meanings
from gateway.event import Kind, Phase

__all__ = ["Dc09Options", "SiaDc09"]

REASONS = (
    "bad_crc", "bad_length", "no_cr", "too_long", "unparsable",  # no frame: never answered
    "stale_timestamp",  # encrypted and outside the window, or without a time: NAK
    "wrong_key",  # encrypted, and we have no key, or not this one: never answered
    "unknown_token", "bad_payload", "unknown_account", "plain_not_allowed", "old_key",  # DUH
)  # fmt: skip
OURS = ("store_down", "busy")  # reasons of the store's for which the device should try again
ANSWERS = ("ACK", "NAK", "DUH", "RSP")  # a receiver's words: to answer them would be a talk without end
STRANGER = 20  # so much that is no frame, and not one sound frame: whoever it is does not speak DC-09
MAX_TEXT = 256  # characters of a frame shown in a notice


class Dc09Options(MeaningOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside dialect, codes and zones (see `meaning`):

    accounts_file  keys and habits of single accounts: see `accounts`; accounts: the same as a table here, for `gateway decode` and tests of a key
    strict         unknown accounts are refused with DUH; else they are acknowledged and shown as unknown
    window_s       [-40, 20]: device time minus ours, for encrypted frames
    duplicate_s    the same frame (account, number, content) within this time is a repetition
    """

    accounts_file: str = ""
    accounts: dict[str, dict[str, Any]] = {}
    strict: bool = False
    window_s: Window = (-40.0, 20.0)
    duplicate_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 180.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.window_s[0] <= 0 <= self.window_s[1]:
            raise ValueError("window_s: does not hold our own time; write seconds as in [-40, 20]")
        _, problems = read_accounts(self.accounts, "accounts.")
        if problems:
            raise ValueError("; ".join(problems))

    def __repr__(self) -> str:
        return "Dc09Options(…)"


@dataclass(slots=True)
class _Answer:
    """What is sent once everything of its frame is kept."""

    word: Literal["ACK", "DUH", "NAK"]
    header: Header
    key: bytes | None = None
    waiting: int = 1
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Notice:
    """What people are told of, and how the memory knows that they are. answer: of its frame, where there is one."""

    account: str
    what: str
    answer: _Answer | None


class SiaDc09:
    """One connection, or one peer's datagrams."""

    peer_repeats = True

    def __init__(self, options: Dc09Options | None = None, place: Surroundings | None = None) -> None:
        self._options = options or Dc09Options()
        self._place = place or Surroundings()
        memory = self._place.memory
        self._memory: Dc09Memory = memory if isinstance(memory, Dc09Memory) else Dc09Memory(read_accounts(self._options.accounts)[0])
        own = {name: account.meaning for name, account in self._memory.accounts.items() if account.meaning is not None}
        self._meanings = Meanings(self._options, own)
        self._frames = Frames()
        self._frame_until: float | None = None
        self._outgoing = bytearray()
        self._bad = 0  # before the first sound frame
        self._speaks = False

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give what its frames say."""
        found = self.handle_deadline(now)
        frames = list(self._frames.receive_data(data))
        for frame in frames:
            found += self._read(frame)
        if not self._frames.has_begun:
            self._frame_until = None
        elif frames or self._frame_until is None:
            self._frame_until = now + FRAME_S
        return found

    @property
    def hang_up(self) -> bool:
        """Is this somebody else, a port scan for instance?"""
        return not self._speaks and self._bad >= STRANGER

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept. With the last one of a frame its answer is queued."""
        self._settle(signal, "")

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be kept: nothing is sent, so the device repeats; DUH when repeating would not help."""
        self._settle(signal, reason)

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        return self._frame_until

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """A frame that has begun does not end."""
        if self._frame_until is None or now < self._frame_until:
            return []
        self._frame_until = None
        return [one for frame in self._frames.give_up() for one in self._read(frame)]

    # --- one frame

    def _read(self, frame: Frame | Bad) -> list[Signal | Rejected]:
        if isinstance(frame, Bad):
            self._bad += 1
            return [Rejected(reason=frame.reason, raw=frame.raw)]
        self._speaks = True
        header = dc09_body.read_header(frame.body)
        if header is None:
            text = _shown(dc09_body.read_text(frame.body))
            rejected = Rejected(reason="unparsable", raw=frame.raw, detail=text)
            # a sound check over what begins like a body was meant for us: it may be an alarm, of whomever
            return [rejected, *(self._notice(None, "unparsable", text, frame.raw, kind=Kind.GENERAL) if frame.body[:1] == b'"' else [])]
        if header.token in ANSWERS:
            return [Rejected(reason="unknown_token", raw=frame.raw, device=header.account, detail="a receiver's word")]
        account = self._memory.accounts.get(header.account or "", Account())
        if frame.length and not (frame.length == "decimal" and account.decimal_length):
            what = "the length is written in decimal digits" if frame.length == "decimal" else "the length is wrong, the check is right"
            return [Rejected(reason="bad_length", raw=frame.raw, device=header.account, detail=what)]
        if header.is_encrypted:
            return self._read_encrypted(header, account, frame.raw)
        content = dc09_body.read_content(header.rest)
        if content is None:
            return self._unusable("bad_payload", header, frame.raw, dc09_body.read_text(header.rest))
        return self._read_content(header, account, content, header.rest, frame.raw)

    def _read_encrypted(self, header: Header, account: Account, raw: bytes) -> list[Signal | Rejected]:
        content, plain, account = _opened(header, account)
        if content is None:
            what = "its key is not known" if account.key is None else "its key does not fit"
            rejected = Rejected(reason="wrong_key", raw=raw, device=header.account, detail=what)
            return [rejected, *self._notice(header, "wrong_key", f"a device is trying and cannot be read: {what}", raw)]
        if not self._in_window(content, account):
            rejected = Rejected(reason="stale_timestamp", raw=raw, device=header.account, token=_Answer("NAK", header))
            is_stuck = self._memory.refused_for_time(header.account or "") >= NAKS_IN_A_ROW
            text = "its clock stays wrong though it was told the time, or old messages are replayed"
            return [rejected, *(self._notice(header, "stale_timestamp", text, raw) if is_stuck else [])]
        name = header.account or ""
        self._memory.came_in_time(name)
        if account.key_next is None or account.key != account.key_next:
            account = replace(account, is_old=self._memory.has_changed(name, account.key_next))
            return self._read_content(header, account, content, plain, raw)
        is_news = not self._memory.has_changed(name, account.key_next)
        self._memory.change(name, account.key_next)
        text = "speaks with its next key from now on: settle it (gateway panel-keys settle)"
        news = self._notice(header, "key_changed", text, raw, phase=Phase.STATE) if is_news else []
        return [*self._read_content(header, account, content, plain, raw), *news]

    def _read_content(self, header: Header, account: Account, content: Content, plain: bytes, raw: bytes) -> list[Signal | Rejected]:
        if header.token == "NULL":
            meanings = [Meaning(Kind.HEARTBEAT, Phase.STATE, "NULL", {})]
        elif header.token == "ADM-CID":
            payload = read_payload(content.data.upper()) if content.data[:1].isdigit() else None
            meanings = [self._meanings.contact_id(self._subject(header, content), payload)] if payload is not None else []
        elif header.token == "SIA-DCS":
            meanings = self._read_events(header, content)
        else:
            return self._unusable("unknown_token", header, raw, content.data)
        if not meanings:
            return self._unusable("bad_payload", header, raw, content.data)
        return self._tell(header, account, content, plain, raw, meanings)

    def _read_events(self, header: Header, content: Content) -> list[Meaning]:
        block = read_block(content.data)
        meanings = []
        for event in block.events:
            meaning = self._meanings.sia(self._subject(header, content), event.code, event.address)
            detail = {**meaning.detail, **event.modifiers}
            if event.texts:
                detail["text"] = " ".join(event.texts)
            if block.old:
                detail["old"] = True
            if block.unread:
                detail["unread"] = block.unread
            meanings.append(meaning._replace(detail=detail))
        return meanings

    def _tell(self, header: Header, account: Account, content: Content, plain: bytes, raw: bytes, meanings: list[Meaning]) -> list[Signal | Rejected]:
        """The signals of one sound frame: all of them carry the one answer."""
        subject = self._subject(header, content)
        address, is_known = self._address(subject, header)
        is_known = is_known or any(self._place.knows(f"{address}:{meaning.detail.get('zone')}") for meaning in meanings)
        is_life = header.token == "NULL"
        must_encrypt = account.must_encrypt and not header.is_encrypted
        if not is_known and self._options.strict:
            return self._unusable("unknown_account", header, raw, content.data)
        if must_encrypt and is_life:  # whoever can forge a sign of life can hide a dead device
            return self._unusable("plain_not_allowed", header, raw, "NULL")
        if account.is_old and is_life:  # the same, by a key that was given up
            return self._unusable("old_key", header, raw, "NULL")
        extras = dc09_body.read_extended(content.extended)
        detail: dict[str, object] = {"token": header.token}
        detail |= {"receiver": header.receiver} if header.receiver else {}
        detail |= {"account_prefix": header.prefix} if header.prefix.strip("0") else {}
        detail |= {"transmitter": header.account} if header.account is not None and subject != header.account else {}
        detail |= {"encrypted": True} if header.is_encrypted else {}
        detail |= {"unknown_account": True} if not is_known else {}
        detail |= {"plain_not_allowed": True} if must_encrypt else {}
        detail |= {"old_key": True} if account.is_old else {}
        detail |= {"time_text": content.time_text} if content.time_text else {}
        detail |= {"timestamp_stale": True} if content.time is not None and not self._in_window(content, account) else {}
        answer = _Answer("DUH" if must_encrypt else "ACK", header, account.key if header.is_encrypted else None, len(meanings))
        # receiver and prefix count: accounts of two prefixes are two transmitters
        content_of = hashlib.sha256(header.token.encode() + header.echo.upper() + plain)
        same = f"{header.account or ''}.{header.sequence:04}.{content_of.hexdigest()[:24]}"
        found: list[Signal | Rejected] = []
        for index, meaning in enumerate(meanings):
            texts = [str(one["text"]) for one in (meaning.detail, extras.detail) if "text" in one]
            signal = Signal(
                kind=meaning.kind,
                phase=meaning.phase,
                kind_raw=meaning.kind_raw,
                device=address or None,
                sequence=header.sequence,
                # a sign of life heard twice does no harm, and must not push alarms out of the memory
                dedup=None if is_life else self._place.recent.key(f"{same}.{index}", self._options.duplicate_s, self._place.utc_now()),
                time=extras.time or content.time,
                lat=extras.lat,
                lon=extras.lon,
                position_source="reported",
                integrity="unverified" if must_encrypt or account.is_old or not is_known else "verified",
                detail={**detail, **extras.detail, **meaning.detail, **({"text": " ".join(texts)} if texts else {})},
                raw=raw,
                token=answer,
            )
            found.append(signal)
        text = "a plain message came from a device that must encrypt: it may be forged"
        if account.is_old:
            text = "a message came with the key that its device has given up: a second path of it was forgotten, or it is forged"
            return [*found, *self._notice(header, "old_key", text, raw)]
        return [*found, *(self._notice(header, "plain_not_allowed", text, raw) if must_encrypt else [])]

    def _unusable(self, reason: str, header: Header, raw: bytes, said: str) -> list[Signal | Rejected]:
        """A sound frame that cannot be used: DUH, and people see what it said."""
        text, answer = _shown(said), _Answer("DUH", header)
        rejected = Rejected(reason=reason, raw=raw, device=header.account, detail=text, token=answer)
        # the device gives up what it hears DUH for: what may have been an alarm is not a technician's matter, and each is told, not each account
        kind = Kind.GENERAL if reason in ("bad_payload", "unknown_token") else Kind.FAULT
        notices = self._notice(header, reason, text, raw, kind=kind, answer=answer)
        answer.waiting += len(notices)
        return [rejected, *notices]

    def _notice(
        self,
        header: Header | None,
        reason: str,
        text: str,
        raw: bytes,
        *,
        kind: Kind = Kind.FAULT,
        phase: Phase = Phase.RAISE,
        answer: _Answer | None = None,
    ) -> list[Signal | Rejected]:
        """What people must know of a device that is not heard. Nothing when they know it already, or outside a line: there nobody is told."""
        account = (header.account if header is not None else None) or ""
        what = reason if kind is Kind.FAULT else f"{reason} {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
        if not self._place.line or not self._memory.may_tell(account, what, self._place.utc_now()):
            return []
        device = (self._address(account, header)[0] or None) if header is not None else None
        detail: dict[str, object] = {"token": header.token} if header is not None else {}
        detail |= {"notice": reason, "text": text}
        return [Signal(kind=kind, phase=phase, kind_raw=reason, device=device, detail=detail, raw=raw, token=_Notice(account, what, answer))]

    def _subject(self, header: Header, content: Content) -> str:
        """Whose event it is: the inner account is the subscriber's, the header's the transmitter's."""
        return content.account or header.account or ""

    def _address(self, account: str, header: Header) -> tuple[str, bool]:
        """(the account as the register writes it, is it known?). Accounts are the same in capital and in small letters."""
        for name in dict.fromkeys((account, account.lower())):
            if self._place.knows(name):
                return name, True
        return account, account in self._memory.accounts or (header.account or "") in self._memory.accounts

    def _in_window(self, content: Content, account: Account) -> bool:
        if content.time is None:
            return False
        early, late = account.window_s or self._options.window_s
        return timedelta(seconds=early) <= content.time - self._place.utc_now() <= timedelta(seconds=late)

    # --- answers

    def _settle(self, signal: Signal | Rejected, refused: str) -> None:
        answer = signal.token
        if isinstance(answer, _Notice):
            if refused in OURS:
                self._memory.not_told(answer.account, answer.what)
            answer = answer.answer
        if not isinstance(answer, _Answer) or not answer.waiting:
            return
        answer.waiting -= 1
        if refused in OURS or not answer.refused:
            answer.refused = refused or answer.refused
        if answer.waiting or answer.refused in OURS:
            return
        self._outgoing += self._reply(answer)

    def _reply(self, answer: _Answer) -> bytes:
        """The frame of an answer; times and pads are of this moment."""
        time = dc09_body.write_time(self._place.utc_now())
        if answer.word == "NAK":
            return make_frame(b'"NAK"0000R0L0A0[]' + time)
        if answer.word == "DUH" or answer.refused:
            return make_frame(b'"DUH"' + answer.header.echo + b"[]")
        if answer.key is not None:
            return make_frame(b'"*ACK"' + answer.header.echo + b"[" + dc09_cipher.encrypt(answer.key, b"]" + time))
        return make_frame(b'"ACK"' + answer.header.echo + b"[]")


def _opened(header: Header, account: Account) -> tuple[Content | None, bytes, Account]:
    """(content, plaintext, the account with the key that fits): its key, then its next one. No content: neither does."""
    for key in filter(None, (account.key, account.key_next)):
        try:
            plain = dc09_cipher.decrypt(key, header.rest)
        except dc09_cipher.CipherError:
            continue
        content = dc09_body.read_content(plain)
        if content is not None and dc09_body.is_sensible(content):
            return content, plain, replace(account, key=key)
    return None, b"", account


def _shown(text: str) -> str:
    """The beginning of what a frame said, for people."""
    return "".join(one if one.isprintable() else "·" for one in text[:MAX_TEXT])


def line_feed_before(message: bytes) -> bytes:
    """A frame pasted without the LF that begins it."""
    return b"" if message[:1] == b"\n" else b"\n"
