"""`[oidc]`: people may log in at an OpenID provider of the administration instead of with a password of ours."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.toml_file import Fault

NEAR = ("127.0.0.1", "localhost", "::1")  # plain http is for tries on this machine alone


class OidcConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One OpenID provider (OpenID Connect Core 1.0, authorization code flow with PKCE).

    issuer      its address, as its documents name it; "" = nobody logs in that way
    client_id, client_secret_file  what it knows us by; without a secret file we are a public client
    callback    the address of our page as browsers reach it, registered there with /api/v1/oidc/return behind it
    name        of the button: "市政务统一认证"
    login_claim a claim of the identity token that holds the login of an account that is not connected yet; "" = only connected accounts
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    callback: str = ""
    name: Annotated[str, msgspec.Meta(max_length=40)] = "OpenID"
    login_claim: Annotated[str, msgspec.Meta(max_length=64)] = ""

    @property
    def is_on(self) -> bool:
        """Is there one?"""
        return bool(self.issuer)


def oidc_faults(oidc: OidcConfig) -> Iterator[Fault]:
    """What is wrong with one that has the right types."""
    if not oidc.is_on:
        return
    if not oidc.client_id:
        yield ("client_id",), "is missing", "write the client id that the provider gave"
    for key in ("issuer", "callback"):
        address = urlsplit(getattr(oidc, key))
        if address.scheme != "https" and not (address.scheme == "http" and address.hostname in NEAR):
            yield (key,), f"{getattr(oidc, key)!r} is no https address", "write https://HOST/…; plain http is for this machine alone"
