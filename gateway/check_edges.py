"""Two edges that own the same thing: a topic, a session at a broker, a peer that is dialled, an address that is listened on.

Each alarm of a topic that two edges read comes twice, by two lines; with Mosquitto's shared subscriptions half of them wait for a member that died
(docs/guide/cluster.md). One file names the lines of all edges; where machines have files of their own, these are compared as well (`--beside`).
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from urllib.parse import urlsplit

import msgspec

from gateway.access_list import topics_of
from gateway.config import Config, LineConfig
from gateway.core.register import Doubt
from gateway.errors import ConfigError

PORTS = {"mqtt": 1883, "mqtts": 8883}
_INTERFACE = re.compile(r":interface=([^:]+)")


class _Line(msgspec.Struct, frozen=True):
    file: str
    config: LineConfig
    topics: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.config.edge or '-'}/{self.config.name}"


def edge_doubts(config: Config, beside: Sequence[Config] = ()) -> Iterator[Doubt]:
    """What two edges have in common, and what files of one installation say differently. config: may not have [bus]; then there are no edges."""
    if not config.bus.servers:
        return
    lines: dict[tuple[str, str], _Line] = {}
    for one in (config, *beside):
        for line in one.line:
            known = lines.setdefault((line.edge, line.name), _Line(one.path, line, _topics(line)))
            if known.config != line:
                yield Doubt("line_differs", one.path, (known.name,), known.file)
    for one in beside:
        if differing := tuple(_differing(config, one)):
            yield Doubt("installation_differs", one.path, differing, config.path)
    for one_line, other in combinations(lines.values(), 2):
        if one_line.config.edge != other.config.edge:
            yield from _shared(one_line, other)


def _differing(one: Config, other: Config) -> Iterator[str]:
    """What all machines of an installation must say alike."""
    alike: list[tuple[str, list[object]]] = [
        ("bus.name", [config.bus.name for config in (one, other)]),
        ("bus.shards", [config.bus.shards for config in (one, other)]),
        ("self_test.station", [(config.self_test.station, config.self_test.channel) for config in (one, other)]),
        ("gateway.district", [config.gateway.district for config in (one, other)]),
    ]
    alike += [(f"dispatch.{way}", [config.order_lines.get(way) for config in (one, other)]) for way in ("phone", "sip", "modem")]
    alike.append(("counterpart", [[(told.name, told.kind, told.url, told.reconciliation) for told in config.counterpart] for config in (one, other)]))
    alike.append(("subscriber", [[(told.name, told.url) for told in config.subscriber] for config in (one, other)]))
    for key, found in alike:
        if found[0] != found[1]:
            yield key


def _shared(one: _Line, other: _Line) -> Iterator[Doubt]:
    both = one.name, other.name
    broker = _broker(one.config)
    if broker and broker == _broker(other.config):
        if topics := sorted(
            {f"{mine} · {theirs}" if mine != theirs else mine for mine in one.topics for theirs in other.topics if meet(mine, theirs)}
        ):
            yield Doubt("shared_topic", one.file, both, ", ".join(topics))
        sessions = [str(line.options.get("client_id") or f"gateway-{line.name}") for line in (one.config, other.config)]
        if sessions[0] == sessions[1]:
            yield Doubt("shared_session", one.file, both, sessions[0])
    connect, listen = one.config.connect, one.config.listen
    if connect and connect == other.config.connect and not any(_is_here(word.replace("\\", "")) for word in connect.split(":")):
        yield Doubt("shared_peer", one.file, both, connect)
    if listen and listen == other.config.listen and _names_a_machine(listen):
        yield Doubt("shared_port", one.file, both, listen)


def meet(one: str, other: str) -> bool:
    """Does one topic fit both? MQTT 3.1.1, 4.7: + is one level, # all that follow; the group of a shared subscription is no part of it."""
    mine, theirs = _levels(one), _levels(other)
    for index in range(max(len(mine), len(theirs)) + 1):
        here = [levels[index] if index < len(levels) else None for levels in (mine, theirs)]
        if "#" in here:
            return True  # it takes its parent level, too
        if None in here:
            return here[0] is here[1]
        if "+" not in here and here[0] != here[1]:
            return False
    return True


def _levels(topic: str) -> list[str]:
    levels = topic.split("/")
    return levels[2:] if levels[0] == "$share" and len(levels) > 2 else levels


def _topics(line: LineConfig) -> tuple[str, ...]:
    """None where its options are faulty, which is told elsewhere."""
    try:
        return topics_of(line) if line.broker else ()
    except (ConfigError, msgspec.ValidationError, OSError, ValueError):
        return ()


def _broker(line: LineConfig) -> tuple[str, int] | None:
    """Host and port; none of the loopback, which is another broker on each machine."""
    try:
        parts = urlsplit(line.broker or "")
        host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (host, port) if host and not _is_here(host) else None


def _names_a_machine(listen: str) -> bool:
    """Two machines may listen on the same port; only with an interface is it the same place. Serial ports are each machine's own."""
    found = _INTERFACE.search(listen)
    host = found[1].replace("\\", "") if found else ""
    return bool(host) and host not in ("0.0.0.0", "::") and not _is_here(host)


def _is_here(host: str) -> bool:
    try:
        return host in ("localhost", "ip6-localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
