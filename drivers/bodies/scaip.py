"""SCAIP (SS 91100, CLC/TS 50134-9): alarms of social-alarm home units, which come as `<mrq>` in a SIP MESSAGE and want `<mrs>` back.

Source: scaip.md; the standards themselves were not at hand. `scaip_text` reads and writes the XML, `scaip_signal` says what it means.
Only snu 0 means "taken over": it is sent after the commit, and when the store refuses nothing is sent, so the unit goes to its next receiver.
What cannot be understood is shown to people as far as it can be read; when in doubt it is an emergency.
"""

import hashlib
from collections import OrderedDict
from typing import Annotated, Literal

import msgspec

from drivers.bodies.handler import Part, Reading, Received, message_identity
from drivers.bodies.scaip_signal import detail_of, is_alarm, meaning, position_of
from drivers.bodies.scaip_text import CONTENT_TYPE, ROOTS, Request, Unreadable, read_request, reply, root_of
from drivers.contract import Rejected, Signal
from gateway.event import Kind, Phase

SAME_S = 600.0  # scaip.md, "Flow rules": same cid and ref within ten minutes is the same message
MAX_REMEMBERED = 20_000  # messages of ten minutes: every unit of a large district crying twice; beyond, the oldest is forgotten
NOT_TREATED = 5
VARIANT_TYPE = "application/xml"  # of the variant with root <scaip>

REASONS = ("is_mrs", "too_long", "bad_xml", "too_deep", "forbidden_xml", "not_mrq")
"""Every reason for which a body is rejected, or (all but the first) reported as a fault of its sender."""


class Voice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The call after an accepted alarm. mre: 00 none, 01 both ways, 02 listen only, 03 speak only; cre: 61 the receiver that the unit knows,
    62 `tnu`. silent_mre: for duress, where nothing may be heard in the home.
    """

    mre: Literal["00", "01", "02", "03"] = "01"
    cre: Literal["61", "62"] = "61"
    tnu: Annotated[str, msgspec.Meta(max_length=256)] = ""
    silent_mre: Literal["00", "02"] = "02"

    def __post_init__(self) -> None:
        if (self.cre == "62") != bool(self.tnu):
            raise ValueError("voice: cre 62 and tnu belong together; write both, or neither")


class UnitGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that are treated otherwise: `cid` exactly, or with * at its end. What is left out is as for all."""

    cid: tuple[str, ...]
    voice: Voice | None = None
    hbi: Annotated[int, msgspec.Meta(ge=0, le=4)] | None = None
    answer_inside: bool | None = None


class ScaipOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[line.options.body_options.scaip]`.

    device: the address of a signal, the unit's cid alone or with the id of the trigger. hbi: heartbeat class told in the answer to a
    heartbeat; its meaning is the maker's. answer_inside: `<mrs>` in the 200 itself; left out, only for the `<scaip>` variant.
    only: cids taken over (* at the end allowed); others are shown too, and told "not treated" (snu 5). malformed: status for what is no XML.
    """

    device: Literal["cid", "cid/did"] = "cid"
    voice: Voice = Voice()
    hbi: Annotated[int, msgspec.Meta(ge=0, le=4)] | None = None
    answer_inside: bool | None = None
    only: tuple[str, ...] = ()
    group: tuple[UnitGroup, ...] = ()
    malformed: Literal[200, 400] = 200


class _Known(msgspec.Struct, frozen=True):
    """A message of the last ten minutes: the identity its signal had, and what it was answered."""

    since: float
    dedup: str
    answer: bytes
    is_stored: bool = False


class ScaipBody:
    """The handler of SCAIP bodies of one line (`drivers.bodies.handler`)."""

    media_types = (CONTENT_TYPE,)

    def __init__(self, options: ScaipOptions) -> None:
        self._options = options
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def accepts(self, content_type: str, body: bytes) -> bool:
        """By the root element, for senders label it text/plain or application/xml too."""
        return content_type == CONTENT_TYPE or root_of(body) in ROOTS

    def read(self, received: Received) -> Reading:
        """One message. A repetition within ten minutes hears the same answer again and raises nothing."""
        request = read_request(received.body)
        if isinstance(request, Unreadable):
            return self._unreadable(request, received)
        group = self._group_of(request.value("cid"))
        kind, phase = meaning(request)
        snu = request.snu or (0 if self._is_ours(request.value("cid")) else NOT_TREATED)
        answer = self._answer(request, snu, kind, phase, group)
        device = self._device(request, received)
        name = None
        if kind is Kind.HEARTBEAT:
            dedup = None
        elif "ref" in request.missing:
            dedup = f"{device}:{message_identity(received)}"
        else:
            name = f"{device}:{request.value('ref')}:{hashlib.blake2b(received.body, digest_size=6).hexdigest()}"
            known = self._remembered(name, received.now)
            if known is not None and known.is_stored:
                return self._reading((), known.answer, request, group)
            # The window's number is in the identity, so that a redelivery after a crash is (nearly always) a duplicate too.
            dedup = known.dedup if known is not None else f"{name}:{int(received.received_at.timestamp() // SAME_S)}"
            self._remember(name, _Known(received.now, dedup, answer))
        lat, lon, source = position_of(request, received.received_at) or (None, None, "gnss")
        signal = Signal(
            kind=kind,
            phase=phase,
            kind_raw=" ".join(request.value(tag) for tag in ("mty", "dty", "stc") if request.value(tag)) or "mrq",
            device=device,
            dedup=dedup,
            lat=lat,
            lon=lon,
            position_source=source,
            detail=detail_of(request, kind, phase, received.received_at) | _sender(request, received),
            raw=received.raw,
        )
        return self._reading((signal,), answer, request, group, name)

    def settled(self, reading: Reading, stored: bool, now: float) -> None:  # noqa: ARG002 - the seam is the same for all
        """From now on it is known; or, when the store refused it, it never was."""
        known = self._known.get(reading.token) if isinstance(reading.token, str) else None
        if known is None or not isinstance(reading.token, str):
            return
        if stored:
            self._known[reading.token] = msgspec.structs.replace(known, is_stored=True)
        else:
            del self._known[reading.token]

    # ---- answers

    def _answer(self, request: Request, snu: int, kind: Kind, phase: Phase, group: UnitGroup | None) -> bytes:
        root = "scaip" if request.root == "scaip" else "mrs"
        ref = request.value("ref")
        if snu:
            return reply(ref, snu, text=request.fault, root=root)
        if kind is Kind.HEARTBEAT:
            return reply(ref, 0, hbi=group.hbi if group is not None and group.hbi is not None else self._options.hbi, root=root)
        if request.value("mty") not in ("", "ME"):
            return reply(ref, 0, root=root)
        voice = group.voice if group is not None and group.voice is not None else self._options.voice
        if not is_alarm(kind, phase):
            return reply(ref, 0, mre="00", root=root)  # a flat battery needs no call
        mre = voice.silent_mre if kind is Kind.DURESS else voice.mre
        return reply(ref, 0, mre=mre, root=root) if mre == "00" else reply(ref, 0, mre=mre, cre=voice.cre, tnu=voice.tnu, root=root)

    def _reading(self, signals: tuple[Signal, ...], answer: bytes, request: Request, group: UnitGroup | None, token: str | None = None) -> Reading:
        inside = group.answer_inside if group is not None and group.answer_inside is not None else self._options.answer_inside
        if inside if inside is not None else request.root == "scaip":
            return Reading(signals=signals, reply=Part(answer, VARIANT_TYPE if request.root == "scaip" else CONTENT_TYPE), token=token)
        return Reading(signals=signals, follow_up=Part(answer, CONTENT_TYPE), token=token)

    def _unreadable(self, fault: Unreadable, received: Received) -> Reading:
        """Nobody knows what it was: a notice with the sender's name, and the unit hears that it must go elsewhere."""
        if fault.reason == "is_mrs":  # an answer is never answered
            return Reading(signals=(Rejected(reason="is_mrs", raw=received.raw, device=received.from_user or None),))
        device = fault.cid or received.from_user
        if not device:
            return Reading(signals=(Rejected(reason=fault.reason, raw=received.raw),), status=400)
        detail: dict[str, object] = {"reason": fault.reason, "from_user": received.from_user, "content_type": received.content_type}
        signal = Signal(
            kind=Kind.FAULT,
            kind_raw="unreadable",
            device=device,
            dedup=f"{device}:{message_identity(received)}",
            detail={name: value for name, value in detail.items() if value},
            raw=received.raw,
        )
        return Reading(signals=(signal,), status=self._options.malformed, follow_up=Part(reply(fault.ref, fault.snu), CONTENT_TYPE))

    # ---- whose

    def _device(self, request: Request, received: Received) -> str:
        cid = request.value("cid").removeprefix("+") or received.from_user or received.source[0]
        did = request.value("did")
        return f"{cid}/{did}" if did and self._options.device == "cid/did" else cid

    def _group_of(self, cid: str) -> UnitGroup | None:
        return next((group for group in self._options.group if _is_among(cid, group.cid)), None)

    def _is_ours(self, cid: str) -> bool:
        return not self._options.only or _is_among(cid, self._options.only)

    # ---- memory

    def _remembered(self, name: str, now: float) -> _Known | None:
        while self._known:
            oldest = next(iter(self._known.values()))
            if now - oldest.since < SAME_S:
                break
            self._known.popitem(last=False)
        return self._known.get(name)

    def _remember(self, name: str, known: _Known) -> None:
        if name in self._known:  # its ten minutes began with the first
            return
        self._known[name] = known
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


def _sender(request: Request, received: Received) -> dict[str, object]:
    """Who sent it and who proved to, where either is not the unit's id; and a content type that is not SCAIP's."""
    cid = request.value("cid").removeprefix("+")
    facts = {"from_user": received.from_user, "user": received.user}
    odd: dict[str, object] = {name: value for name, value in facts.items() if value and value.removeprefix("+") != cid}
    return odd | ({"content_type": received.content_type} if received.content_type != CONTENT_TYPE else {})


def _is_among(cid: str, patterns: tuple[str, ...]) -> bool:
    return any(cid.startswith(pattern[:-1]) if pattern.endswith("*") else cid == pattern for pattern in patterns)
