"""What `[line.options]` of a `sip` line may hold, and the file with its passwords."""

import ipaddress
import tomllib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from drivers.bodies.table import build_handlers
from drivers.sip.caller import Trust
from drivers.sip.message import MAX_BODY, Uri

Policy = Literal["off", "accept_and_mark", "required"]
SipAddress = Annotated[str, msgspec.Meta(pattern=r"^sips?:[^\s<>]+$", examples=["sip:12349@pbx.example"])]
# Scanners find an open port 5060 within minutes; they say who they are.
SCANNERS = ("friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sip-scan", "sipcli", "pplsip")


class RegisterOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """registrar: where to (`sip:pbx.example`); address: as what we can be called (`sip:12349@pbx.example`); account: else the line's own."""

    registrar: SipAddress
    address: SipAddress
    account: str = ""
    expires_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 3600


class SipOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a sip line.

    also: further endpoints beside `listen`, for instance tcp:5060:interface=127.0.0.1 or ssl:5061:privateKey=key.pem:certKey=cert.pem.
    sources: addresses or networks that may talk to us; everybody else gets no answer at all. Empty: anybody.
    advertise: our address as peers see it, where that is not the interface's own (NAT, several interfaces).
    authentication: of MESSAGE. off; accept_and_mark: whoever proves nothing is heard all the same, the event says `unauthenticated`;
    required: 401 until proved. authentication_for: another policy per network, the narrowest wins.
    algorithms: of the passwords, most preferred first; old devices know only MD5, and some take only the first that they are offered.
    credentials_file: TOML, `[devices]` user = password of those who authenticate to us, `[accounts]` user = password of our own at others.
    invite: how calls are refused. merged: the same request under another branch, absorb (200, no second alarm) or refuse (482).
    requests_per_s: of one source; half of it is kept free for MESSAGE.
    address: who our texts are from; account: user name of ours, where somebody asks for a password; outbound: a proxy for what we send.
    register, subscribe: registration at a PBX, and addresses whose dialog-info it shall tell us.
    watch_hotline: which hotline a ringing phone means, as dialog-info does not say (the first of calls.hotlines); watch_hotlines: another
    one for some extensions.
    bodies: which readers of MESSAGE bodies, in this order (all, when left out); body_options: their options by name.
    key_file, certificate_file: of our TLS endpoints that name none of their own; read again when they change.
    ca_file: whose certificates we believe when we connect by TLS; left out: those of the system.
    """

    also: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    advertise: str = ""
    realm: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = "12349"
    credentials_file: str = ""
    authentication: Policy = "off"
    authentication_for: dict[str, Policy] = {}
    algorithms: tuple[Literal["MD5", "SHA-256", "SHA-512-256"], ...] = ("SHA-256", "MD5")
    invite: Literal[405, 486, 488] = 405
    merged: Literal["absorb", "refuse"] = "absorb"
    max_body: Annotated[int, msgspec.Meta(ge=1024, le=MAX_BODY)] = MAX_BODY
    requests_per_s: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 1000
    retry_after_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10
    scanners: tuple[str, ...] = SCANNERS
    address: Annotated[str, msgspec.Meta(pattern=r"^(sips?:[^\s<>]+)?$")] = ""
    account: str = ""
    outbound: Annotated[str, msgspec.Meta(pattern=r"^(sips?:[^\s<>]+)?$")] = ""
    register: RegisterOptions | None = None
    subscribe: tuple[SipAddress, ...] = ()
    watch_hotline: str = ""
    watch_hotlines: dict[str, str] = {}
    subscribe_expires_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 3600
    bodies: tuple[str, ...] | None = None
    body_options: dict[str, dict[str, object]] = {}
    key_file: str = ""
    certificate_file: str = ""
    ca_file: str = ""
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 256

    def __post_init__(self) -> None:
        try:
            Trust(self.sources)
        except ValueError as error:
            raise ValueError(f"sources: {error}; write addresses or networks such as 192.0.2.0/24") from None
        for network in self.authentication_for:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                raise ValueError(f"authentication_for: {error}; write a network such as 192.0.2.0/24") from None
        if not self.algorithms:
            raise ValueError("algorithms: none given; write SHA-256, MD5 or both")
        if self.advertise:
            try:
                ipaddress.ip_address(self.advertise)
            except ValueError as error:
                raise ValueError(f"advertise: {error}; write the numeric address that peers reach") from None
        for key in ("address", "outbound"):
            if getattr(self, key) and not Uri(getattr(self, key)).host:
                raise ValueError(f"{key}: has no host; write sip:12349@pbx.example")
        build_handlers(self.bodies, self.body_options)

    @property
    def wants_devices(self) -> bool:
        """Is there anybody whose password must be known?"""
        return any(policy != "off" for policy in (self.authentication, *self.authentication_for.values()))


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """devices: who authenticates to us; accounts: what we prove to others. User names to passwords."""

    devices: dict[str, str] = {}
    accounts: dict[str, str] = {}


def read_credentials(text: str) -> Credentials:
    """The credentials file. Raises ValueError that says what is wrong and never repeats a password."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is no TOML: {error}") from None
    try:
        return msgspec.convert(tables, Credentials)
    except msgspec.ValidationError as error:
        raise ValueError(f'{error}; write [devices] and [accounts] with lines such as alarm-01 = "password"') from None


class Policies:
    """Which authentication a source address owes: the narrowest network that covers it decides."""

    def __init__(self, default: Policy, networks: Mapping[str, Policy]) -> None:
        self._default: Policy = default
        rows = [(ipaddress.ip_network(network, strict=False), policy) for network, policy in networks.items()]
        self._rows = [(Trust((str(network),)), policy) for network, policy in sorted(rows, key=lambda row: -row[0].prefixlen)]

    def of(self, address: str) -> Policy:
        return next((policy for network, policy in self._rows if network.covers(address)), self._default)
