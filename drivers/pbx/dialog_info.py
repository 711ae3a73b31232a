"""Calls out of the busy lamps of an exchange: dialog-info (RFC 4235), as it comes in the NOTIFYs of our subscriptions.

Two forms are understood (sip-ua, section 6): the rich one with call-id (FreeSWITCH, Kamailio, 3CX …), and Asterisk's, where the id is the
extension and nothing else tells calls apart. Several phones ringing for one caller are one call. What nobody says is marked `inferred`.
A call picked up at another phone than the one that rang cannot be told from one that nobody took: it is reported as missed.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from drivers.calls.call import State
from drivers.contract import Rejected, Signal
from drivers.pbx.dialog_body import Dialog, DialogInfo, read_dialog_info
from drivers.pbx.ledger import Ledger, LedgerCall
from drivers.sip.caller import Caller
from drivers.sip.message import Uri
from drivers.sip.number import NumberPlan
from drivers.sip.xml_body import MalformedXml

MAX_LEGS = 4_096  # dialogs remembered over all subscriptions: a thousand phones with some lines each
MAX_ADDRESSES = 2_000  # subscriptions; more are not told apart by version
# Between two phones a queue pauses (Asterisk: `retry`, 5 s by default): a call is lost only when nobody has rung for so long.
SETTLE_S = 6.0
RESTORE_S = 60.0  # after a restart the first NOTIFYs must have shown a call again by then
STALE_RUN = 3  # so many versions below the last one, one after the other: the exchange counts anew

_RINGING = frozenset({"trying", "proceeding", "early"})
_BY = {"local-bye": "agent", "remote-bye": "caller"}


class _Leg:
    """One dialog at one phone. `call` is None when it is no hotline call, or one that another phone took."""

    __slots__ = ("call", "call_id", "extension", "id", "is_confirmed", "is_second")

    def __init__(self, extension: str, dialog: Dialog, call: LedgerCall, is_second: bool) -> None:
        self.extension = extension
        self.id = dialog.id
        self.call_id = dialog.call_id
        self.call: LedgerCall | None = call
        self.is_confirmed = False
        self.is_second = is_second  # Asterisk shows one dialog a phone: a call ringing there while another is up


class _Loss(msgspec.Struct, frozen=True):
    """A call that no phone rings for any more: lost at `due`, unless one rings again."""

    due: float
    by_caller: bool
    reason: str
    by: str | None
    at: datetime | None
    raw: bytes
    told: str


class DialogWatch:
    """All subscriptions of one line to one exchange. `receive` per NOTIFY body; `deadline`, `handle_deadline`, `restore` as any codec has.

    Sans-I/O; `now` is monotonic seconds. Tell it of each new subscription (`subscribed`), for versions start anew there.
    """

    def __init__(
        self,
        line: str,
        plan: NumberPlan,
        agents: Mapping[str, str],
        hotline: str,
        hotlines: Mapping[str, str] | None = None,
        settle_s: float = SETTLE_S,
    ) -> None:
        """hotline: which one a ringing phone means, for dialog-info does not say; hotlines: another one for some extensions."""
        self._plan = plan
        self._agents = agents
        self._hotline = hotline
        self._hotlines = hotlines or {}
        self._settle_s = settle_s
        self._ledger = Ledger(line, plan, agents, "dialog_info")
        self._legs: dict[tuple[str, str, bool], _Leg] = {}
        self._versions: dict[str, tuple[int, int]] = {}  # extension → last version, how many below it in a row
        self._watched: set[str] = set()
        self._losing: dict[str, _Loss] = {}  # by the call's key
        self._gaps: set[str] = set()
        self._offered = 0
        self.refused = 0  # dialogs there was no room for
        self.stale = 0  # bodies dropped because their version had been there

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._ledger)

    def subscribed(self, address: str) -> None:
        """A new subscription (not a refresh) to this address begins."""
        extension = _extension(address)
        if len(self._watched) < MAX_ADDRESSES:
            self._watched.add(extension)
        self._versions.pop(extension, None)

    def refreshes(self) -> list[str]:
        """Extensions whose subscription must be refreshed now, because a partial state was missed. Drains."""
        wanted, self._gaps = sorted(self._gaps), set()
        return wanted

    def receive(self, address: str, body: bytes, now: float, at: datetime | None, raw: bytes) -> list[Signal | Rejected]:
        """One NOTIFY body of the subscription to `address` (`sip:8001@pbx`); raw: what is kept for proof."""
        extension = _extension(address)
        try:
            info = read_dialog_info(body)
        except MalformedXml as fault:
            return [Rejected(reason=fault.reason, raw=raw)]
        if extension not in self._watched:
            self.subscribed(address)
        if not self._is_news(extension, info):
            self.stale += 1
            return []
        found: list[Signal | Rejected] = []
        for dialog in info.dialogs:
            found += self._take(extension, dialog, now, at, raw)
        if info.is_full:
            listed = {dialog.id for dialog in info.dialogs}
            for leg in [leg for leg in self._legs.values() if leg.extension == extension and leg.id not in listed]:
                found += self._gone(leg, Dialog(id=leg.id, state="terminated"), now, at, raw)
        return found

    def deadline(self) -> float | None:
        """When a call counts as lost, or has been silent for too long."""
        dues = [loss.due for loss in self._losing.values()]
        guard = self._ledger.deadline()
        return min(dues if guard is None else [guard, *dues], default=None)

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:  # noqa: ARG002 - the seam is the same for all
        """Calls that nobody has rung for since: missed, abandoned or ended."""
        found: list[Signal | Rejected] = []
        for key, loss in [item for item in self._losing.items() if item[1].due <= now]:
            del self._losing[key]
            call = self._ledger.find(key)
            if call is None:
                continue
            if call.state is State.ANSWERED:
                found += self._ledger.end(call, loss.by, now, loss.at, loss.raw, loss.told, loss.reason, inferred=True)
            else:
                found += self._ledger.lose(call, loss.by_caller, loss.reason, now, loss.at, loss.raw, loss.told, inferred=not loss.by_caller)
        found += self._ledger.handle_deadline(now)
        return found

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls again; those that no phone shows within RESTORE_S are over."""
        taken = self._ledger.restore(records, now)
        for call in self._ledger:
            if call.restored:
                self._losing.setdefault(call.key, _Loss(now + RESTORE_S, False, "restart", None, None, b"", "timer"))
        return taken

    # ---- one dialog

    def _take(self, extension: str, dialog: Dialog, now: float, at: datetime | None, raw: bytes) -> Iterable[Signal]:
        leg = self._find(extension, dialog)
        if dialog.state == "terminated":
            second = self._legs.get((extension, dialog.id, True))
            return [news for gone in (leg, second) if gone is not None for news in self._gone(gone, dialog, now, at, raw)]
        if dialog.direction == "initiator":
            return []
        if dialog.state in _RINGING:
            return self._rings(extension, leg, dialog, now, at, raw)
        return self._confirmed(extension, leg, dialog, now, at, raw) if dialog.state == "confirmed" else []

    def _rings(self, extension: str, leg: _Leg | None, dialog: Dialog, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        caller = self._ledger.caller(dialog.remote, dialog.remote_name)
        if caller.raw in self._agents or caller.raw in self._watched:
            return []  # one desk calls another
        found: list[Signal] = []
        is_second = False
        known = leg.call if leg is not None else None
        if leg is not None and known is not None and not known.is_final:
            if not caller.raw or caller.number == known.caller.number:
                return self._ledger.ring(known, now, at, raw, dialog.told) if dialog.state == "early" else []
            if known.caller.number is None:
                return self._ledger.learn(known, caller, at, raw, dialog.told)
            if leg.is_confirmed:
                is_second = True
                if (extension, dialog.id, True) in self._legs:
                    return []
            else:  # the one dialog that this phone shows is another call now
                found += self._gone(leg, Dialog(id=leg.id, state="terminated"), now, at, raw)
        call, offered = self._call_of(extension, caller, dialog, now, at, raw)
        found += offered
        if call is not None and self._attach(extension, dialog, call, is_second) and dialog.state == "early":
            found += self._ledger.ring(call, now, at, raw, dialog.told)
        return found

    def _confirmed(self, extension: str, leg: _Leg | None, dialog: Dialog, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        found: list[Signal] = []
        if leg is None:
            leg, found = self._confirmed_unheard(extension, dialog, now, at, raw)
        call = leg.call if leg is not None else None
        if leg is None or call is None or call.is_final:
            return found
        if leg.is_confirmed:
            second = self._legs.get((extension, dialog.id, True))
            return found + (self._gone(second, dialog, now, at, raw) if second is not None else [])
        leg.is_confirmed = True
        if self._plan.hotline(extension) is not None and any(self._plan.hotline(watched) is None for watched in self._watched):
            return found  # the queue answered; a phone will show who did
        found += self._ledger.answer(call, "" if self._plan.hotline(extension) else extension, now, at, raw, dialog.told)
        self._losing.pop(call.key, None)
        for rival in self._legs_of(call):
            if not rival.is_confirmed:
                rival.call = None
        return found

    def _confirmed_unheard(self, extension: str, dialog: Dialog, now: float, at: datetime | None, raw: bytes) -> tuple[_Leg | None, list[Signal]]:
        """Nobody saw it ring: a call from before our start, an automatic answer, or (no direction, no identity) one that this phone placed."""
        if dialog.direction == "recipient" and dialog.remote:
            found = self._rings(extension, None, dialog, now, at, raw)
            return self._find(extension, dialog), found
        for call in self._ledger:
            if call.restored and call.state is State.ANSWERED and call.agent == extension and not self._legs_of(call):
                self._attach(extension, dialog, call, False)
                return self._find(extension, dialog), []
        return None, []

    def _gone(self, leg: _Leg, dialog: Dialog, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        """One dialog is over. The call is, when no other phone has it or rings for it."""
        self._legs.pop((leg.extension, leg.id, leg.is_second), None)
        call = leg.call
        if call is None or call.is_final:
            return []
        rest = self._legs_of(call)
        if call.state is State.ANSWERED and call.agent is not None:
            rest = [other for other in rest if self._plan.hotline(other.extension) is None]
        if rest:
            return []
        if call.state is State.ANSWERED and dialog.event != "replaced":
            return self._ledger.end(call, _BY.get(dialog.event), now, at, raw, dialog.told)
        reason = "replaced" if call.state is State.ANSWERED else dialog.why
        by_caller = dialog.event == "remote-bye"
        self._losing[call.key] = _Loss(now + self._settle_s, by_caller, "" if by_caller else reason, _BY.get(dialog.event), at, raw, dialog.told)
        return []

    # ---- tables

    def _find(self, extension: str, dialog: Dialog) -> _Leg | None:
        leg = self._legs.get((extension, dialog.id, False))
        if leg is None and dialog.call_id:
            leg = next((other for other in self._legs.values() if other.extension == extension and other.call_id == dialog.call_id), None)
        return leg

    def _legs_of(self, call: LedgerCall) -> list[_Leg]:
        return [leg for leg in self._legs.values() if leg.call is call]

    def _attach(self, extension: str, dialog: Dialog, call: LedgerCall, is_second: bool) -> bool:
        if len(self._legs) >= MAX_LEGS:
            self.refused += 1
            return False
        self._legs[extension, dialog.id, is_second] = _Leg(extension, dialog, call, is_second)
        self._losing.pop(call.key, None)
        return True

    def _call_of(
        self, extension: str, caller: Caller, dialog: Dialog, now: float, at: datetime | None, raw: bytes
    ) -> tuple[LedgerCall | None, list[Signal]]:
        """The call that this phone rings for: by call-id, else by caller (nobody named: the one of nobody), else a new one."""
        for call in self._candidates(caller, dialog):
            return call, []
        name = dialog.call_id or f"{extension}:{dialog.id}:{caller.number or ''}"
        self._offered += 1  # with time and number, for a Call-ID that rings again later is a call of its own
        token = f"{name} {at.timestamp() if at is not None else now:.3f} {self._offered}"
        hotline = self._plan.hotline(extension) or self._plan.hotline(dialog.local) or self._hotlines.get(extension, self._hotline)
        offered = self._ledger.offer(token, caller, hotline, hotline, now, at, raw, dialog.told)
        return self._ledger.call(token), offered

    def _candidates(self, caller: Caller, dialog: Dialog) -> Iterator[LedgerCall]:
        if dialog.call_id:
            for leg in self._legs.values():
                if leg.call_id == dialog.call_id and leg.call is not None and not leg.call.is_final:
                    yield leg.call
        for call in self._ledger:
            is_same_caller = call.caller.number == caller.number and (caller.number is not None or not dialog.call_id)
            is_taken_up = call.restored and bool(dialog.call_id) and call.token.partition(" ")[0] == dialog.call_id
            if is_same_caller or is_taken_up:
                yield call

    def _is_news(self, extension: str, info: DialogInfo) -> bool:
        """RFC 4235, 4.3: a version that has been there is dropped; a gap before a partial state asks for the full one."""
        if info.version is None:
            return True
        last, below = self._versions.get(extension, (None, 0))
        if last is not None and info.version <= last and below + 1 < STALE_RUN:
            self._versions[extension] = last, below + 1
            return False
        if not info.is_full and last != info.version - 1:
            self._gaps.add(extension)
        if extension in self._versions or len(self._versions) < MAX_ADDRESSES:
            self._versions[extension] = info.version, 0
        return True


def _extension(address: str) -> str:
    return Uri(address).user or address
