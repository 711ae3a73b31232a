"""Requests of our own, from the first try to the final answer: next hops, passwords, and TCP for what is too long for UDP.

Source: RFC 3261, 8.1 and 22.2; RFC 3263, 4.3; RFC 3261, 18.1.1.
"""

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from drivers.bodies.handler import Part
from drivers.sip.digest import authorize, is_stale
from drivers.sip.hop import Hop, host_port
from drivers.sip.message import Message
from drivers.user_agent.client_transactions import ClientTransactions, Done, new_branch, new_token
from drivers.user_agent.compose import compose_request

MAX_UDP = 1300  # RFC 3261, 18.1.1 and RFC 3428, 8: longer ones go over TCP
MAX_PROOFS = 2  # a password, and once more for a nonce that was too old


class Ask:
    """One request. uri: the Request-URI; next_hop: the URI whose host is asked; from_, to: whole header values without our tag.

    contact: our user part, when the request needs a Contact. cseq counts on for each try; the owner of a dialog reads it back. done: see
    `client_transactions.Done`; called once. from_ may be "": then it is our own address on the way there.
    """

    __slots__ = (
        "account", "body", "call_id", "contact", "cseq", "done", "from_", "headers", "hop", "hops", "last_resorts", "method", "next_hop", "proofs",
        "tag", "to", "uri",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        uri: str,
        to: str,
        done: Done,
        *,
        from_: str = "",
        tag: str = "",
        call_id: str = "",
        cseq: int = 1,
        headers: Sequence[tuple[str, str]] = (),
        body: Part | None = None,
        contact: str = "",
        next_hop: str = "",
        account: str = "",
    ) -> None:
        self.method = method
        self.uri = uri
        self.to = to
        self.done = done
        self.from_ = from_
        self.tag = tag or new_token()
        self.call_id = call_id or new_token()
        self.cseq = cseq
        self.headers = tuple(headers)
        self.body = body
        self.contact = contact
        self.next_hop = next_hop or uri
        self.account = account
        self.hops: list[Hop] = []
        self.hop: Hop | None = None  # the present one
        self.last_resorts: set[Hop] = set()
        self.proofs = 0


class Asking:
    """Runs asks over client transactions. accounts: user → password; user: our user part in From, when an ask has none."""

    def __init__(self, transactions: ClientTransactions, accounts: Mapping[str, str], address: str, user: str) -> None:
        self._transactions = transactions
        self._accounts = accounts
        self._address = address
        self._user = user

    def launch(self, ask: Ask, hops: Sequence[Hop], now: float) -> None:
        """hops: best first; none at all is answered with `no_route`."""
        ask.hops = list(hops)
        self._try(ask, "no_route", now)

    def _try(self, ask: Ask, otherwise: str, now: float, proof: tuple[str, str] | None = None) -> None:
        if not ask.hops:
            ask.done(None, otherwise, now)
            return
        hop = ask.hops.pop(0)
        branch = new_branch()
        data = self._compose(ask, hop, branch, proof)
        if len(data) > MAX_UDP and not hop.is_stream and hop not in ask.last_resorts:
            ask.last_resorts.add(hop)  # UDP after all, whatever the size, when nobody listens on TCP
            ask.hops.insert(0, hop)
            hop = msgspec.structs.replace(hop, transport="tcp", socket=None)
            data = self._compose(ask, hop, branch, proof)

        ask.hop = hop

        def done(response: Message | None, reason: str, later: float) -> None:
            self._answered(ask, hop, response, reason, later)

        self._transactions.begin(branch, ask.method, hop, data, done, now)

    def _answered(self, ask: Ask, hop: Hop, response: Message | None, reason: str, now: float) -> None:
        if response is None or response.code == 503:
            if ask.hops and reason != "line_down":
                ask.cseq += 1
                self._try(ask, reason, now)
            else:
                ask.done(response, reason, now)
        elif response.code in (401, 407) and (proof := self._prove(ask, response)):
            ask.cseq += 1
            ask.proofs += 1
            ask.hops.insert(0, hop)
            self._try(ask, reason, now, proof)
        else:
            ask.done(response, reason, now)

    def _prove(self, ask: Ask, response: Message) -> tuple[str, str] | None:
        """The header that answers a challenge, once; a second time only when the nonce was stale (then the password was right)."""
        asked, answer = ("www-authenticate", "Authorization") if response.code == 401 else ("proxy-authenticate", "Proxy-Authorization")
        challenges = response.headers.get(asked, [])
        password = self._accounts.get(ask.account)
        if password is None or ask.proofs >= MAX_PROOFS or (ask.proofs and not is_stale(challenges)):
            return None
        value = authorize(challenges, ask.method, ask.uri, ask.account, password, secrets.token_hex(12))
        return (answer, value) if value else None

    def _compose(self, ask: Ask, hop: Hop, branch: str, proof: tuple[str, str] | None) -> bytes:
        if not ask.from_:
            ask.from_ = f"<{self._address}>" if self._address else f"<sip:{self._user}@{host_port(hop.local).rpartition(':')[0]}>"
        headers = list(ask.headers)
        if ask.contact:
            headers.append(("Contact", contact_of(ask.contact, hop)))
        if proof is not None:
            headers.append(proof)
        from_ = f"{ask.from_};tag={ask.tag}"
        return compose_request(ask.method, ask.uri, hop, branch, from_, ask.to, ask.call_id, ask.cseq, headers, ask.body)


def contact_of(user: str, hop: Hop) -> str:
    """Our Contact as a peer on this way reaches us."""
    transport = "" if hop.transport == "udp" else f";transport={hop.transport}"
    return f"<sip:{user}@{host_port(hop.local)}{transport}>"


def outcome(response: Message | None, reason: str) -> str:
    """ "" for a 2xx, else the reason as `Texter` tells it: sip_486, timeout, no_route …"""
    if response is None:
        return reason
    return "" if 200 <= response.code < 300 else f"sip_{response.code}"
