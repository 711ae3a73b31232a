"""`[bus]`: several machines. Edges hand what they hear to a NATS JetStream, the cores that own the shards of persons read it there."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.config.words import Seconds
from gateway.toml_file import Fault

MAX_SHARDS = 256  # two hexadecimal digits of every delivery id name the shard (gateway.core.shards)
SCHEMES = ("nats", "tls")


class BusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[bus]`. Without servers everything runs in one process, and nothing of this counts.

    servers       nats://host:port or tls://host:port, three of them on separate machines
    user, password_file, ca_file   as the NATS servers want them; "" = none. Files are relative to the configuration file
    name          of this installation: streams and subjects begin with it, so that two can share servers
    shards        into how many shares the persons are divided, by their streets; fixed for the life of an installation
    replicas      of each stream: 3 keeps what was receipted when a machine dies; 1 does not
    max_mib       what a stream holds at most for a core that is away; when it is full edges say "busy" to their devices
    keep_s        so long what a core has read stays in the stream all the same, for a database that had to be restored
    listen        where an edge or a core shows /metrics, /healthz and /readyz, host:port on the loopback; "" = nowhere
    """

    servers: tuple[str, ...] = ()
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$", examples=["gateway"])] = "gateway"
    shards: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARDS)] = 8
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    max_mib: Annotated[int, msgspec.Meta(ge=16, le=1_048_576)] = 4096
    keep_s: Seconds = 3600
    listen: str = "127.0.0.1:12350"


def bus_faults(bus: BusConfig) -> Iterator[Fault]:
    """What must hold beyond the types."""
    for server in bus.servers:
        try:
            url = urlsplit(server)
            usable = url.scheme in SCHEMES and bool(url.hostname) and not url.username and (url.port is None or url.port > 0)
        except ValueError:
            usable = False
        if not usable:
            yield ("servers",), f"{server!r} is no address of a NATS server", "write nats://HOST:4222 or tls://HOST:4222, the user under bus.user"
    if bus.servers and bus.replicas > len(bus.servers):
        remedy = "name that many servers, or write fewer replicas; with fewer than 3 a dead machine takes receipted alarms with it"
        yield ("replicas",), f"is {bus.replicas}, and servers are {len(bus.servers)}", remedy
    if bus.user and not bus.password_file:
        yield ("password_file", "user"), "is missing beside user", "name a file that holds the password"
    host, _, port = bus.listen.rpartition(":")
    if bus.listen and (host.strip("[]") not in ("127.0.0.1", "localhost", "::1") or not port.isdigit()):
        yield ("listen",), f"{bus.listen!r} is no address of the loopback", "write 127.0.0.1:PORT; a proxy with access control may stand before it"
