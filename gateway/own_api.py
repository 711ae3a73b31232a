"""A command's way to the gateway that runs: its own API on this machine, with the token that only who reads the data folder knows."""

import getpass
import ipaddress
import json
import os
import secrets
import ssl
from http.client import HTTPException
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPCookieProcessor, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from gateway.errors import GatewayError, Refused

TIMEOUT_S = 10.0
TOKEN_FILE = "console.token"
HEALTHY = b"ok"  # what the console's /healthz says
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL (x509_vfy.h), which Python's ssl does not name
ANSWER_LIMIT = 4 * 1024 * 1024  # bytes; the longest answer is a list of a few hundred rows


def make_token(folder: Path) -> str:
    """A new token for commands on this machine, in a file that its owner alone may read. Raises OSError."""
    token = secrets.token_urlsafe(32)
    new = folder / f"{TOKEN_FILE}.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    new.replace(folder / TOKEN_FILE)
    return token


def read_token(folder: Path) -> str:
    """The token of the gateway that runs; "" where there is none. Raises GatewayError when it may not be read."""
    try:
        return (folder / TOKEN_FILE).read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise GatewayError(f"cannot read {folder / TOKEN_FILE} ({error.strerror}): run the command as the user of the gateway") from error


def near_address(listen: str) -> str:
    """HOST:PORT at which this machine reaches what listens at `listen`."""
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return listen
    if address.is_unspecified:
        return f"[::1]:{port}" if address.version == 6 else f"127.0.0.1:{port}"
    return listen


class OwnApi:
    """`get` and `post` of the running gateway. Raises Refused (it says no: reason and facts), GatewayError (nobody answers).

    folder: its data folder; certificate: that of the console, "" under plain http; by: who acts, else who typed the command.
    """

    def __init__(self, listen: str, folder: Path, certificate: Path | None = None, *, by: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._base = f"{'http' if certificate is None else 'https'}://{near_address(listen)}"
        self._timeout_s = timeout_s
        self._folder = folder
        self._by = by
        handlers: list[Any] = [HTTPCookieProcessor(CookieJar()), ProxyHandler({})]
        if certificate is not None:
            handlers.append(HTTPSHandler(context=_ours(certificate)))
        self._opener: OpenerDirector = build_opener(*handlers)
        self._csrf = ""

    def get(self, path: str) -> Any:
        """The answer to a question, as JSON has it."""
        return self._ask(Request(self._base + path, headers=self._proof()))

    def text(self, path: str) -> str:
        """The answer to a question that is not answered in JSON, such as /metrics."""
        return self._read(Request(self._base + path, headers=self._proof())).decode("utf-8", "replace")

    def post(self, path: str, body: dict[str, object]) -> Any:
        """Let something be done; the answer as JSON has it."""
        if not self._csrf:
            self._csrf = str(self.get("/api/v1/session")["csrf"])
            self._post("/api/v1/duty", {"name": self._by or getpass.getuser()})
        return self._post(path, body)

    def close(self) -> None:
        """Leave: nobody is on duty here any more."""
        if self._csrf:
            self._post("/api/v1/duty", {"name": None})

    def is_there(self) -> bool:
        """Does what listens there answer as a gateway does?"""
        try:
            with self._opener.open(Request(self._base + "/healthz"), timeout=self._timeout_s) as answer:
                return bool(answer.read(len(HEALTHY) + 1) == HEALTHY)
        except (OSError, ValueError, HTTPException):  # URLError is an OSError
            return False

    def _proof(self) -> dict[str, str]:
        token = read_token(self._folder)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _post(self, path: str, body: dict[str, object]) -> Any:
        headers = {"Content-Type": "application/json", "X-CSRF": self._csrf, "Idempotency-Key": secrets.token_hex(16)}
        return self._ask(Request(self._base + path, json.dumps(body).encode(), headers, method="POST"))

    def _ask(self, request: Request) -> Any:
        body = self._read(request)
        try:
            return json.loads(body)
        except ValueError as error:
            raise self._nobody(error) from error

    def _read(self, request: Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return bytes(answer.read(ANSWER_LIMIT))
        except HTTPError as error:
            with error:
                told = _facts(error.read(ANSWER_LIMIT))
            reason = str(told.pop("reason", f"http_{error.code}"))
            if reason == "log_in":
                where = self._folder / TOKEN_FILE
                raise GatewayError(f"the gateway at {self._base} does not know {where}: is it another gateway's? Correct gateway.data") from None
            raise Refused(reason, error.code, **told) from None
        except (URLError, OSError, ValueError, HTTPException) as error:
            raise self._nobody(error) from error

    def _nobody(self, error: Exception) -> GatewayError:
        return GatewayError(f"no gateway answers at {self._base} ({error}): start it, or correct console.listen")


def _ours(certificate: Path) -> ssl.SSLContext:
    """Trusts the console's own certificate and nothing else, whatever name is in it: the way does not leave this machine. Raises GatewayError.

    Nor does it matter here when the certificate ends: browsers warn of that, and `gateway doctor`; commands go on working.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(NO_CHECK_TIME)
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise GatewayError(f"console.tls_certificate: {certificate} cannot be read ({error.strerror or error}): correct it") from error
    return context


def _facts(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
