"""The HEP face: every SIP message of the exchange as HEPv3 over UDP, both legs of a call with their own Call-IDs.

Legs with a real SIP peer are mirrored by the SIP face as they really went; those of simulated people are written here from their dialogs.
"""

import random
import socket
from collections.abc import Callable

from simulators.exchange.call import Call, Leg
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import HOST
from simulators.hep_writer import TCP, UDP, Agent, packet
from simulators.sip_text import Address

LATE_ACK_S = 0.5  # T1 of RFC 3261: the 200 has been repeated by then


class Mirror:
    """Sends to one HEP listener. lose, double: chances per packet, as a network loses and a mirror port repeats."""

    def __init__(self, target: Address, clock: Callable[[], float], *, agent: Agent | None = None, seed: object = 0) -> None:
        self.target = target
        self.packets = 0
        self.lose = self.double = 0.0
        self._agent = agent or Agent(name="hotline-pbx")
        self._clock = clock
        self._random = random.Random(f"mirror:{seed}")
        self._socket = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def send(self, message: bytes, source: Address, destination: Address, call_id: str, *, stream: bool = False) -> None:
        """Mirror one message. UDP: nothing is known to have arrived."""
        data = packet(message, source, destination, self._clock(), agent=self._agent, correlation=call_id, protocol=TCP if stream else UDP)
        for _ in range(0 if self._random.random() < self.lose else 2 if self._random.random() < self.double else 1):
            self.packets += 1
            try:
                self._socket.sendto(data, self.target)
            except OSError:  # nobody listens there at the moment: UDP tells us only now and then
                pass

    # ---- simulated legs

    def __call__(self, happening: Happening) -> None:
        what, call, leg = happening.what, happening.call, happening.leg
        if what in (What.OFFERED, What.DIALLING):
            self._request(leg, "INVITE", sdp=True)
            self._response(leg, 100)
        elif what is What.RINGING:
            self._response(leg, 180)
            if happening.other is not None and happening.number("passed_on"):
                self._response(happening.other, 180)
        elif what in (What.CALLER_UP, What.ANSWERED):
            self._answered(call, leg)
        elif what is What.BRIDGED and call.plan.fault == "re_invite":
            self._hold(leg)
        elif what is What.BLIND:
            target = f"sip:{happening.text('extension')}@{HOST[0]}"
            self._refer(leg, f"Refer-To: <{target}>")
        elif what is What.ATTENDED and happening.third is not None:
            other = happening.third.dialog
            replaces = f"{other.call_id}%3Bto-tag%3D{other.to_tag}%3Bfrom-tag%3D{other.from_tag}"
            self._refer(leg, f"Refer-To: <sip:{happening.text('extension')}@{HOST[0]}?Replaces={replaces}>")
        elif what is What.GONE:
            self._over(call, leg)

    def _answered(self, call: Call, leg: Leg) -> None:
        self._response(leg, 200, sdp=True)
        if leg is call.incoming and call.plan.fault == "late_ack":
            call.do_later(LATE_ACK_S, lambda: self._response(leg, 200, sdp=True))
            call.do_later(LATE_ACK_S * 1.5, lambda: self._request(leg, "ACK", tagged=True))
            return
        self._request(leg, "ACK", tagged=True)
        if leg is call.incoming and call.plan.fault == "forked_200":  # a second telephone took it too: the caller ends that one
            dialog, first = leg.dialog, leg.dialog.to_tag
            kept = dialog.branch
            dialog.to_tag = f"{first}f"
            self._response(leg, 200, sdp=True)
            self._request(leg, "ACK", tagged=True)
            self._request(leg, "BYE", tagged=True)
            self._response(leg, 200, "BYE")
            dialog.to_tag, dialog.branch = first, kept

    def _hold(self, leg: Leg) -> None:
        """A re-INVITE inside the dialog, by the exchange."""
        leg.dialog.next_request()
        self._request(leg, "INVITE", sdp=True, tagged=True)
        self._response(leg, 200, sdp=True)
        self._request(leg, "ACK", tagged=True)

    def _refer(self, leg: Leg, header: str) -> None:
        """The agent, who was called, sends REFER; the exchange accepts."""
        leg.dialog.next_request()
        self._request(leg, "REFER", tagged=True, by_far_end=True, headers=(header, f"Referred-By: <sip:{leg.number}@{HOST[0]}>"))
        self._response(leg, 202, "REFER", by_far_end=False)

    def _over(self, call: Call, leg: Leg) -> None:
        if leg.disposition.endswith("_bye"):
            if call.plan.fault == "lost_bye" and leg is call.incoming:
                return
            by_far_end = leg.disposition == "recv_bye"
            self._request(leg, "BYE", tagged=True, by_far_end=by_far_end)
            self._response(leg, 200, "BYE", by_far_end=not by_far_end)
        elif leg.disposition.endswith("_cancel"):
            self._request(leg, "CANCEL")
            self._response(leg, 200, "CANCEL")
            self._response(leg, 487)
            self._request(leg, "ACK", tagged=True)
        else:
            self._response(leg, leg.code or 480)
            self._request(leg, "ACK", tagged=True)

    def _request(
        self, leg: Leg, method: str, *, sdp: bool = False, tagged: bool = False, by_far_end: bool | None = None, headers: tuple[str, ...] = ()
    ) -> None:
        """by_far_end: the telephone sends it; None: the side that began the leg."""
        if leg.real:
            return
        by_called = by_far_end is not None and by_far_end is not leg.inbound
        message = leg.dialog.request(method, sdp=sdp, tagged=tagged, by_called=by_called, headers=headers)
        self._mirror(leg, message, back=by_called)

    def _response(self, leg: Leg, code: int, method: str = "INVITE", *, sdp: bool = False, by_far_end: bool | None = None) -> None:
        """by_far_end: the telephone answers; None: the side that was called."""
        if leg.real:
            return
        by_caller = by_far_end is not None and by_far_end is leg.inbound
        self._mirror(leg, leg.dialog.response(code, method, sdp=sdp, by_caller=by_caller), back=not by_caller)

    def _mirror(self, leg: Leg, message: bytes, *, back: bool) -> None:
        dialog = leg.dialog
        source, destination = (dialog.target, dialog.source) if back else (dialog.source, dialog.target)
        self.send(message, source, destination, dialog.call_id)
