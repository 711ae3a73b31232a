"""What the gateway asks of an Asterisk: Originate, Hangup and Redirect, and what each comes to. Sans-I/O.

A channel of ours has the Uniqueid `gateway-<id>` (ChannelId, Asterisk 12 and later), so all its legs have it as their Linkedid. A responder
who is rung lands in the context of config/pbx/asterisk/extensions_gateway.conf, which says the key in a UserEvent.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import quote

import msgspec

from drivers.pbx.ami_channel import OURS
from drivers.pbx.ami_message import Message, write_action
from drivers.telephone import Answer, Dial, HangUp, Ring, Told, Transfer, Wish

LIMIT_S = 28.0  # beyond all ringing; the line gives a wish up after 30
ANSWER_S = 10.0  # for actions that are answered at once
MAX_WISHES = 200
MAX_SAY = 512  # octets of the text for a speaking exchange; Asterisk's line buffer for an action is 1 KiB
USER_EVENT = "gatewayring"
OF_CALLS = (HangUp, Transfer, Answer)  # about a call that is going on, and answered at once

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_AGENT = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+-]{0,63}")
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_KEYS = re.compile(r"[0-9*#]{1,12}")
_CHANNEL = re.compile(r"[0-9A-Za-z][^\r\n\0]{0,255}")  # a leading slash would be a regular expression over all channels
_REASONS = {"1": "no_answer", "3": "no_answer", "5": "busy"}  # of OriginateResponse; 0 and 8 are failed and congestion
_STATUSES = {"BUSY": "busy", "NOANSWER": "no_answer", "CANCEL": "failed", "CONGESTION": "failed", "CHANUNAVAIL": "failed"}


class WishOptions(Protocol):
    """The part of the line's options that says how this exchange dials."""

    @property
    def agent_channel(self) -> str: ...
    @property
    def number_channel(self) -> str: ...
    @property
    def dial_context(self) -> str: ...
    @property
    def ring_context(self) -> str: ...
    @property
    def transfer_context(self) -> str: ...
    @property
    def answer_context(self) -> str: ...
    @property
    def prompt(self) -> str: ...


class _UnderWay(msgspec.Struct):
    """action: its ActionID; uid: of the channel it opened; taken: whoever was rung first has answered."""

    token: int
    wish: Wish
    action: str
    uid: str
    until: float
    taken: bool = False


class AmiWishes:
    """Wishes under way, each told once. `find` gives the channel of a call by its key, or ""; `channel` the name of one by its Uniqueid."""

    def __init__(self, options: WishOptions, find: Callable[[str], str], channel: Callable[[str], str]) -> None:
        self._options = options
        self._find = find
        self._channel = channel
        self._under_way: dict[str, _UnderWay] = {}  # by ActionID
        self._told: list[tuple[int, Told]] = []
        self._out = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return len(self._under_way)

    def ask(self, wish: Wish, token: int, now: float, *, is_ready: bool) -> None:
        """Queue the action. What does not fit a strict pattern is refused unsent: it would stand in a dial string."""
        fault = "" if is_ready else "not_connected"
        if fault:
            self._told.append((token, Told(outcome="lost", reason=fault)))
        elif len(self._under_way) >= MAX_WISHES:
            self._told.append((token, Told(outcome="refused", reason="too_many_wishes")))
        elif fault := _fault(wish):
            self._told.append((token, Told(outcome="refused", reason=fault)))
        else:
            self._ask(wish, token, now)

    def answers(self) -> list[tuple[int, Told]]:
        """Drain what wishes have come to."""
        told, self._told = self._told, []
        return told

    def data_to_send(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def lose(self) -> None:
        """The connection is gone: whether it was done, nobody will say."""
        self._out.clear()
        for one in list(self._under_way.values()):
            self._tell(one, "lost")

    def deadline(self) -> float | None:
        return min((one.until for one in self._under_way.values()), default=None)

    def handle_deadline(self, now: float) -> None:
        """Given up: what still rings is hung up."""
        for one in [one for one in self._under_way.values() if one.until <= now]:
            if one.uid:
                name = self._channel(one.uid)
                self._send("Hangup", "", Channel=name if _CHANNEL.fullmatch(name) else one.uid)
            outcome = "no_key" if one.taken and isinstance(one.wish, Ring) else "failed"
            self._tell(one, outcome, reason="timeout")

    # ---- what Asterisk says

    def receive_response(self, message: Message) -> None:
        one = self._under_way.get(message["ActionID"])
        if one is None:
            return
        if message.name.lower() == "error":
            reason = _words(message["Message"])
            missing = isinstance(one.wish, OF_CALLS) and ("no_such" in reason or "not_exist" in reason)
            self._tell(one, "unknown_call" if missing else "refused", reason=reason)
        elif isinstance(one.wish, OF_CALLS):
            self._tell(one, "done")

    def receive_event(self, message: Message) -> None:
        """The few events that tell how far a wish has come."""
        if not self._under_way:
            return
        if message.name == "OriginateResponse":
            self._originated(message)
        elif message.name == "UserEvent":
            self._pressed(message)
        elif message.name == "DialEnd":
            self._far_end(message)
        elif message.name == "Hangup":
            for one in self._of_channel(message["Uniqueid"]):
                if one.taken:
                    self._tell(one, "no_key" if isinstance(one.wish, Ring) else "failed", reason="hung_up")

    def _originated(self, message: Message) -> None:
        """Whoever is rung first has answered, or never will."""
        one = self._under_way.get(message["ActionID"])
        if one is None:
            return
        if message["Response"].lower() == "success":
            one.taken = True
            one.uid = message.told("Uniqueid") or one.uid
        else:
            who = "agent" if isinstance(one.wish, Dial) else ""
            self._tell(one, _REASONS.get(message["Reason"], "failed"), reason=who or f"reason_{_words(message['Reason'])}")

    def _pressed(self, message: Message) -> None:
        if message["UserEvent"].lower() != USER_EVENT:
            return
        said = {key.lower(): value for key, value in message.fields.items()}
        key = said.get("key", "")
        for one in list(self._under_way.values()):
            if isinstance(one.wish, Ring) and one.wish.id == said.get("id"):
                self._tell(one, "done" if key in one.wish.keys else "no_key", key=key if key in one.wish.keys else "")

    def _far_end(self, message: Message) -> None:
        """The number that a Dial asks for is taken, or is not to be had."""
        status = message["DialStatus"]
        for one in self._of_channel(message["Linkedid"] or message["DestLinkedid"]):
            if not isinstance(one.wish, Dial) or message["DestUniqueid"] == one.uid:
                continue
            if status == "ANSWER":
                self._tell(one, "done")
            elif status in _STATUSES:
                self._tell(one, _STATUSES[status], reason=status.lower())

    def _of_channel(self, uid: str) -> list[_UnderWay]:
        return [one for one in self._under_way.values() if uid and one.uid == uid]

    # ---- what we say

    def _ask(self, wish: Wish, token: int, now: float) -> None:
        self._count += 1
        action = f"{OURS}{self._count}"
        if isinstance(wish, OF_CALLS):
            channel = self._find(wish.call) or self._channel(OURS + wish.call)
            if not _CHANNEL.fullmatch(channel):
                self._told.append((token, Told(outcome="unknown_call")))
                return
            self._under_way[action] = _UnderWay(token, wish, action, "", now + ANSWER_S)
            if isinstance(wish, HangUp):
                self._send("Hangup", action, Channel=channel, Cause="16")
            else:
                context = (self._options.answer_context if isinstance(wish, Answer) else "") or self._options.transfer_context
                to = wish.agent if isinstance(wish, Answer) else wish.to
                self._send("Redirect", action, Channel=channel, Context=context, Exten=to, Priority="1")
            return
        uid = OURS + wish.id
        self._under_way[action] = _UnderWay(token, wish, action, uid, now + wish.rings_s + LIMIT_S)
        self._originate(wish, action, uid)

    def _originate(self, wish: Dial | Ring, action: str, uid: str) -> None:
        options = self._options
        far = options.number_channel.replace("{number}", wish.number)
        where: dict[str, str]
        if isinstance(wish, Ring):
            channel, where = far, {"Context": options.ring_context, "Exten": "s", "Priority": "1"}
        elif options.dial_context:
            channel, where = (
                options.agent_channel.replace("{number}", wish.agent),
                {"Context": options.dial_context, "Exten": wish.number, "Priority": "1"},
            )
        else:
            channel, where = options.agent_channel.replace("{number}", wish.agent), {"Application": "Dial", "Data": f"{far},{math.ceil(wish.ring_s)}"}
        fields = {"Channel": channel, **where, "ChannelId": uid, "Timeout": f"{1000 * wish.ring_s:.0f}", "Async": "true"}
        if wish.shown:
            fields["CallerID"] = f"<{wish.shown}>"
        self._send("Originate", action, variables=list(self._variables(wish)), **fields)

    def _variables(self, wish: Dial | Ring) -> Iterator[str]:
        """Two underscores: the channels that this one opens have it too. The text goes percent-encoded, for a comma would end it."""
        yield f"__GATEWAY_ID={wish.id}"
        if isinstance(wish, Ring):
            yield f"GATEWAY_KEYS={''.join(wish.keys)}"
            yield f"GATEWAY_PROMPT={self._options.prompt}"
            say = quote(wish.say, safe="")[:MAX_SAY]
            if say:
                yield f"GATEWAY_SAY={re.sub('%.?$', '', say)}"

    def _send(self, name: str, action: str, variables: list[str] | None = None, **fields: str) -> None:
        pairs = ([("ActionID", action)] if action else []) + list(fields.items()) + [("Variable", one) for one in variables or ()]
        self._out += write_action(name, pairs)

    def _tell(self, one: _UnderWay, outcome: str, key: str = "", reason: str = "") -> None:
        if self._under_way.pop(one.action, None) is not None:
            self._told.append((one.token, Told(outcome=outcome, key=key, reason=reason)))


def _fault(wish: Wish) -> str:
    """Why a wish must not be sent, or ""."""
    if isinstance(wish, HangUp):
        return "" if _ID.fullmatch(wish.call) else "bad_call"
    if isinstance(wish, Answer):
        return "bad_call" if not _ID.fullmatch(wish.call) else "" if _AGENT.fullmatch(wish.agent) else "bad_agent"
    if isinstance(wish, Transfer):
        return "bad_call" if not _ID.fullmatch(wish.call) else "" if _NUMBER.fullmatch(wish.to) else "bad_number"
    if not _ID.fullmatch(wish.id):
        return "bad_id"
    if not _NUMBER.fullmatch(wish.number) or (wish.shown and not _NUMBER.fullmatch(wish.shown)):
        return "bad_number"
    if isinstance(wish, Dial):
        return "" if _AGENT.fullmatch(wish.agent) else "bad_agent"
    return "" if _KEYS.fullmatch("".join(wish.keys)) and all(len(key) == 1 for key in wish.keys) else "bad_keys"


def _words(text: str) -> str:
    """Asterisk's words as a label, without digits: they might be a number that was dialled."""
    return re.sub(r"[^a-z]+", "_", text.lower()).strip("_")[:48]
