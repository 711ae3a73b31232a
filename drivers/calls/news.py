"""What one message brought: the signals, each told once, with the facts of the call that people and a restart need."""

from collections.abc import Container, Mapping
from datetime import datetime

import msgspec

from drivers.calls.call import Call, Leg, leg_record
from drivers.contract import Signal
from gateway.event import Kind


class News:
    """Collects signals. `at` and `raw` are the message's; `inferred`: we know it only by conclusion."""

    def __init__(self, agents: Mapping[str, str], exchanges: Container[str] = (), at: datetime | None = None, raw: bytes = b"") -> None:
        self.signals: list[Signal] = []
        self.inferred = False
        self._agents = agents
        self._exchanges = exchanges  # that ring agents with calls of their own
        self._at = at
        self._raw = raw

    def tell(self, call: Call, kind: Kind, kind_raw: str, suffix: str = "", inferred: bool = False) -> None:
        """Report a kind of news of a call. Where a kind may truly happen twice, `suffix` (a tag) tells the two apart in `dedup`.

        kind_raw: what was seen, as SIP names it (INVITE, 180, BYE), or timer.
        """
        dedup = f"{call.key}:{kind.value}"
        again = kind in call.announced
        if again and kind is Kind.CALL_RINGING:
            return
        if again or kind is Kind.CALL_TRANSFERRED:
            dedup += f":{_text(suffix) or kind_raw}"
        call.announced.add(kind)
        detail = self._detail(call, inferred or self.inferred)
        if again and kind is Kind.CALL_ANSWERED:
            detail["correction"] = True  # the first answer was a queue's
        place = call.place
        self.signals.append(
            Signal(
                kind=kind,
                kind_raw=kind_raw,
                device=_text(call.caller.number) if call.caller.number else None,
                dedup=dedup,
                time=self._at,
                lat=place.lat if place else None,
                lon=place.lon if place else None,
                accuracy_m=place.accuracy_m if place else None,
                position_source=place.source if place else "gnss",
                integrity="verified" if call.caller.verified else "unverified",
                detail=detail,
                raw=self._raw,
            )
        )

    def _detail(self, call: Call, inferred: bool) -> dict[str, object]:
        """JSON values only. While the call lives it holds all that `restored_call` reads; facts that are not so are left out."""
        caller = call.caller
        agent = _text(call.agent) if call.agent else ""
        detail: dict[str, object] = {
            "call": call.key,
            "call_id": _text(call.legs[0].call_id),
            "from_tag": _text(call.legs[0].from_tag),
            "state": call.state.value,
            "caller": _text(caller.raw),
            "caller_e164": caller.e164,
            "identity_source": caller.source,
            "verified": caller.verified,
            "presentation": caller.presentation,
            "called": _text(call.called),
            "hotline": call.hotline,
            "leg_count": len(call.legs),
        }
        facts: dict[str, object] = {
            "caller_name": _text(caller.name),
            "redirecting": _text(caller.redirecting),
            "agent": agent,
            "agent_name": self._agents.get(agent, ""),
            "inferred": inferred,
            "queued": call.queued,
            "held": call.held,
            "location": msgspec.to_builtins(call.place) if call.place else None,
            "agent_heard": call.agent_heard,
        }
        if call.is_final:
            facts |= {"reason": call.reason, "code": call.code, "cause": call.cause, "by": call.by}
        else:
            facts |= {
                "waiting": call.waiting,
                "rings_agents": self._rings_agents(call),
                "legs": [leg_record(leg) for leg in call.legs if _can_be_found_again(leg)],
            }
        detail.update((name, value) for name, value in facts.items() if value)
        return detail

    def _rings_agents(self, call: Call) -> list[str]:
        """What was learnt of the call's exchanges, for whoever takes it up after a restart."""
        return sorted({host for leg in call.legs for host, _ in leg.destinations if host in self._exchanges})


def _text(text: str) -> str:
    """JSON is UTF-8: octets that were no text become a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _can_be_found_again(leg: Leg) -> bool:
    """A Call-ID that is no text would come back from JSON as another one: such a leg is not kept."""
    return all(text.isascii() or _text(text) == text for text in (leg.call_id, leg.from_tag, leg.user, *leg.branches, *leg.confirmed))
