"""The user agent as a codec without a line: what `gateway decode sip` runs over pasted or captured requests.

The shape of a datagram codec (`receive_message`, `deadline`, `handle_deadline`, `restore`) with receipts: for each signal call `confirm`
or `refuse`, then `data_to_send` gives the answer, and a follow-up MESSAGE behind it, each as it would leave; messages without a signal
(OPTIONS, a refusal) have theirs at once. No sources, passwords or rates are looked at: somebody wants to know what a message means.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from drivers.contract import STORED, Rejected, Signal, Verdict
from drivers.sip.hop import Hop
from drivers.user_agent.options import Credentials, SipOptions
from drivers.user_agent.text_service import Delivery
from drivers.user_agent.user_agent import UserAgent
from gateway.config import CallsConfig

LOCAL = ("192.0.2.10", 5060)  # who we are on paper (RFC 5737)


class SipReader:
    """One conversation on paper. A message repeated is a retransmission here too: its answer comes again, no signal."""

    def __init__(self, options: SipOptions, calls: CallsConfig | None = None) -> None:
        plain = msgspec.structs.replace(
            options, sources=(), authentication="off", authentication_for={}, register=None, subscribe=(), scanners=(), requests_per_s=100_000.0
        )
        self.agent = UserAgent("decode", plain, calls or CallsConfig(), Credentials(), b"only read, never asked", 0.0)
        self._open: dict[int, tuple[Delivery, list[Verdict]]] = {}  # by the id of each of its items that has no verdict yet
        self._now = 0.0

    def receive_message(self, source: tuple[str, int], data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """One datagram from `source`."""
        self._now = now
        self.agent.receive(Hop("udp", (source[0] or "192.0.2.1", source[1] or 5060), LOCAL, 1), data, now, received_at)
        found: list[Signal | Rejected] = []
        for delivery in self.agent.deliveries():
            verdicts: list[Verdict] = []
            for item in delivery.items:
                self._open[id(item)] = (delivery, verdicts)
            found += delivery.items
        return found + self.agent.news()

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is stored; with the last signal of a message its answer is ready."""
        self._judge(signal, STORED)

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be stored: 503."""
        self._judge(signal, Verdict("refused", reason, retry=True))

    def data_to_send(self) -> bytes:
        """Drain what would leave."""
        return b"".join(sending.data for sending in self.agent.sendings())

    def deadline(self) -> float | None:
        """None: nothing on paper waits for anything."""
        return None

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:  # noqa: ARG002 - the seam is the same for all
        """Nothing."""
        return []

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:  # noqa: ARG002 - the seam is the same for all
        """Nothing is remembered."""
        return 0

    def _judge(self, signal: Signal | Rejected, verdict: Verdict) -> None:
        found = self._open.pop(id(signal), None)
        if found is None:
            return
        delivery, verdicts = found
        verdicts.append(verdict)
        if len(verdicts) == len(delivery.items):
            self.agent.settle(delivery, verdicts, self._now)
