"""What a running gateway gives its warm spare: the pages of its database, then the write-ahead log as it grows, and its files.

The spare asks, we answer from bytes on disk; the writer is never asked for anything. Only while a first copy is taken a read transaction of
ours keeps SQLite from beginning its log anew (at most HOLD_S between two questions, and HOLD_LIMIT of log). The handle of the database's own
file is never closed while we run: with POSIX locks, closing any handle of a file drops the locks of the whole process on it
(sqlite.org/howtocorrupt.html, 2.2).
"""

import asyncio
import hashlib
import hmac
import os
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.backup_files import database_of, files_of
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.config.words import MIN_SECRET
from gateway.errors import GatewayError
from gateway.store import backup, wal
from gateway.store.backup import Head
from gateway.store.backup_file import Manifest, write
from gateway.store.schema import SCHEMA_VERSION

CHUNK = 1 << 20  # bytes of the database in one answer, and of the log 4 times that: a few milliseconds of a thread
LOG_CHUNK = 4 * CHUNK
HOLD_S = 30.0  # a spare that does not ask for so long has gone: the log may begin anew
LOOK_S = 5.0
HOLD_LIMIT = 1 << 30  # bytes of log while a first copy is taken; then it begins anew, and the spare asks again for what changed


class Answer(msgspec.Struct, frozen=True):
    """status as in HTTP; body; what else the spare is told."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class SpareSource:
    """One database. Everything but `allows` blocks and is called in a thread, one call at a time."""

    def __init__(self, config: Config, registry: CollectorRegistry) -> None:
        self._config = config
        self._database = database_of(config)
        self._token = token_of(config)
        self._file: int | None = None
        self._hold: sqlite3.Connection | None = None
        self._held_at = 0.0
        self._looking: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()
        self._given: tuple[str, int, float] | None = None  # generation, end and time of the last answer that held all there was
        self.books = _Books(config.spare.late_s)
        if self.is_on:
            registry.register(self.books)

    @property
    def is_on(self) -> bool:
        """May somebody follow?"""
        return bool(self._token) and self._database is not None

    def allows(self, authorization: str) -> bool:
        """Does this header show the token?"""
        scheme, _, token = authorization.partition(" ")
        fits = scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)
        self.books.refused += not fits
        return fits and self.is_on

    async def answer(self, what: str, asked: dict[str, str]) -> Answer:
        """Answer one question; 404 for what there is none."""
        ways = {"begin": self._begin, "base": self._base, "log": self._log, "head": self._head, "files": self._files}
        if what not in ways:
            return Answer(404)
        async with self._lock:
            try:
                return await asyncio.to_thread(ways[what], asked)
            except (ValueError, KeyError):
                return Answer(400)
            except (OSError, sqlite3.Error, GatewayError):
                return Answer(503)
            finally:
                if self._hold is not None and self._looking is None:
                    self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """While the log is held: has the spare gone, or does the log grow too long?"""
        self._looking = None
        if self._hold is None:
            return
        log = self._path.with_name(f"{self._path.name}-wal")
        is_idle = monotonic() - self._held_at > HOLD_S
        if not self._lock.locked() and (is_idle or (log.exists() and log.stat().st_size > HOLD_LIMIT)):
            self._let_go()
        else:
            self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _begin(self, _: dict[str, str]) -> Answer:
        """A first copy begins: from here on the log is not begun anew before it has been had."""
        self._let_go()
        hold = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=backup.BUSY_S
        )
        hold.execute("BEGIN")
        hold.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._hold, self._held_at = hold, monotonic()
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self.books.bases += 1
        return Answer(200, headers={"x-size": str(os.fstat(self._file).st_size), "x-schema": str(SCHEMA_VERSION)})

    def _base(self, asked: dict[str, str]) -> Answer:
        """A piece of the database's own file; 204 when the spare has just that already."""
        if self._hold is None or self._file is None:
            return Answer(409)
        self._held_at = monotonic()
        piece = os.pread(self._file, CHUNK, int(asked["offset"]))
        if hashlib.sha256(piece).hexdigest() == asked.get("known"):
            return Answer(204)
        self.books.sent += len(piece)
        return Answer(200, piece)

    def _log(self, asked: dict[str, str]) -> Answer:
        """The log from where the spare has it. 409: it cannot be followed from there; a first copy is needed.

        asked: generation and offset, with the checksum of its last frame; no generation: from the begin of the present one.
        x-more: there is more at once; x-over: this generation ends with what is sent, the next one begins.
        """
        with self._path.with_name(f"{self._path.name}-wal").open("rb") as log:  # no lock of SQLite's is on this one
            now = wal.begin(os.pread(log.fileno(), wal.HEADER, 0))
            if now is None:
                return Answer(503)
            wanted, offset = asked.get("generation") or now.name, int(asked.get("offset") or 0)
            if self._given is not None and self._given[:2] == (wanted, offset):
                self.books.caught_up_at = self._given[2]  # what that answer held is on the spare's disk now
            if wanted == now.name:
                if offset > wal.HEADER and not _fits(log.fileno(), offset, now, asked["check"]):
                    return Answer(409)
                at = monotonic()
                body, is_more = _whole(log.fileno(), now, offset)
                if not is_more:
                    self._let_go()  # the spare gets all of the log that there is: it need not be kept any more
                    self._given = (now.name, offset + len(body), at)
                self._held_at = at
                self.books.sent += len(body)
                return Answer(200, body, {"x-generation": now.name, "x-more": str(int(is_more)), "x-over": "0"})
            old = (int(wanted[:8], 16), int(wanted[8:], 16))
            if offset < wal.HEADER or not wal.is_next(old, now.salts):
                return Answer(409)
            body, is_more = _whole(log.fileno(), wal.Position(old, offset, (0, 0), now.page, now.is_big), offset)
            if _extent(log.fileno(), now) > offset:  # what the spare lacks has been written over
                return Answer(409)
            self.books.sent += len(body)
            return Answer(200, body, {"x-generation": wanted, "x-more": "1", "x-over": str(int(not is_more))})

    def _head(self, asked: dict[str, str]) -> Answer:
        """Our last entry, and the chain's link at the entry that the spare has last: are they the same journal?"""
        with backup.reading(self._path) as connection:
            head, link = backup.head_of(connection), backup.link_at(connection, int(asked["seq"]))
        self.books.proven = int(asked["seq"]) if link is not None else self.books.proven
        return Answer(200, msgspec.json.encode({"seq": head.seq, "chain": head.chain, "link": link}))

    def _files(self, asked: dict[str, str]) -> Answer:
        """Configuration, registers and what else a start needs, as a backup without a database; 204 when nothing has changed."""
        found = files_of(self._config, secrets=self._config.spare.secrets, maps=False)
        stats = [(source.name, (stat := source.file.stat()).st_size, stat.st_mtime_ns) for source in found.sources]
        digest = hashlib.sha256(msgspec.json.encode(stats)).hexdigest()
        if digest == asked.get("known"):
            return Answer(204)
        manifest = Manifest(
            made_at=utc_now(),
            schema=SCHEMA_VERSION,
            store="sqlite",
            head=Head(0, ""),
            counts={},
            open_incidents=0,
            members=(),
            config=Path(self._config.path).name,
            data=self._config.gateway.data,
            secrets=self._config.spare.secrets,
            left_out=found.left_out,
        )
        with tempfile.TemporaryDirectory(prefix=".spare-", dir=self._config.data_folder) as folder:
            file = Path(folder) / "files.tar"
            write(file, manifest, found.sources)
            return Answer(200, file.read_bytes(), {"x-digest": digest})

    @property
    def _path(self) -> Path:
        assert self._database is not None
        return self._database

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None


class _Books(Collector):
    """What the metrics say of the spare."""

    def __init__(self, late_s: float) -> None:
        self.late_s = late_s
        self.caught_up_at = monotonic()  # from the start on, so that a spare that never comes shows
        self.sent = self.bases = self.refused = self.proven = 0

    @property
    def lag_s(self) -> float:
        """How long ago the spare last had everything on its disk."""
        return monotonic() - self.caught_up_at

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("gateway_spare_lag_seconds", "How long ago the spare last had everything on its disk", value=self.lag_s)
        yield GaugeMetricFamily(
            "gateway_spare_late", "1: the spare has not had everything for longer than spare.late_s", value=int(self.lag_s > self.late_s)
        )
        yield GaugeMetricFamily("gateway_spare_proven_seq", "Last journal entry of which the spare has shown the chain's link", value=self.proven)
        yield CounterMetricFamily("gateway_spare_bytes", "Bytes sent to the spare", value=self.sent)
        yield CounterMetricFamily("gateway_spare_bases", "First copies begun: one after each start of the gateway", value=self.bases)
        yield CounterMetricFamily("gateway_spare_refused", "Questions without the token", value=self.refused)


def token_of(config: Config) -> bytes:
    """The first line of the token's file; b"" = nobody may follow."""
    if not config.spare.token_file:
        return b""
    try:
        token = (config.folder / config.spare.token_file).read_bytes().split(b"\n")[0].strip()
    except OSError:
        return b""
    return token if len(token) >= MIN_SECRET else b""


def _fits(log: int, offset: int, now: wal.Position, check: str) -> bool:
    """Is the last frame that the spare has still the one before this offset?"""
    head = os.pread(log, wal.FRAME, offset - now.frame)
    if len(head) < wal.FRAME or (offset - wal.HEADER) % now.frame:
        return False
    salts, _, found = wal.frame_head(head)
    return salts == now.salts and f"{found[0]:08x}{found[1]:08x}" == check


def _whole(log: int, generation: wal.Position, offset: int) -> tuple[bytes, bool]:
    """(whole transactions of that generation from there on, is there more). By what the frames' heads say: the spare looks at their checksums."""
    size = LOG_CHUNK
    while True:
        body = os.pread(log, size, offset)
        at = end = wal.HEADER if offset == 0 else 0
        while at + generation.frame <= len(body):
            salts, is_commit, _ = wal.frame_head(body[at : at + wal.FRAME])
            if salts != generation.salts:
                return body[:end], False
            at += generation.frame
            if is_commit:
                end = at
        is_last = len(body) < size
        if end > (wal.HEADER if offset == 0 else 0) or is_last:
            return body[:end], not is_last
        size *= 2  # one transaction longer than an answer


def _extent(log: int, now: wal.Position) -> int:
    """Where the frames of the present generation end in the file."""
    at = wal.HEADER
    while len(head := os.pread(log, wal.FRAME, at)) == wal.FRAME and wal.frame_head(head)[0] == now.salts:
        at += now.frame
    return at
