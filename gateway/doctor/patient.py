"""What the checks look at: the configuration, the gateway that runs here (asked once), its register, accounts and database.

Everything is asked once, when the first check wants it. Nothing here changes anything, and nothing waits longer than DIAL_S.
"""

import http.client
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.config import Config
from gateway.core.account import Account
from gateway.core.register import Register
from gateway.doctor.machine import User, flock_owner, holder_of, is_gateway, owner_of, user_of_process
from gateway.errors import ConfigError, GatewayError
from gateway.own_api import HEALTHY, OwnApi, near_address
from gateway.register_files import read_overlaid
from gateway.store import accounts, corrections
from gateway.store.store import Store

DIAL_S = 2.0  # how long anything is waited for: a neighbour on the same network answers in milliseconds
POSTGRES_WAITS = {"connect_timeout": int(DIAL_S), "options": f"-c statement_timeout={DIAL_S * 1000:.0f}"}
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Profile(msgspec.Struct, frozen=True):
    name: str
    state: str
    fault: str | None = None


class LineTold(msgspec.Struct, frozen=True):
    """As much of a line as GET /api/v1/lines tells us."""

    id: str
    state: str
    reason: str = ""
    profiles: tuple[Profile, ...] = ()


class _Lines(msgspec.Struct, frozen=True):
    lines: tuple[LineTold, ...]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway that runs here tells of itself. metrics: sample name with sorted labels → value; ops: GET /api/v1/ops."""

    lines: dict[str, LineTold]
    metrics: dict[tuple[str, frozenset[tuple[str, str]]], float]
    ops: dict[str, Any]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name with these labels."""
        wanted = frozenset(labels.items())
        return sum(value for (key, its), value in self.metrics.items() if key == name and wanted <= its)

    def label(self, name: str, label: str) -> str:
        """The value of a label of the one sample of this name; "" when there is none."""
        return next((dict(its)[label] for (key, its), _ in self.metrics.items() if key == name and label in dict(its)), "")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What an edge or a core on this machine tells at bus.listen."""

    is_ready: bool
    metrics: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @property
    def role(self) -> str:
        return "core" if any(name == "gateway_shard_owned" for name, _ in self.metrics) else "edge"

    @property
    def lines(self) -> frozenset[str]:
        """Of an edge: those that it runs."""
        return frozenset(dict(labels)["line"] for name, labels in self.metrics if name == "gateway_line_state")

    @property
    def missed(self) -> list[str]:
        """Points of the self-test that were not seen back."""
        return sorted(dict(labels)["point"] for (name, labels), value in self.metrics.items() if name == "gateway_self_test_up" and not value)


class Patient:
    """The installation. ntp: HOST[:PORT] of time servers to compare with beside those this machine is set up with; backups: folders where
    they lie beside the data folder; whole: take your time.
    """

    def __init__(self, config: Config, *, ntp: Sequence[str] = (), backups: Sequence[str] = (), whole: bool = False) -> None:
        self.config = config
        self.ntp = tuple(ntp)
        self.backups = tuple(Path(one) for one in backups)
        self.whole = whole
        self.refusal = ""  # why the gateway that runs does not tell us how it does
        self.store = Store(config.store.url, config.data_folder)
        self.brokers_bad: set[str] = set()  # names of lines whose broker has a fault of its own: told once

    def where(self, number: int, key: str) -> str:
        """A key of the number-th line in the file."""
        return f"{self.config.path}: line[{number}].{key}"

    @property
    def data(self) -> Path:
        """The data folder, as a person would write it."""
        return Path(os.path.normpath(self.config.data_folder))

    @property
    def is_sqlite(self) -> bool:
        return self.store.engine.dialect.name == "sqlite"

    @cached_property
    def lock_pid(self) -> int | None:
        """The process that holds the data folder's lock: the gateway, or whatever took its place. None: nobody, or it cannot be seen."""
        return flock_owner(self.config.data_folder / "gateway.lock")

    @cached_property
    def pid(self) -> int | None:
        """The gateway's process: who holds the lock of its folder, else (PostgreSQL has no such lock) the gateway at the console's port."""
        if self.lock_pid is not None or not self.config.console.enabled:
            return self.lock_pid
        holder = holder_of(socket.SOCK_STREAM, console_address(self.config)[1])
        return holder[0] if holder is not None and is_gateway(holder[0]) else None

    @cached_property
    def user(self) -> User:
        """Who the gateway runs as: the running process, else who owns the data folder, else who asks."""
        if self.pid is not None and (found := user_of_process(self.pid)) is not None:
            return found
        return owner_of(self.config.data_folder)

    @cached_property
    def api(self) -> OwnApi:
        return OwnApi(self.config.console.listen, self.config.data_folder, self.config.console_certificate, timeout_s=DIAL_S)

    @cached_property
    def is_answering(self) -> bool:
        """Does a gateway answer at console.listen?"""
        if not self.config.console.enabled:
            return False
        try:
            if self.api.is_there():
                return True
        except GatewayError:  # the certificate that we would trust cannot be read
            pass
        return self.shows_other_certificate

    @cached_property
    def shows_other_certificate(self) -> bool:
        """Does a gateway answer there behind another certificate than lies on disk? Nothing is told to it: it may be anybody."""
        if self.config.console_certificate is None:
            return False
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
        host, port = console_address(self.config)
        try:
            with closing(http.client.HTTPSConnection(host, port, timeout=DIAL_S, context=anybody)) as asking:
                asking.request("GET", "/healthz")
                return asking.getresponse().read(len(HEALTHY) + 1) == HEALTHY
        except (OSError, http.client.HTTPException):
            return False

    @property
    def _is_stranger(self) -> bool:
        return bool(self.__dict__.get("shows_other_certificate"))

    @cached_property
    def is_silent(self) -> bool:
        """Is a gateway's process there that does not answer? A connection alone proves nothing: the kernel takes it for a process that hangs."""
        return not self.is_answering and self.config.console.enabled and self.pid is not None

    @cached_property
    def running(self) -> Running | None:
        """How the gateway that runs here does; None when none answers, or it does not know us (then `refusal` says why)."""
        if not self.is_answering or self._is_stranger:
            return None
        try:
            lines = msgspec.convert(self.api.get("/api/v1/lines"), _Lines)
            metrics = read_metrics(self.api.text("/metrics"))
            ops = self.api.get("/api/v1/ops")
        except (GatewayError, msgspec.MsgspecError) as error:
            self.refusal = str(error)
            return None
        return Running(lines={one.id: one for one in lines.lines}, metrics=metrics, ops=ops if isinstance(ops, dict) else {})

    @cached_property
    def engine(self) -> Engine | None:
        """The database, to be read, with short waits; None when there is none yet or it does not answer."""
        url = self.store.engine.url
        if self.is_sqlite:
            file = Path(self.store.where)
            try:
                if not file.is_file() or not file.stat().st_size:
                    return None
            except OSError:
                return None
            return create_engine(f"sqlite:///file:{file}?mode=ro&uri=true", connect_args={"timeout": DIAL_S})
        waits = dict(POSTGRES_WAITS)
        if self.config.bus.servers:  # what is kept once, as accounts, is in the first shard
            waits["options"] = f"{waits['options']} -c search_path=shard_0"
        engine = create_engine(url, connect_args=waits)
        try:
            engine.connect().close()
        except SQLAlchemyError:
            engine.dispose()
            return None
        return engine

    @property
    def journals(self) -> Iterator[tuple[str, Store]]:
        """Each with what it is called: the one, or those of all shards. Let go of by whoever asked."""
        config = self.config
        if not config.bus.servers:
            yield "journal", self.store
            return
        for shard in range(config.bus.shards):
            store = Store(config.store.url, config.data_folder, shard, writes=False)
            yield f"shard {shard}", store
            store.engine.dispose()

    @cached_property
    def part(self) -> "Part | None":
        """The edge or core that shows itself at bus.listen; None: none does, or this is one machine."""
        bus = self.config.bus
        if not bus.servers or not bus.listen:
            return None
        host, _, port = bus.listen.rpartition(":")
        try:
            with closing(http.client.HTTPConnection(host.strip("[]"), int(port), timeout=DIAL_S)) as asking:
                asking.request("GET", "/readyz")
                answer = asking.getresponse()
                answer.read()
                asking.request("GET", "/metrics")
                metrics = read_metrics(asking.getresponse().read().decode())
        except (OSError, ValueError, http.client.HTTPException):
            return None
        return Part(is_ready=answer.status == http.client.OK, metrics=metrics)

    @property
    def lines_elsewhere(self) -> frozenset[str]:
        """Lines of edges on other machines: their brokers are not ours to try."""
        if not self.config.bus.servers:
            return frozenset()
        here = self.part.lines if self.part is not None else frozenset()
        return frozenset(line.name for line in self.config.line) - here

    @cached_property
    def accounts(self) -> list[Account] | None:
        """Every account; None when they cannot be read."""
        if self.engine is None:
            return None
        try:
            return accounts.accounts(self.engine)
        except (SQLAlchemyError, msgspec.MsgspecError):
            return None

    @cached_property
    def register(self) -> Register | ConfigError:
        """The register as a start or reload would read it now, with what people corrected; or why it would be refused."""
        standing: Sequence[Any] = ()
        if self.engine is not None:
            try:
                standing = corrections.load(self.engine)
            except (SQLAlchemyError, msgspec.MsgspecError):
                standing = ()
        try:
            return read_overlaid(self.config.district_folder, self.config.channels, standing).register
        except ConfigError as error:
            return error

    def close(self) -> None:
        """Let go of the database."""
        self.store.engine.dispose()
        if "engine" in self.__dict__ and self.engine is not None:
            self.engine.dispose()


def read_metrics(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Prometheus' text as a table; what cannot be read is left out."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for row in text.splitlines():
        match = SAMPLE.match(row)
        if match is not None:
            name, labels, value = match.groups()
            found[name, frozenset(LABEL.findall(labels or ""))] = float(value)
    return found


def connects(host: str, port: int) -> OSError | None:
    """Why nobody can be reached there; None when somebody listens."""
    try:
        with closing(socket.create_connection((host, port), DIAL_S)):
            return None
    except (OSError, OverflowError) as error:
        return error if isinstance(error, OSError) else OSError(str(error))


def reason(error: BaseException) -> str:
    """Why, in the system's words."""
    return str(getattr(error, "strerror", None) or error)


def console_address(config: Config) -> tuple[str, int]:
    """(host, port) at which the console is reached from here."""
    host, _, port = near_address(config.console.listen).rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_service() -> bool:
    """Is the gateway a service of systemd on this machine?"""
    return os.path.isdir("/run/systemd/system") and any(  # noqa: PTH112 - no path of ours
        os.path.exists(f"{folder}/gateway.service")  # noqa: PTH110
        for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    )
