"""Digest authentication, as the side that asks (`DigestServer`) and as the side that proves itself (`authorize`). Pure: no clock, no socket.

Source: RFC 7616 and RFC 8760 (SHA-256 and SHA-512-256 in SIP), RFC 3261, 22; sip-ua.md, section 5. qop is auth or absent; a body is never hashed.
"""

import base64
import hashlib
import hmac
import re
import secrets
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

# Longest header worth reading: the longest honest one, SHA-256 with a long name, is below 700 octets.
MAX_HEADER = 4096
# A nonce of a device that proved itself: with an alarm a minute from each of 10,000 devices none is pushed out before it is too old.
MAX_NONCES = 65_536
VALID_S = 300.0

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
ALGORITHMS = frozenset(_HASHES) | {f"{name}-SESS" for name in _HASHES}
_PAIR = re.compile(r'\s*([A-Za-z][A-Za-z0-9\-]*\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*))\s*(?:,|$)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NC = re.compile(r"[0-9a-fA-F]{8}")
_STAMP = struct.Struct("!q8s")
_USED_UP = 2**32  # above every nc


class Outcome(StrEnum):
    """What became of a request's proof. Answer all but ok with 401 and `challenge(now, stale=outcome in ASK_AGAIN)`."""

    OK = "ok"
    MISSING = "missing"  # none for our realm
    WRONG = "wrong"  # password, user or form: not told apart to the other side
    STALE = "stale"  # the password is right, the nonce is too old or another's
    REPLAYED = "replayed"  # the password is right, but this nonce and count were used already


ASK_AGAIN = frozenset({Outcome.STALE, Outcome.REPLAYED})


@dataclass(frozen=True, slots=True)
class Proof:
    """`user` is who the peer says it is; it is proved only when the outcome is ok. "" when it named nobody."""

    outcome: Outcome
    user: str = ""


class DigestServer:
    """Asks devices for their password and checks what they answer.

    credentials: user -> password. secret: signs the nonces, 16 octets at least; with another one all old nonces are stale.
    algorithms: as offered, most preferred first. `now` is any clock in seconds that runs evenly.
    """

    def __init__(
        self,
        realm: str,
        secret: bytes,
        credentials: Mapping[str, str],
        *,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        valid_s: float = VALID_S,
    ) -> None:
        unknown = [name for name in algorithms if name.upper() not in ALGORITHMS]
        if unknown or not algorithms:
            raise ValueError(f"algorithms: {', '.join(unknown) or 'none given'}; use some of {', '.join(sorted(_HASHES))}")
        if len(secret) < 16:
            raise ValueError("secret: shorter than 16 octets; take secrets.token_bytes(32)")
        self.realm = realm
        self._secret = secret
        self._credentials = credentials
        self._algorithms = tuple(algorithms)
        self._offered = frozenset(name.upper() for name in algorithms)
        self._valid_s = valid_s
        self._nobody = secrets.token_hex(16)  # the password of unknown users: the same work, never the right answer
        self._used: OrderedDict[str, int] = OrderedDict()  # nonce -> highest count that was accepted
        self._forgotten_until = float("-inf")  # nonces from before this time are stale: what was used of them is no longer known

    def challenge(self, now: float, stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate, one header line each, in order."""
        nonce = self._nonce(now)
        return [
            f'Digest realm="{_quote(self.realm)}", nonce="{nonce}", qop="auth", algorithm={algorithm}{", stale=true" if stale else ""}'
            for algorithm in self._algorithms
        ]

    def check(self, method: str, headers: Sequence[str], now: float) -> Proof:
        """`headers`: the values of Authorization as they came, one a header line. An accepted nonce and count are used up by this call."""
        for header in headers[:8]:
            told = parse_header(header)
            if told is not None and told.get("realm") == self.realm:
                return self._check(method, told, now)
        return Proof(Outcome.MISSING)

    def _check(self, method: str, told: Mapping[str, str], now: float) -> Proof:
        user = _user(told)
        algorithm, qop, nc = told.get("algorithm", "MD5"), told.get("qop", ""), told.get("nc", "")
        nonce, cnonce = told.get("nonce", ""), told.get("cnonce", "")
        if algorithm.upper() not in self._offered or qop not in ("", "auth") or (qop and not (_NC.fullmatch(nc) and cnonce)):
            return Proof(Outcome.WRONG, user)
        password = self._credentials.get(user)
        known = self._nobody if password is None else password
        wanted = response(algorithm, method, told.get("uri", ""), user, self.realm, known, nonce, cnonce=cnonce, nc=nc, qop=qop)
        same = hmac.compare_digest(wanted.encode(), told.get("response", "").lower().encode("utf-8", "surrogateescape"))
        if not same or password is None:
            return Proof(Outcome.WRONG, user)
        issued = self._issued(nonce)
        if issued is None or not now - self._valid_s <= issued <= now:
            return Proof(Outcome.STALE, user)
        # Without qop nothing is counted: such a nonce serves once.
        return Proof(self._use(nonce, issued, int(nc, 16) if qop else _USED_UP), user)

    def _use(self, nonce: str, issued: float, count: int) -> Outcome:
        last = self._used.get(nonce)
        if last is None and issued <= self._forgotten_until:
            return Outcome.STALE
        if last is not None and count <= last:
            return Outcome.REPLAYED
        self._used[nonce] = count
        if len(self._used) > MAX_NONCES:
            oldest = self._issued(self._used.popitem(last=False)[0])
            self._forgotten_until = max(self._forgotten_until, oldest if oldest is not None else issued)
        return Outcome.OK

    def _nonce(self, now: float) -> str:
        """Time in milliseconds (8) random (8) signature (16), as base64url: needs no memory until a device has used it."""
        stamp = _STAMP.pack(int(now * 1000), secrets.token_bytes(8))
        return base64.urlsafe_b64encode(stamp + self._sign(stamp)).decode("ascii")

    def _issued(self, nonce: str) -> float | None:
        """When we made this nonce; None when we did not."""
        if len(nonce) != 44 or not nonce.isascii():
            return None
        try:
            raw = base64.b64decode(nonce, altchars=b"-_", validate=True)
        except ValueError:
            return None
        stamp, signature = raw[: _STAMP.size], raw[_STAMP.size :]
        if not hmac.compare_digest(signature, self._sign(stamp)):
            return None
        milliseconds: int = _STAMP.unpack(stamp)[0]
        return milliseconds / 1000

    def _sign(self, stamp: bytes) -> bytes:
        return hmac.digest(self._secret, stamp + self.realm.encode(), "sha256")[:16]


def authorize(challenges: Sequence[str], method: str, uri: str, user: str, password: str, cnonce: str, nc: int = 1) -> str:
    """The value of Authorization (Proxy-Authorization) that answers the first challenge we understand; "" when there is none.

    challenges: values of WWW-Authenticate (Proxy-Authenticate), in order. uri: the Request-URI as sent. cnonce: random text, of our making.
    nc counts up from 1 for as long as the same nonce is used.
    """
    for challenge in challenges:
        asked = parse_header(challenge)
        if asked is None or "nonce" not in asked:
            continue
        algorithm = asked.get("algorithm", "MD5")
        offered = [word.strip().lower() for word in asked.get("qop", "").split(",")]
        qop = "auth" if "auth" in offered else ""
        if algorithm.upper() not in ALGORITHMS or (not qop and any(offered)):
            continue
        realm, nonce, count = asked.get("realm", ""), asked["nonce"], f"{nc:08x}"
        needs_cnonce = bool(qop) or algorithm.upper().endswith("-SESS")
        proof = response(algorithm, method, uri, user, realm, password, nonce, cnonce=cnonce, nc=count, qop=qop)
        parts = [f'username="{_quote(user)}"', f'realm="{_quote(realm)}"', f'nonce="{_quote(nonce)}"', f'uri="{_quote(uri)}"', f'response="{proof}"']
        if "algorithm" in asked:
            parts.append(f"algorithm={algorithm}")
        if needs_cnonce:
            parts.append(f'cnonce="{_quote(cnonce)}"')
        if qop:
            parts += [f"qop={qop}", f"nc={count}"]
        if "opaque" in asked:
            parts.append(f'opaque="{_quote(asked["opaque"])}"')
        return "Digest " + ", ".join(parts)
    return ""


def is_stale(challenges: Sequence[str]) -> bool:
    """Does the server say that only the nonce was too old? Then one more try is right; else the password is wrong and we must stop."""
    return any(asked is not None and asked.get("stale", "").lower() == "true" for asked in map(parse_header, challenges))


def response(
    algorithm: str, method: str, uri: str, user: str, realm: str, password: str, nonce: str, *, cnonce: str = "", nc: str = "", qop: str = ""
) -> str:
    """The proof, lower-case hex. `algorithm` is one of ALGORITHMS in any case; nc eight hex digits (RFC 7616, 3.4.1)."""
    upper = algorithm.upper()
    name = _HASHES[upper.removesuffix("-SESS")]
    secret = _hash(name, f"{user}:{realm}:{password}")
    if upper.endswith("-SESS"):
        secret = _hash(name, f"{secret}:{nonce}:{cnonce}")
    asked = _hash(name, f"{method}:{uri}")
    return _hash(name, f"{secret}:{nonce}:{nc}:{cnonce}:{qop}:{asked}" if qop else f"{secret}:{nonce}:{asked}")


def parse_header(value: str) -> dict[str, str] | None:
    """The parameters of a Digest challenge or proof, names in lower case; None for another scheme, doubled names or broken text."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest" or len(value) > MAX_HEADER:
        return None
    params: dict[str, str] = {}
    at, rest = 0, rest.strip()
    while at < len(rest):
        found = _PAIR.match(rest, at)
        if found is None:
            return None
        name, quoted, plain = found.groups()
        if name.lower() in params:
            return None
        params[name.lower()] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = found.end()
    return params


def _user(told: Mapping[str, str]) -> str:
    """username, or username* (RFC 7616, 3.4: UTF-8''percent-encoded)."""
    extended = told.get("username*", "")
    if extended.upper().startswith("UTF-8''"):
        return unquote(extended[7:], errors="replace")
    return told.get("username", "")


def _hash(name: str, text: str) -> str:
    return hashlib.new(name, text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def _quote(text: str) -> str:
    """For between quotes: escaped, and no line end that would begin a header of its own."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")
