"""Logging in at an OpenID provider: authorization code flow with PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636), seen from our side.

Nothing that the browser brings back is trusted but by way of the provider: the code is exchanged over our own connection to it, the identity
token is checked against its keys, and it must carry the nonce that this very log-in began with.
"""

import asyncio
import base64
import hashlib
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.clock import monotonic
from gateway.config import MIN_SECRET
from gateway.config.oidc import OidcConfig
from gateway.errors import Refused
from gateway.secrets import read_secret

RETURN = "/api/v1/oidc/return"
TIMEOUT_S = 5.0  # somebody waits at the log-in
ANSWER_LIMIT = 256 * 1024  # bytes of one answer of the provider; its documents have a few KB
UNDER_WAY = 200  # log-ins that were begun and not ended; one room has tens of people
BEGUN_S = 600.0  # so long somebody may take at the provider's page
FRESH_S = 3600.0  # its documents are read again after so long, and its keys at once when a token names one that we do not know
LEEWAY_S = 60  # clocks of two administrations
ALGORITHMS = ["RS256", "ES256", "PS256", "EdDSA"]


class Begun(msgspec.Struct, frozen=True):
    """A log-in on its way. browser: what the cookie of its browser says."""

    at: float
    browser: str
    nonce: str
    verifier: str


class Identity(msgspec.Struct, frozen=True):
    """Who the provider says it is. external: "<issuer>#<subject>"; login: of the configured claim, "" = none."""

    external: str
    login: str


class OpenId:
    """The provider, and the log-ins on their way to it. `clock` is monotonic seconds."""

    def __init__(self, config: OidcConfig, folder: Path, clock: Callable[[], float] = monotonic) -> None:
        self._config = config
        self._folder = folder
        self._clock = clock
        self._begun: OrderedDict[str, Begun] = OrderedDict()
        self._document: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = float("-inf")
        self._tls: ssl.SSLContext | None = None

    async def begin(self) -> tuple[str, str]:
        """(where the browser goes, what its cookie keeps meanwhile). Raises Refused: no_provider."""
        document = await self._documents()
        state, browser, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        while len(self._begun) >= UNDER_WAY:
            self._begun.popitem(last=False)
        self._begun[state] = Begun(self._clock(), browser, nonce, verifier)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": self._callback,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        where = str(document["authorization_endpoint"])
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}", browser

    async def end(self, state: str, code: str, browser: str) -> Identity:
        """Who has come back. Raises Refused: oidc_stale (not begun here, or long ago), no_provider, oidc_refused."""
        begun = self._begun.pop(state, None)
        if begun is None or not secrets.compare_digest(begun.browser.encode(), browser.encode()) or self._clock() - begun.at > BEGUN_S:
            raise Refused("oidc_stale", 403)
        document = await self._documents()
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._callback, "client_id": self._config.client_id}
        fields["code_verifier"] = begun.verifier
        answer = await self._ask("POST", str(document["token_endpoint"]), fields)
        return await self._identity(str(answer.get("id_token", "")), begun.nonce)

    async def _identity(self, token: str, nonce: str) -> Identity:
        config = self._config
        try:
            claims = await self._claims(token)
            registry = jwt.JWTClaimsRegistry(
                now=int(time.time()),
                leeway=LEEWAY_S,
                iss={"essential": True, "value": config.issuer},
                aud={"essential": True, "value": config.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise Refused("oidc_refused", 403) from error
        login = claims.get(config.login_claim) if config.login_claim else ""
        return Identity(f"{config.issuer}#{claims['sub']}", login if isinstance(login, str) else "")

    async def _claims(self, token: str) -> dict[str, Any]:
        """What the token says, checked with the provider's keys; they are read again once when it names another."""
        for is_again in (False, True):
            keys = await self._key_set(again=is_again)
            try:
                return dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError):
                if is_again:
                    raise
        raise AssertionError("unreachable")

    async def _documents(self) -> dict[str, Any]:
        if self._clock() - self._read_at > FRESH_S:
            document = await self._ask("GET", f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration")
            if document.get("issuer") != self._config.issuer or not all(
                key in document for key in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            ):
                raise Refused("no_provider", 503)
            self._document, self._keys, self._read_at = document, None, self._clock()
        return self._document

    async def _key_set(self, *, again: bool) -> KeySet:
        document = await self._documents()
        if self._keys is None or again:
            try:
                self._keys = KeySet.import_key_set(await self._ask("GET", str(document["jwks_uri"])))  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError) as error:
                raise Refused("no_provider", 503) from error
        return self._keys

    async def _ask(self, method: str, url: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        """An answer of the provider as JSON. Raises Refused: no_provider (away, or no provider at all), oidc_refused (it says no)."""
        auth = None
        if fields is not None and self._config.client_secret_file:
            try:
                secret = read_secret(self._folder / self._config.client_secret_file, MIN_SECRET).decode()
            except ValueError as error:
                raise Refused("no_provider", 503) from error
            auth = httpx.BasicAuth(self._config.client_id, secret)
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads every certificate of the machine: not in the loop
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, verify=self._tls) as client:
                request = client.build_request(method, url, data=fields)
                answer = await client.send(request, stream=True, auth=auth)
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_LIMIT:
                        raise Refused("no_provider", 503)
            if answer.status_code in (400, 401, 403):
                raise Refused("oidc_refused", 403)
            told = msgspec.json.decode(body) if answer.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("no_provider", 503) from error
        if not isinstance(told, dict):
            raise Refused("no_provider", 503)
        return told

    @property
    def _callback(self) -> str:
        return self._config.callback.rstrip("/") + RETURN
