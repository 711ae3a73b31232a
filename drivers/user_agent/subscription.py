"""One subscription to the dialogs of one address: SUBSCRIBE, its NOTIFYs, refresh, and what an end of it means (RFC 6665; RFC 4235)."""

from collections.abc import Callable
from enum import StrEnum

from drivers.sip.message import Message, NameAddr, parse_params
from drivers.user_agent.asking import Ask, outcome
from drivers.user_agent.client_transactions import TIMER_F_S, new_token
from drivers.user_agent.registration import told_seconds

EVENT = "dialog"
ACCEPT = "application/dialog-info+xml"
REFRESH = 0.8  # of the time granted
PAUSES_S = (30.0, 300.0)  # after a failure, doubling from first to last
NOTIFY_S = TIMER_F_S  # Timer N: an accepted subscription that says nothing is none
GIVE_UP_S = 3600.0  # rejected or noresource: a person must look at it; asked again all the same, once an hour, as PBXs are repaired
GIVEN_UP = ("rejected", "noresource", "invariant")


class State(StrEnum):
    IDLE = "idle"
    ASKING = "asking"
    PENDING = "pending"  # accepted, or told so by a NOTIFY; nothing is known yet
    ACTIVE = "active"
    ENDED = "ended"


class Action(StrEnum):
    ASK = "ask"
    ACCEPT = "accept"
    HEAR = "hear"
    FAIL = "fail"
    END = "end"


TRANSITIONS: dict[State, dict[Action, State]] = {
    State.IDLE: {Action.ASK: State.ASKING},
    State.ASKING: {Action.ACCEPT: State.PENDING, Action.HEAR: State.ACTIVE, Action.FAIL: State.IDLE},
    State.PENDING: {Action.ACCEPT: State.PENDING, Action.HEAR: State.ACTIVE, Action.ASK: State.PENDING, Action.FAIL: State.IDLE},
    State.ACTIVE: {Action.ACCEPT: State.ACTIVE, Action.HEAR: State.ACTIVE, Action.ASK: State.ACTIVE, Action.FAIL: State.IDLE},
    State.ENDED: {},
}
for _row in TRANSITIONS.values():
    _row[Action.END] = State.ENDED


class Subscription:
    """Sans-I/O. `ask` whenever `deadline` has come; `told` is called with "" (active) or the reason whenever that changes.

    call_id, tag: of the present dialog; a NOTIFY is ours by them, whether it comes before the 200 or after (RFC 6665, 4.4.1).
    """

    call_id: str  # this and the following are the present dialog's, see _new_dialog
    tag: str
    _cseq: int
    _from: str
    _to: str
    _target: str
    _routes: list[str]
    _remote_tag: str
    _remote_cseq: int
    _heard_by: float | None
    _refresh_at: float | None

    def __init__(self, address: str, account: str, user: str, expires_s: int, now: float, told: Callable[[str], None], outbound: str = "") -> None:
        self.address = address
        self.state = State.IDLE
        self._account = account
        self._user = user
        self._expires = expires_s
        self._told = told
        self._outbound = outbound
        self._pause_s = PAUSES_S[0]
        self._due: float | None = now
        self._trouble: str | None = None
        self._new_dialog()

    @property
    def is_new(self) -> bool:
        """Was the last SUBSCRIBE the first of its dialog?"""
        return self._cseq == 1

    def deadline(self) -> float | None:
        return self._due

    def ask(self, now: float) -> Ask | None:
        """The SUBSCRIBE that is due: the first of a dialog, or a refresh in it."""
        self._due = None
        if self.state is State.PENDING and self._heard_by is not None and now >= self._heard_by:  # accepted, and then nothing
            self._fail("no_notify", now)
            return None
        self.state = TRANSITIONS[self.state][Action.ASK]
        return self._request(self._expires)

    def refresh(self, now: float) -> None:
        """A version is missing: a refresh makes the PBX tell the full state."""
        if self.state is State.ACTIVE:
            self._due = now

    def end(self) -> Ask | None:
        """At the stop: unsubscribe, when there is something to unsubscribe from."""
        was = self.state
        self.state, self._due = TRANSITIONS[was][Action.END], None
        return self._request(0) if was in (State.PENDING, State.ACTIVE) else None

    def notified(self, notify: Message, now: float) -> bool:
        """Take up a NOTIFY of this dialog; False when it is older than one that came before (RFC 3261, 12.2.2)."""
        if self._remote_tag and notify.from_tag != self._remote_tag:
            return False  # a second notifier (fork): the first one counts
        if notify.cseq <= self._remote_cseq:
            return False
        self._remote_cseq = notify.cseq
        if not self._remote_tag:
            self._learn(notify, notify.values("record-route"))
        value = notify.header("subscription-state")
        state, params = value.partition(";")[0].strip().lower(), parse_params(value.partition(";")[2])
        if state == "terminated":
            self._ended(params, now)
        elif self.state is not State.ENDED:
            self.state = TRANSITIONS[self.state].get(Action.HEAR, self.state)
            self._heard_by = None
            self._pause_s = PAUSES_S[0]
            left = told_seconds(params.get("expires", ""))
            self._due = now + REFRESH * left if left else self._refresh_at
            self._tell("")
        return True

    def _request(self, expires: int) -> Ask:
        self._cseq += 1
        ask = Ask(
            "SUBSCRIBE",
            self._target,
            self._to,
            lambda response, reason, now: self._answered(ask, response, reason, now),
            tag=self.tag,
            from_=self._from,
            call_id=self.call_id,
            cseq=self._cseq,
            headers=(("Event", EVENT), ("Accept", ACCEPT), ("Expires", str(expires)), *(("Route", route) for route in self._routes)),
            contact=self._user,
            account=self._account,
            next_hop=self._next_hop(),
        )
        return ask

    def _answered(self, ask: Ask, response: Message | None, reason: str, now: float) -> None:
        if ask.call_id != self.call_id or self.state is State.ENDED:
            return  # of a dialog that a NOTIFY has ended already
        self._cseq, self._from = ask.cseq, ask.from_
        why = outcome(response, reason)
        if response is None or why:
            if response is not None and response.code == 423 and (wanted := told_seconds(response.header("min-expires"))) > self._expires:
                self._expires = wanted
                self._fail("", now, after_s=0.0)
            elif response is not None and response.code == 481 and self._remote_tag:
                self._fail("", now, after_s=0.0)  # the dialog is gone: a new one
            else:
                self._fail(why, now, after_s=GIVE_UP_S if why == "sip_489" else None)
            return
        self.state = TRANSITIONS[self.state][Action.ACCEPT]
        if not self._remote_tag and response.to_tag:
            self._learn(response, list(reversed(response.values("record-route"))))
        elif response.values("contact"):
            self._target = response.name_addrs("contact")[0].uri
        granted = told_seconds(response.header("expires")) or self._expires
        self._refresh_at = self._due = now + REFRESH * granted
        if self.state is State.PENDING:
            self._heard_by = self._due = now + NOTIFY_S

    def _ended(self, params: dict[str, str], now: float) -> None:
        """RFC 6665, 4.1.3: what each reason wants of us."""
        reason = params.get("reason", "").lower()
        after = told_seconds(params.get("retry-after", ""))
        if reason in ("deactivated", "timeout"):
            self._fail("", now, after_s=0.0)
        elif reason in GIVEN_UP:
            self._fail(f"terminated_{reason}", now, after_s=GIVE_UP_S)
        else:
            self._fail(f"terminated_{reason or 'unsaid'}"[:64], now, after_s=float(after) if after else None)

    def _fail(self, why: str, now: float, after_s: float | None = None) -> None:
        if self.state is State.ENDED:
            return
        self.state = TRANSITIONS[self.state].get(Action.FAIL, self.state)
        self._new_dialog()
        self._due = now + (self._pause_s if after_s is None else after_s)
        if after_s is None:
            self._pause_s = min(2 * self._pause_s, PAUSES_S[1])
        if why:
            self._tell(why)

    def _new_dialog(self) -> None:
        self.call_id = new_token()
        self.tag = new_token()
        self._cseq = 0
        self._from = ""
        self._to = f"<{self.address}>"
        self._target = self.address
        self._routes = []
        self._remote_tag = ""
        self._remote_cseq = -1
        self._heard_by = None
        self._refresh_at = None

    def _learn(self, message: Message, routes: list[str]) -> None:
        """The other end of the dialog: its tag, where it is, and the way there (RFC 3261, 12.1.2)."""
        other = message.header("from") if message.is_request else message.header("to")
        self._remote_tag = message.from_tag if message.is_request else message.to_tag
        self._to = other
        self._routes = routes
        contacts = message.name_addrs("contact")
        if contacts:
            self._target = contacts[0].uri

    def _next_hop(self) -> str:
        if self._routes:
            return NameAddr(self._routes[0]).uri
        return self._target if self._remote_tag else self._outbound or self._target

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._told(trouble)
