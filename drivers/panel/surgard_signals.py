"""From a receiver's record to signals: codes and zones in our words, and the receiver's own records as technical ones."""

from collections.abc import Callable
from typing import Any

from drivers.contract import Signal
from drivers.panel.contact_id_codes import read_payload
from drivers.panel.dc09_block import read_block
from drivers.panel.meaning import Meanings
from drivers.panel.surgard_options import BY_USER, PULSES, SurgardOptions
from drivers.panel.surgard_record import Record
from drivers.panel.text_rules import phase_of
from gateway.event import ALARM_KINDS, Kind, Phase


class SignalMaker:
    """The rules of one line. `knows`: is this address on the register?"""

    def __init__(self, options: SurgardOptions, knows: Callable[[str], bool]) -> None:
        self._options = options
        self._meanings = Meanings(options)
        self._zones = {key.upper(): Kind(kind) for key, kind in options.zones.items()}
        self._knows = knows

    def signals(self, record: Record, raw: bytes) -> list[Signal]:
        """What the record says; several for a SIA record with several events, none when its content is no such thing."""
        match record.sort:
            case "heartbeat":
                return [Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, detail={"receiver": record.fields["head"]}, raw=raw)]
            case "contact_id":
                return self._contact_id(record, raw)
            case "sia":
                return self._sia(record, raw)
            case "pulse" | "pulse_42":
                return [self._pulse(record, raw)]
            case _:
                return [unread("unknown_record", record.text, raw)]

    def _contact_id(self, record: Record, raw: bytes) -> list[Signal]:
        fields = record.fields
        group, number = (fields[name].replace(" ", "0") for name in ("group", "number"))
        payload = read_payload(fields["qualifier"] + fields["code"] + group + number)
        if payload is None:
            return []
        meaning = self._meanings.contact_id(fields["account"], payload, is_user=fields["unit"] == "U" if "unit" in fields else None)
        return [self._signal(record, meaning.kind, meaning.phase, meaning.kind_raw, meaning.detail, raw)]

    def _sia(self, record: Record, raw: bytes) -> list[Signal]:
        block = read_block(record.fields["block"])
        signals = []
        for event in block.events:
            meaning = self._meanings.sia(self._account(record), event.code, event.address)
            detail: dict[str, object] = {**meaning.detail, **event.modifiers}
            detail |= {"texts": list(event.texts)} if event.texts else {}
            detail |= {"old_event": True} if block.old else {}
            detail |= {"unread": block.unread} if block.unread else {}
            signals.append(self._signal(record, meaning.kind, meaning.phase, meaning.kind_raw, detail, raw))
        return signals

    def _pulse(self, record: Record, raw: bytes) -> Signal:
        """The letter or digit of 3/1 and 4/1, the two digits of 4/2: the account's rule, the line's, then what is usual."""
        fields, account = record.fields, self._account(record)
        event = fields["event"]
        code = fields["code"] if record.sort == "pulse_42" else event
        kind, name = PULSES.get(event.strip() or "A", (Kind.GENERAL, f"unknown code {code}"))
        if record.sort == "pulse_42" and kind in ALARM_KINDS:  # the letter only says that it is one; a digit there means nothing sure
            kind, name = Kind.GENERAL, f"code {code}"
        rule = next((key for key in (f"{account}:{code}", code) if key in self._options.pulses), "")
        if rule:
            kind = Kind(self._options.pulses[rule])
        zone = fields.get("number", "").strip()
        number_of = "user" if event.strip() in BY_USER and kind not in ALARM_KINDS else "zone"
        detail: dict[str, object] = {"event_code": event.strip(), "event": name}
        detail |= {
            key: value for key, value in (("code", fields.get("code")), ("group", fields.get("group", "").strip()), (number_of, zone)) if value
        }
        if kind in ALARM_KINDS and zone:
            for key in (f"{account}:{zone}".upper(), f"{account}:*".upper()):
                if key in self._zones:
                    kind, rule = self._zones[key], f"zones.{key}"
                    break
        detail |= {"rule": rule} if rule else {}
        phase = phase_of(kind)
        if record.sort == "pulse_42" and event == "R" and phase is Phase.RAISE:  # the digits say of what it is the restore
            phase = Phase.CLEAR
        return self._signal(record, kind, phase, code, detail, raw)

    def _signal(self, record: Record, kind: Kind, phase: Phase, kind_raw: str, detail: dict[str, Any], raw: bytes) -> Signal:
        account, zone = self._account(record), detail.get("zone")
        detail = {"receiver": record.fields["receiver"], "line": record.fields["line"], **detail}
        if _is_receiver(record):
            detail["of_receiver"] = True
            if kind in ALARM_KINDS or kind is Kind.POWER_CUT:  # its own power, not that of a home
                detail["standard_kind"] = str(kind)
                kind = Kind.FAULT
        elif not (self._knows(account) or self._knows(f"{account}:{zone}")):
            detail["unknown_account"] = True
        return Signal(kind=kind, phase=phase, kind_raw=kind_raw, device=account, detail=detail, raw=raw)

    @staticmethod
    def _account(record: Record) -> str:
        return record.fields["account"].strip()


def unread(notice: str, text: str, raw: bytes) -> Signal:
    """A record that nobody here can read: it may be an alarm, so people look at it; a fault would wait for a technician.

    Only the receiver's own (account 0000) is a fault for certain.
    """
    is_own = text[4:].strip().startswith("0000 ")
    return Signal(kind=Kind.FAULT if is_own else Kind.GENERAL, kind_raw=notice, detail={"notice": notice, "text": text}, raw=raw)


def _is_receiver(record: Record) -> bool:
    """The receiver speaks of itself: account and line are all zeros. A panel may have the account 0000, but on a line that exists."""
    return record.sort in ("sia", "pulse", "pulse_42") and not record.fields["account"].strip(" 0") and not record.fields["line"].strip("0")
