"""Our registration at a PBX: one binding, refreshed in time, given up at the stop (RFC 3261, 10.2; sip-ua.md, section 5)."""

from collections.abc import Callable
from enum import StrEnum

from drivers.sip.hop import same_address
from drivers.sip.message import Message, Uri
from drivers.user_agent.asking import Ask, outcome
from drivers.user_agent.client_transactions import new_token
from drivers.user_agent.options import RegisterOptions

REFRESH = 0.8  # of the time granted
LATEST_S = 30.0  # ... and so long before its end at the latest
PAUSES_S = (30.0, 300.0)  # after a failure, doubling from first to last
REFUSED_S = 300.0  # after a wrong password: accounts get locked
LONGEST_S = 86_400  # of any time that an exchange tells


class State(StrEnum):
    IDLE = "idle"
    ASKING = "asking"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    FAILED = "failed"
    ENDING = "ending"
    ENDED = "ended"


class Action(StrEnum):
    ASK = "ask"
    GRANT = "grant"
    SHORTEN = "shorten"  # 423: ask again with the interval that it wants
    REFUSE = "refuse"
    END = "end"


TRANSITIONS: dict[State, dict[Action, State]] = {
    State.IDLE: {Action.ASK: State.ASKING, Action.END: State.ENDED},
    State.ASKING: {Action.GRANT: State.REGISTERED, Action.SHORTEN: State.IDLE, Action.REFUSE: State.FAILED, Action.END: State.ENDING},
    State.REGISTERED: {Action.ASK: State.REFRESHING, Action.END: State.ENDING},
    State.REFRESHING: {Action.GRANT: State.REGISTERED, Action.SHORTEN: State.IDLE, Action.REFUSE: State.FAILED, Action.END: State.ENDING},
    State.FAILED: {Action.ASK: State.ASKING, Action.END: State.ENDED},
    State.ENDING: {Action.GRANT: State.ENDED, Action.REFUSE: State.ENDED, Action.SHORTEN: State.ENDED, Action.END: State.ENDING},
    State.ENDED: {},
}


class Registration:
    """Sans-I/O. `ask` whenever `deadline` has come; `told` is called with "" (registered) or the reason whenever that changes."""

    def __init__(self, options: RegisterOptions, account: str, now: float, told: Callable[[str], None]) -> None:
        self.options = options
        self.state = State.IDLE
        self._account = options.account or account
        self._told = told
        self._call_id = new_token()
        self._tag = new_token()
        self._cseq = 0
        self._user = Uri(options.address).user or "gateway"
        self._expires = options.expires_s
        self._pause_s = PAUSES_S[0]
        self._due: float | None = now
        self._trouble: str | None = None
        self._ask: Ask | None = None

    def deadline(self) -> float | None:
        return self._due

    def ask(self) -> Ask:
        """The REGISTER that is due."""
        self._due = None
        self.state = TRANSITIONS[self.state][Action.ASK]
        return self._request(self._expires)

    def end(self) -> Ask | None:
        """At the stop: take the binding back, when there may be one."""
        target = TRANSITIONS[self.state].get(Action.END)
        if target is None or self.state is State.ENDING:
            return None
        self.state, self._due = target, None
        return self._request(0) if target is State.ENDING else None

    def _request(self, expires: int) -> Ask:
        address = f"<{self.options.address}>"
        self._ask = Ask(
            "REGISTER",
            _without_user(self.options.registrar),
            address,
            self._answered,
            from_=address,
            tag=self._tag,
            call_id=self._call_id,
            cseq=self._cseq + 1,
            headers=(("Expires", str(expires)),),
            contact=self._user,
            account=self._account,
        )
        return self._ask

    def _answered(self, response: Message | None, reason: str, now: float) -> None:
        if self._ask is not None:
            self._cseq = self._ask.cseq
        why = outcome(response, reason)
        if response is not None and response.code == 423 and (wanted := told_seconds(response.header("min-expires"))) > self._expires:
            self._expires = wanted
            self._step(Action.SHORTEN)
            self._due = now if self.state is State.IDLE else None
        elif not why and response is not None:
            self._step(Action.GRANT)
            self._pause_s = PAUSES_S[0]
            if self.state is State.REGISTERED:
                granted = self._granted(response)
                self._due = now + max(1.0, min(REFRESH * granted, granted - LATEST_S) if granted > 2 * LATEST_S else granted / 2)
                self._tell("")
        else:
            self._step(Action.REFUSE)
            if self.state is State.FAILED:
                self._due = now + (REFUSED_S if why in ("sip_401", "sip_403", "sip_407") else self._pause_s)
                self._pause_s = min(2 * self._pause_s, PAUSES_S[1])
                self._tell(why)

    def _step(self, action: Action) -> None:
        self.state = TRANSITIONS[self.state].get(action, self.state)

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._told(trouble)

    def _granted(self, response: Message) -> int:
        """The time of our own Contact in the answer, which may list others too; else Expires; else what we asked for."""
        for contact in response.name_addrs("contact"):
            if contact.user == self._user and (self._is_ours(contact.parsed.host) or len(response.values("contact")) == 1):
                found = told_seconds(contact.params.get("expires", ""))
                if found:
                    return found
        return told_seconds(response.header("expires")) or self._expires

    def _is_ours(self, host: str) -> bool:
        hop = self._ask.hop if self._ask is not None else None
        return hop is not None and same_address(host, hop.local[0])


def _without_user(uri: str) -> str:
    """The domain alone, as a REGISTER names it."""
    scheme, _, rest = uri.partition(":")
    return f"{scheme}:{rest.rpartition('@')[2]}"


def told_seconds(text: str) -> int:
    """Decimal seconds that a server tells, within reason, for a refresh must come some day; 0 for anything else."""
    return min(int(text), LONGEST_S) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
