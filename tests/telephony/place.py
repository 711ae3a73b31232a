"""A place with callers, a proxy, telephones and the gateway's hep line; what the line told is compared with what SIPp logged."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from waiting import wait_until

from tests.telephony.peers import Kamailio, Listening, Sipp, as_seen, bracketed, calls_of, heard_all, listening

# Kamailio stamps when it duplicates, SIPp when it has read or written: on an idle machine 1 ms apart. A loaded one may lend its cores
# to somebody else in between; what is waited for in these calls lasts longer than this, so that kinds cannot pass for one another.
TOLERANCE_S = 0.3


@dataclass(slots=True)
class Telephony:
    """A proxy between callers and telephones, and the line that hears it. `run` places calls and compares."""

    folder: Path
    ear: Listening
    proxy: Kamailio
    phones: list[Sipp]
    tcp: bool = False

    async def run(self, scenario: str, count: int = 1, *, d_ms: int = 0, callers: int | None = None) -> Sipp:
        """Place the calls, end the proxy, and see that each call was told once, as its caller saw it."""
        sipp = Sipp(self.folder, scenario, host=self.proxy.host, tcp=self.tcp, d_ms=d_ms)
        await sipp.calls(self.proxy.address, count, callers=callers)
        await self.settled(sipp)
        self.compare(sipp)
        return sipp

    async def settled(self, *sipps: Sipp) -> None:
        """Wait for what SIPp saw; then end the proxy and read what else it sent, so that nothing told twice or too much escapes."""
        with contextlib.suppress(AssertionError):  # who compares tells better what is missing
            await wait_until(lambda: self.ear.kinds() == as_seen(*sipps), timeout_s=5)
        self.proxy.stop()
        await heard_all(self.ear, self.proxy.host)

    def compare(self, *sipps: Sipp) -> None:
        assert self.ear.rejected == []
        assert self.ear.kinds() == as_seen(*sipps)
        seen = {call_id: told for sipp in sipps for call_id, told in calls_of(sipp.logged()).items()}
        for event in self.ear.events:
            kind, call_id = event.kind.value.removeprefix("call_"), str(event.detail["call_id"])
            late = event.occurred_at.timestamp() - seen[call_id][kind]
            assert abs(late) < TOLERANCE_S, f"{kind} of {call_id} is told {late:+.3f} s from when the caller saw it"


@contextlib.asynccontextmanager
async def telephony(
    folder: Path,
    *phones: str,
    ring_ms: Sequence[int] = (400, 400),
    host: str = "127.0.0.1",
    tcp: bool = False,
    proxy_rings_ms: int = 30_000,
    flags: Sequence[str] = (),
    hep_version: int = 3,
    hep_key: str = "",
    hep_over: str = "udp",
    **options: object,
) -> AsyncIterator[Telephony]:
    """Telephones of these scenarios behind a proxy, heard by a line with these options. They ring so long."""
    interface = host.replace(":", "\\:")
    async with contextlib.AsyncExitStack() as stack:
        ear = await stack.enter_async_context(listening(f"{hep_over}:0:interface={interface}", **options))
        ringing = [Sipp(folder, phone, host=host, tcp=tcp, d_ms=d_ms) for phone, d_ms in zip(phones, ring_ms, strict=False)]
        for phone in ringing:
            await stack.enter_async_context(phone)
        uris = [phone.uri(str(8001 + number)) for number, phone in enumerate(ringing)]
        gateway = f"sip:{bracketed(host)}:{ear.port};transport={hep_over}"
        proxy = Kamailio(folder, gateway, *uris, host=host, ring_ms=proxy_rings_ms, flags=flags, hep_version=hep_version, hep_key=hep_key)
        await stack.enter_async_context(proxy)
        yield Telephony(folder, ear, proxy, ringing, tcp)
