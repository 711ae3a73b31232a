"""Who is told of what happens here (`[[counterpart]]`, `[[subscriber]]`), and which platforms may file matters with us (`[[platform]]`)."""

import os
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.config.words import MIN_SECRET, Name, Seconds
from gateway.event import ALARM_KINDS, Kind
from gateway.secrets import read_secret
from gateway.toml_file import Checks, Fault, TomlReader

File = Annotated[str, msgspec.Meta(min_length=1, examples=["municipal.secret"])]
Url = Annotated[str, msgspec.Meta(min_length=1, examples=["https://reports.example/12349"])]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["03:30"])]

SHARD = "{shard}"  # in addresses: with [bus] every shard tells for itself
TELLS_OF_PERSONS = ("management",)  # kinds whose reports have pseudonyms in them
FILED = frozenset(kind.value for kind in ALARM_KINDS) | {Kind.SERVICE_REQUEST.value}  # what a platform may file


class CounterpartConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[counterpart]]`: a municipal system that is reported to (domain 6.7, 6.8).

    kind        management (records of incidents), portal (requests and their status), supervision (events and key nodes)
    since       where reporting begins at the very first start: now, all, or a date (YYYY-MM-DD, local)
    batch       reports in one request at most; per_second: reports a second at most, so that draining disturbs nothing
    reconciliation, reconcile_at: its address and the local time at which the day before is compared; "" = url + /reconciliation
    pseudonym_key_file: what pseudonyms of persons are made with; "" = pseudonym.key in the data folder, made at the first start
    """

    name: Name
    kind: Literal["management", "portal", "supervision"]
    url: Url
    secret_file: File
    since: str = "now"
    batch: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    per_second: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 200
    timeout_s: Seconds = 10
    reconciliation: str = ""
    reconcile_at: Clock = "03:30"
    pseudonym_key_file: str = ""


class SubscriberConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[subscriber]]`: a web hook that hears each change. kinds: of journal entries, empty = all that concern an incident.

    platform: only of incidents that this [[platform]] filed; with its own ids, so that it hears what became of them.
    """

    name: Name
    url: Url
    secret_file: File
    kinds: tuple[str, ...] = ()
    platform: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9_-]{0,63})?$", examples=["province"])] = ""
    since: str = "now"
    batch: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    per_second: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 200
    timeout_s: Seconds = 10


class PlatformConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[platform]]`: another platform or app that files matters with us (domain 1.2, 1.3). kinds: that it may file, empty = all.

    per_minute: requests of ordinary services a minute at most. Alarms are never turned away for their number.
    """

    name: Name
    secret_file: File
    kinds: tuple[str, ...] = ()
    per_minute: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 120


Told = TypeVar("Told", bound=CounterpartConfig | SubscriberConfig)


def of_shard(told: Told, shard: int | None) -> Told:
    """A destination as one of several shards tells it, each at its own address; None: there is only one journal."""
    if shard is None:
        return told
    addresses = {"url": told.url, "reconciliation": told.reconciliation} if isinstance(told, CounterpartConfig) else {"url": told.url}
    return msgspec.structs.replace(told, **{key: address.replace(SHARD, str(shard)) for key, address in addresses.items()})


def check_shards(counterparts: tuple[CounterpartConfig, ...], subscribers: tuple[SubscriberConfig, ...], reader: TomlReader) -> None:
    """What destinations need where every shard tells for itself ([bus]): an address for each, and one key for all."""
    told: tuple[tuple[str, tuple[CounterpartConfig | SubscriberConfig, ...]], ...] = (("counterpart", counterparts), ("subscriber", subscribers))
    for section, several in told:
        for number, one in enumerate(several, 1):
            for key in ("url", "reconciliation"):
                address = getattr(one, key, "")
                if address and SHARD not in address:
                    what = "is one address, and with [bus] every shard numbers what it tells for itself: they would look like repeats"
                    reader.add(f"{section}[{number}].{key}", what, f"write {SHARD} in it where the number of the shard shall stand")
    for number, counterpart in enumerate(counterparts, 1):
        if counterpart.kind in TELLS_OF_PERSONS and not counterpart.pseudonym_key_file:
            what = "is missing, and with [bus] every machine would make a key of its own: one person, a pseudonym for each core"
            reader.add(
                f"counterpart[{number}].pseudonym_key_file", what, "name a file with a key (openssl rand -hex 32), put the same on every machine"
            )


def check_upward(
    counterparts: tuple[CounterpartConfig, ...],
    subscribers: tuple[SubscriberConfig, ...],
    platforms: tuple[PlatformConfig, ...],
    folder: Path,
    reader: TomlReader,
) -> None:
    """What only the whole file shows: names that are taken, platforms that are not there, secrets that are too short."""
    taken: dict[str, str] = {}
    told: tuple[tuple[str, tuple[CounterpartConfig | SubscriberConfig, ...]], ...] = (("counterpart", counterparts), ("subscriber", subscribers))
    for section, several in told:
        for number, one in enumerate(several, 1):
            where = f"{section}[{number}]"
            if one.name and one.name in taken:
                reader.add(f"{where}.name", f"{one.name!r} is the name of {taken[one.name]} too", "give each its own: its reports are counted by it")
            taken.setdefault(one.name, where)
            _check_secret("secret_file", one.secret_file, where, folder, reader)
            if isinstance(one, CounterpartConfig):
                _check_secret("pseudonym_key_file", one.pseudonym_key_file, where, folder, reader)
    names: set[str] = set()
    for number, platform in enumerate(platforms, 1):
        if platform.name and platform.name in names:
            reader.add(f"platform[{number}].name", f"there is a platform {platform.name!r} already", "give it a name of its own")
        names.add(platform.name)
        _check_secret("secret_file", platform.secret_file, f"platform[{number}]", folder, reader)
    for number, subscriber in enumerate(subscribers, 1):
        if subscriber.platform and subscriber.platform not in names:
            reader.add(f"subscriber[{number}].platform", f"there is no platform {subscriber.platform!r}", "add a [[platform]], or correct it")


def _check_secret(key: str, file: str, where: str, folder: Path, reader: TomlReader) -> None:
    if not file or not os.path.isfile(folder / file):  # noqa: PTH113 - Path.is_file raises on a name that is too long; the reader tells of it
        return
    try:
        read_secret(folder / file, MIN_SECRET)
    except ValueError as error:
        reader.add(f"{where}.{key}", str(error).partition("; ")[0], f"write a secret of at least {MIN_SECRET} bytes into it")


def _url_faults(key: str, url: str) -> Iterator[Fault]:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0) and url.isprintable()
    except ValueError:
        usable = False
    if not usable:
        yield (key,), "is no web address", "write https://HOST/PATH"
    elif parts.username is not None or parts.password is not None:
        yield (key,), "holds a name or a password", "leave them out: who asks is known by the signature"


def _since_faults(since: str) -> Iterator[Fault]:
    if since in ("now", "all"):
        return
    try:
        fine = bool(re.fullmatch(r"\d{4}-\d\d-\d\d", since)) and bool(date.fromisoformat(since))
    except ValueError:
        fine = False
    if not fine:
        yield ("since",), f"{since!r} is no beginning", "write now, all or a date such as 2026-01-31"


def _counterpart_faults(one: CounterpartConfig) -> Iterator[Fault]:
    yield from _url_faults("url", one.url)
    if one.reconciliation:
        yield from _url_faults("reconciliation", one.reconciliation)
    if one.pseudonym_key_file and one.kind not in TELLS_OF_PERSONS:
        yield ("pseudonym_key_file", "kind"), f"is for {', '.join(TELLS_OF_PERSONS)}; {one.kind} is told of no persons", "remove it"
    yield from _since_faults(one.since)


def _subscriber_faults(one: SubscriberConfig) -> Iterator[Fault]:
    yield from _url_faults("url", one.url)
    yield from _since_faults(one.since)
    strange = sorted(set(one.kinds) - {kind.value for kind in Kind})
    if strange:
        yield ("kinds",), f"there is no kind {strange[0]!r}", "write kinds of the event model, such as fall, accept or resolve"


def _platform_faults(one: PlatformConfig) -> Iterator[Fault]:
    strange = sorted(set(one.kinds) - FILED)
    if strange:
        yield ("kinds",), f"{strange[0]!r} is nothing that a platform can file", "write kinds of alarms, such as sos or fall, or service_request"


CHECKS: Checks = {CounterpartConfig: _counterpart_faults, SubscriberConfig: _subscriber_faults, PlatformConfig: _platform_faults}
