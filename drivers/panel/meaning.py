"""What a panel's event code means on this line: the standard's table, changed by dialect, by code and by zone.

The same code means different things in different products: 102 is a missed check-in by the standard, a fall on one pendant.
The nearest rule wins: the zone's, then the code's, then the dialect's, then the standard's; of the same sort the account's before the line's.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from drivers.panel.contact_id_codes import Code, Payload, code_of
from drivers.panel.sia_codes import sia_code_of
from gateway.event import ALARM_KINDS, KINDS, Group, Kind, Phase

DialectName = Literal["standard", "climax", "vesta"]

# Where a product's table differs from the standard's; after the fact sheet (Climax "Mobile PERS" manual, Vesta event table).
# climax 102 is "no movement after a fall": a fall that is no longer in doubt, so it is not weaker than the fall itself.
DIALECTS: dict[str, dict[str, Code]] = {
    "standard": {},
    "climax": {
        "100": Code(Kind.SOS, "E", "button on the base"),
        "101": Code(Kind.SOS, "E", "pendant or fall-sensor button"),
        "102": Code(Kind.FALL, "E", "inactivity after a fall"),
        "120": Code(Kind.FALL, "E", "fall sensor triggered"),
        "147": Code(Kind.OFFLINE, "T", "device supervision failure"),
        "602": Code(Kind.TEST, "S", "automatic check-in"),
        "606": Code(Kind.TELEMETRY, "C", "speech follows"),
        "641": Code(Kind.INACTIVITY, "E", "inactivity timer"),
        "661": Code(Kind.TELEMETRY, "O", "nurse arrived or finished"),
        "662": Code(Kind.SOS, "E", "help still needed"),
        "663": Code(Kind.CANCEL, "O", "case closed"),
    },
    "vesta": {"102": Code(Kind.FALL, "E", "fall detected")},
}

# What a rule may make of a code: whatever a device can say.
_SAYABLE = (Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE, Group.SUBJECTLESS)
_CODE = re.compile(r"[0-9B-F]{3}|[A-Z]{2}")
_ZONE = re.compile(r"(?:\*|[0-9A-Z]{1,12})")
_PHASES = {"1": Phase.RAISE, "3": Phase.CLEAR, "6": Phase.REPEAT}


class Meaning(NamedTuple):
    """An event code in our words. `detail` holds what the carrier said under the standard's names, and why the kind is another than usual."""

    kind: Kind
    phase: Phase
    kind_raw: str
    detail: dict[str, object]


class MeaningOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the codes of a line, or of one account, are meant.

    dialect  standard, climax (their mobile PERS) or vesta
    codes    {"120" = "fall"}: a code of Contact ID or of the SIA format = kind, on every zone
    zones    {"4711:005" = "fall"}: the alarms of a zone of an account = kind; "4711:*" for all its zones. A zone's battery, tamper and test
             stay what they are
    A kind that is no alarm ("telemetry") takes the alarm away: the event then says in `standard_kind` what it would have been.
    """

    dialect: DialectName = "standard"
    codes: dict[str, str] = {}
    zones: dict[str, str] = {}

    def __post_init__(self) -> None:
        for code, kind in self.codes.items():
            if not _CODE.fullmatch(code):
                raise ValueError(f'codes: {code!r} is no event code; write three digits ("120") or two capital letters ("QA")')
            check_kind(f"codes: {code!r}", kind)
        for zone, kind in self.zones.items():
            account, _, number = zone.rpartition(":")
            if not (re.fullmatch(r"[0-9A-Za-z]{1,16}", account) and _ZONE.fullmatch(number)):
                raise ValueError(f'zones: {zone!r} is no zone; write "ACCOUNT:ZONE" ("4711:005") or "ACCOUNT:*"')
            check_kind(f"zones: {zone!r}", kind)


def check_kind(where: str, kind: str) -> None:
    """Raises ValueError when no device can say this."""
    if kind not in Kind.__members__.values() or KINDS[Kind(kind)].group not in _SAYABLE:
        raise ValueError(f"{where}: {kind!r} is no kind that a device can tell; write sos, fall, medical, smoke, fault, telemetry, …")


class Meanings:
    """The rules of one line. `accounts` holds what single accounts have of their own, by account in capitals; their zones as "ACCOUNT:ZONE"."""

    def __init__(self, options: MeaningOptions | None = None, accounts: Mapping[str, MeaningOptions] | None = None) -> None:
        self._options = options or MeaningOptions()
        self._accounts = accounts or {}
        self._zones = {key.upper(): Kind(kind) for key, kind in self._options.zones.items()}
        for rules in self._accounts.values():
            self._zones |= {key.upper(): Kind(kind) for key, kind in rules.zones.items()}

    def contact_id(self, account: str, payload: Payload, *, is_user: bool | None = None) -> Meaning:
        """The meaning of `QXYZ GG ZZZ`. detail: qualifier, code, group, zone or user as sent; event, category; silent and urgent where so.

        is_user: what the carrier says about its last field; None: it does not, so the event code does.
        """
        own = self._accounts.get(account.upper(), self._options)
        dialect = own.dialect if own.dialect != "standard" else self._options.dialect
        standard = code_of(payload.code)
        row = DIALECTS[dialect].get(payload.code, standard)
        by_user = row.by_user if is_user is None else is_user
        kind, rule = self._ruled(account, payload.code, row.kind, payload.number if not by_user else "")
        detail: dict[str, object] = {"qualifier": payload.qualifier, "code": payload.code, "group": payload.group}
        detail["user" if by_user else "zone"] = payload.number
        detail |= {"event": row.name, "category": row.category}
        detail |= {name: True for name in ("silent", "urgent") if getattr(row, name)}
        detail |= _why(kind, standard.kind, rule or (dialect if row is not standard else ""))
        return Meaning(kind, _phase_of(kind, _PHASES[payload.qualifier]), payload.code, detail)

    def sia(self, account: str, code: str, address: str) -> Meaning:
        """The meaning of a two-letter code and the address behind it ("" = none).

        detail: code, event; zone (at least three digits, as registers have them) or user; silent where so.
        """
        row = sia_code_of(code)
        number = address.zfill(3) if address.isdigit() else address
        kind, rule = self._ruled(account, code, row.kind, number if not row.by_user else "")
        detail: dict[str, object] = {"code": code, "event": row.name}
        if number:
            detail["user" if row.by_user else "zone"] = number
        if row.silent:
            detail["silent"] = True
        return Meaning(kind, _phase_of(kind, row.phase), code, detail | _why(kind, row.kind, rule))

    def _ruled(self, account: str, code: str, kind: Kind, zone: str) -> tuple[Kind, str]:
        """(kind, which rule made it so). A zone's rule is about its alarms: its battery and its tests stay what they are."""
        own = self._accounts.get(account.upper(), self._options)
        by_code = own.codes.get(code) or self._options.codes.get(code)
        if kind in ALARM_KINDS or by_code is not None:
            for key in (f"{account}:{zone}".upper(), f"{account}:*".upper()) if zone else ():
                by_zone = self._zones.get(key)
                if by_zone is not None and (kind in ALARM_KINDS or Kind(by_code or kind) in ALARM_KINDS):
                    return by_zone, f"zones.{key}"
        return (Kind(by_code), f"codes.{code}") if by_code is not None else (kind, "")


def _phase_of(kind: Kind, phase: Phase) -> Phase:
    """Tests and signs of life are neither raised nor cleared."""
    group = KINDS[kind].group
    if kind is Kind.TEST:
        return Phase.TEST
    if group is Group.LIFE:
        return Phase.STATE
    return Phase.RAISE if phase in (Phase.STATE, Phase.TEST) else phase


def _why(kind: Kind, standard: Kind, rule: str) -> dict[str, Any]:
    """That a rule has changed what the standard says is never left unsaid."""
    return {"rule": rule, **({"standard_kind": str(standard)} if kind is not standard else {})} if rule else {}
