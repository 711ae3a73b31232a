"""A place with callers, a proxy, telephones and the gateway's hep line; what the line told is compared with what SIPp logged."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from waiting import wait_until

from tests.telephony.peers import Kamailio, Listening, Sipp, as_seen, bracketed, heard_all, listening, spans_of

# Kamailio stamps when it duplicates, SIPp when it has read or written. That a message takes its time from one end to the other is allowed for
# (`spans_of`); this is for what lies between reading or writing and the stamp. What is waited for in these calls lasts longer.
TOLERANCE_S = 0.3


@dataclass(slots=True)
class Telephony:
    """A proxy between callers and telephones, and the line that hears it. `run` places calls and compares."""

    folder: Path
    ear: Listening
    proxy: Kamailio
    phones: list[Sipp]
    tcp: bool = False
    once: bool = False

    async def run(self, scenario: str, count: int = 1, rate: int = 10, *, d_ms: int = 0, callers: int | None = None, copies: int = 0) -> Sipp:
        """Place the calls, end the proxy once this many copies have come, and see that each call was told once, as its caller saw it."""
        sipp = Sipp(self.folder, scenario, host=self.proxy.host, tcp=self.tcp, d_ms=d_ms, once=self.once)
        await sipp.calls(self.proxy.address, count, rate, callers=callers)
        await self.settled(sipp, copies=copies)
        self.compare(sipp)
        return sipp

    async def settled(self, *sipps: Sipp, copies: int = 0) -> None:
        """Wait for what SIPp saw, and for so many copies; then end the proxy and read what else it sent: nothing told too much escapes."""
        with contextlib.suppress(AssertionError):  # who compares tells better what is missing
            await wait_until(lambda: self.ear.kinds() == as_seen(*sipps) and self.ear.copies >= copies, pause_s=0.05)
        self.proxy.stop()
        await heard_all(self.ear, self.proxy.host)

    def compare(self, *sipps: Sipp) -> None:
        assert self.ear.rejected == []
        assert self.ear.kinds() == as_seen(*sipps)
        phones = [phone.logged() for phone in self.phones]
        seen = {call_id: told for sipp in sipps for call_id, told in spans_of(sipp.logged(), phones).items()}
        for event in self.ear.events:
            kind, call_id = event.kind.value.removeprefix("call_"), str(event.detail["call_id"])
            at, (since, until) = event.occurred_at.timestamp(), seen[call_id][kind]
            assert since - TOLERANCE_S < at < until + TOLERANCE_S, f"{kind} of {call_id} is told {at - since:+.3f} s, {at - until:+.3f} s off"


@contextlib.asynccontextmanager
async def telephony(
    folder: Path,
    *phones: str,
    ring_ms: Sequence[int] = (400, 400),
    host: str = "127.0.0.1",
    tcp: bool = False,
    once: bool = False,
    proxy_rings_ms: int = 30_000,
    flags: Sequence[str] = (),
    hep_version: int = 3,
    hep_key: str = "",
    hep_over: str = "udp",
    **options: object,
) -> AsyncIterator[Telephony]:
    """Telephones of these scenarios behind a proxy, heard by a line with these options. They ring so long. once: nobody says anything again."""
    interface = host.replace(":", "\\:")
    async with contextlib.AsyncExitStack() as stack:
        ear = await stack.enter_async_context(listening(f"{hep_over}:0:interface={interface}", **options))
        ringing = [Sipp(folder, phone, host=host, tcp=tcp, d_ms=d_ms, once=once) for phone, d_ms in zip(phones, ring_ms, strict=False)]
        for phone in ringing:
            await stack.enter_async_context(phone)
        uris = [phone.uri(str(8001 + number)) for number, phone in enumerate(ringing)]
        gateway = f"sip:{bracketed(host)}:{ear.port};transport={hep_over}"
        flags = [*flags, "ONCE"] if once else flags
        proxy = Kamailio(folder, gateway, *uris, host=host, ring_ms=proxy_rings_ms, flags=flags, hep_version=hep_version, hep_key=hep_key)
        await stack.enter_async_context(proxy)
        yield Telephony(folder, ear, proxy, ringing, tcp, once)
