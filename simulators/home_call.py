"""The voice call of a home unit: INVITE, ACK and BYE over a UDP socket of its own."""

import asyncio
import contextlib
import secrets

from simulators.exchange.sip_parse import URI, Message, parameter, parse
from simulators.sip_text import SDP, Address


class VoiceCall(asyncio.DatagramProtocol):
    """One outgoing call (RFC 3261, 13 and 17.1.1) to a UDP address; target: number or URI to ask for there."""

    def __init__(self, user: str, address: Address, target: str, t1_s: float) -> None:
        self._user, self._address, self._t1_s = user, address, t1_s
        self._uri = target or f"sip:{address[0]}:{address[1]}"
        if not self._uri.startswith("sip:"):
            self._uri = f"sip:{target}@{address[0]}:{address[1]}"
        self._call_id, self._tag, self._branch = (secrets.token_hex(8) for _ in range(3))
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._udp: asyncio.DatagramTransport | None = None
        self._over = asyncio.Event()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        message = parse(data)
        if message is None or message.call_id != self._call_id or self._udp is None:
            return
        if message.code:
            self._inbox.put_nowait(message)
        elif message.method == "BYE":
            vias = "".join(f"Via: {via}\r\n" for via in message.all("via"))
            head = f"SIP/2.0 200 OK\r\n{vias}From: {message.get('from')}\r\nTo: {message.get('to')}\r\nCall-ID: {self._call_id}\r\n"
            self._udp.sendto(f"{head}CSeq: {message.get('cseq')}\r\nContent-Length: 0\r\n\r\n".encode(), address)
            self._over.set()

    async def run(self, talk_s: float) -> int:
        """Ring until there is a final answer, talk, hang up."""
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        try:
            final = await self._transaction("INVITE", 1, self._uri, "", self._branch)
            if final is None:
                return 0
            to, contact = final.get("to"), URI.search(final.get("contact"))
            remote = contact[0] if contact and final.code < 300 else self._uri
            self._send("ACK", 1, remote, to, self._branch if final.code >= 300 else secrets.token_hex(8))
            if final.code < 300:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(talk_s):
                        await self._over.wait()
                if not self._over.is_set():
                    await self._transaction("BYE", 2, remote, to, secrets.token_hex(8))
            return final.code
        finally:
            self._udp.close()

    async def _transaction(self, method: str, number: int, uri: str, to: str, branch: str) -> Message | None:
        """Again and again until somebody says anything; a ringing telephone gets three minutes."""
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + 64 * self._t1_s, self._t1_s
        while loop.time() < give_up:
            self._send(method, number, uri, to, branch)
            with contextlib.suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(min(pause, give_up - loop.time())):
                        answer = await self._inbox.get()
                    if parameter(answer.get("via"), "branch") != f"z9hG4bK{branch}":
                        continue
                    if answer.code >= 200:
                        return answer
                    give_up, pause = loop.time() + 180, 180.0
            pause *= 2
        return None

    def _send(self, method: str, number: int, uri: str, to: str, branch: str) -> None:
        assert self._udp is not None
        host, port = self._udp.get_extra_info("sockname")[:2]
        body = SDP.format(session=number, host=host, port=40_000) if method == "INVITE" else ""
        lines = (
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self._user}@{host}>;tag={self._tag}",
            f"To: {to or f'<{self._uri}>'}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{self._user}@{host}:{port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        )
        self._udp.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._address)
