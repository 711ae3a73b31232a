"""The warm spare's side: a copy of another gateway's database that follows it, commit by commit.

folder/copy/gateway.db, gateway.db-wal  what SQLite opens as it stands: every transaction in it was proven by SQLite's own checksums
folder/next/                            a first copy while it is taken; `copy` stays usable meanwhile
folder/files.tar                        configuration, registers and secrets of the other machine
folder/state.json                       State: what was known when
"""

import hashlib
import os
import shutil
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import httpx
import msgspec

from gateway.clock import monotonic, utc_now
from gateway.errors import GatewayError
from gateway.spare_source import CHUNK
from gateway.store import backup, wal
from gateway.store.backup import Head

TIMEOUT_S = 10.0
PROVE_S = 5.0  # between two comparisons of the chain's heads
FILES_S = 60.0  # … of the files
DATABASE = "gateway.db"
STUCK = 50  # answers without one whole transaction: a commit takes milliseconds


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the spare knew when it last wrote this.

    had: our last entry, and when we found it in our copy; theirs: the other's last entry at that time; complete_at: when we last had everything
    that was on its disk; source: its address.
    """

    source: str
    had: Head
    theirs: int
    proven_at: datetime
    complete_at: datetime | None = None
    schema: int = 0


class BeginAgain(Exception):
    """The log cannot be followed from where we are: a first copy is needed."""


class Away(GatewayError):
    """The other gateway does not answer, or not as it should."""


class SpareCopy:
    """Follows one gateway into one folder. One user at a time; everything blocks."""

    def __init__(self, folder: Path, source: str, token: str, verify: ssl.SSLContext | bool = True) -> None:
        self.folder = folder
        self.source = source.rstrip("/")
        self._client = httpx.Client(
            base_url=self.source,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            verify=verify,
            trust_env=False,
            follow_redirects=False,
        )
        self._at: wal.Position | None = None
        self._files_known = ""
        self._stuck = 0
        self.schema = 0  # of the other's database, once it has been asked
        self._asked_files = self._proved = float("-inf")
        self.state = read_state(folder)
        self.complete_at: datetime | None = None

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def begin(self) -> bool:
        """Take up what lies in the folder; False: there is nothing that can be followed."""
        _mend(self.folder)
        if (self.folder / "copy" / DATABASE).exists():
            self._at = _position(self.folder / "copy")
        return self._at is not None

    def step(self) -> bool:
        """One question and what follows from it; True: there is more at once. Raises Away, GatewayError."""
        try:
            is_more = self._follow(self.folder / "copy") if self._at is not None else self._first_copy()
            if not is_more:
                self.complete_at = utc_now()
                self._look_round()
        except BeginAgain:
            self._at = None
            return True
        except OSError as error:
            raise GatewayError(f"cannot write in {self.folder} ({error.strerror or error}): make room, or correct its rights") from error
        return is_more

    def note(self) -> None:
        """Keep when we last had everything: the other one has just fallen silent."""
        if self.state is not None:
            self.state = msgspec.structs.replace(self.state, complete_at=self.complete_at or self.state.complete_at)
            write_state(self.folder, self.state)

    def _look_round(self) -> None:
        """Once in a while: is it the same chain, and have the files changed?"""
        now = monotonic()
        if now - self._proved >= PROVE_S:
            self._prove(self.folder / "copy")
            self._proved = now
        if now - self._asked_files >= FILES_S:
            self._fetch_files()
            self._asked_files = now

    def _first_copy(self, tell: Callable[[int, int], None] = lambda _done, _all: None) -> bool:
        """Take the database's pages, those we have already by their hash alone; then its whole log; then it becomes our copy."""
        new, old = self.folder / "next", self.folder / "copy" / DATABASE
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        begun = self._ask("begin")
        size, self.schema = int(begun.headers["x-size"]), int(begun.headers["x-schema"])
        known = old.open("rb") if old.exists() else None
        with os.fdopen(os.open(new / DATABASE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            try:
                for offset in range(0, size, CHUNK):
                    piece = os.pread(known.fileno(), CHUNK, offset) if known is not None else b""
                    answer = self._ask("base", offset=str(offset), known=hashlib.sha256(piece).hexdigest() if piece else "")
                    out.write(piece if answer.status_code == 204 else answer.content)
                    tell(offset, size)
                out.flush()
                os.fsync(out.fileno())
            finally:
                if known is not None:
                    known.close()
        self._at = None
        try:
            while self._follow(new):
                pass
            self._prove(new)
        except BeginAgain:
            self._at = None
            raise
        before = self.folder / "before"
        shutil.rmtree(before, ignore_errors=True)
        if old.parent.exists():
            old.parent.rename(before)
        new.rename(old.parent)
        _sync(self.folder)
        shutil.rmtree(before, ignore_errors=True)
        return False

    def _follow(self, folder: Path) -> bool:
        """Lay what the log has more into our copy of it. True: there is more at once."""
        at, log = self._at, folder / f"{DATABASE}-wal"
        if at is None:
            answer = self._ask("log")
            body, start = answer.content, wal.begin(answer.content)
            if start is None:
                raise Away(f"{self.source} sent a log that is none: is it a gateway of this version?")
            found = wal.accept(start, body[wal.HEADER :])
            with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(body[: found.offset])
                out.flush()
                os.fsync(out.fileno())
        else:
            check = f"{at.check[0]:08x}{at.check[1]:08x}"
            answer = self._ask("log", generation=at.name, offset=str(at.offset), check=check)
            body = answer.content
            found = wal.accept(at, body)
            if found.offset > at.offset:
                with log.open("r+b") as out:
                    out.seek(at.offset)
                    out.write(body[: found.offset - at.offset])
                    out.flush()
                    os.fsync(out.fileno())
        self._at = found
        self._stuck = self._stuck + 1 if body and found == at else 0
        if self._stuck > STUCK:  # what it has on its disk never becomes a whole transaction
            raise BeginAgain
        is_whole = found.offset - (at.offset if at is not None else 0) == len(body)
        if answer.headers["x-over"] == "1" and is_whole:
            self._next_generation(folder, found)
            return True
        return answer.headers["x-more"] == "1" or not is_whole

    def _next_generation(self, folder: Path, over: wal.Position) -> None:
        """The other's log begins anew: ours is folded into its database first, then begins anew, too."""
        fold(folder)
        self._at = None
        self._follow(folder)
        assert self._at is not None
        if not wal.is_next(over.salts, self._at.salts):  # it has begun twice meanwhile: a whole generation is lacking
            (folder / f"{DATABASE}-wal").unlink()
            raise BeginAgain

    def _prove(self, folder: Path) -> None:
        """Our last entry must have the same link in the other's chain. Raises BeginAgain when it has not."""
        had = look(folder)
        told = msgspec.json.decode(self._ask("head", seq=str(had.seq)).content, type=_Told)
        if told.link != had.chain:
            raise BeginAgain
        self.state = State(source=self.source, had=had, theirs=told.seq, proven_at=utc_now(), complete_at=self.complete_at)
        write_state(self.folder, self.state)

    def _fetch_files(self) -> None:
        answer = self._ask("files", known=self._files_known)
        if answer.status_code == 200:
            new = self.folder / "files.new"
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(answer.content)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self.folder / "files.tar")
            self._files_known = answer.headers["x-digest"]

    def _ask(self, what: str, **asked: str) -> httpx.Response:
        try:
            answer = self._client.get(f"/api/v1/spare/{what}", params=asked)
        except httpx.HTTPError as error:
            raise Away(f"{self.source} does not answer ({type(error).__name__}: {error})") from error
        if answer.status_code == 409:
            raise BeginAgain
        if answer.status_code not in (200, 204):
            raise Away(f"{self.source} answers {answer.status_code}: {_REMEDIES.get(answer.status_code, 'look into its log')}")
        return answer


class _Told(msgspec.Struct):
    seq: int
    link: str | None


_REMEDIES = {
    401: "it does not know the token: the same line must be in its spare.token_file",
    403: "the token may not travel in the clear: use https, or a tunnel from its own machine",
    404: "it lets no spare follow: set spare.token_file there and start it again (its store must be SQLite)",
    503: "it cannot read its own database at the moment",
}


def look(folder: Path) -> Head:
    """The last entry in a copy, read by SQLite as it stands. Raises GatewayError."""
    shm = folder / f"{DATABASE}-shm"
    shm.unlink(missing_ok=True)  # an index of the log as it was before
    with backup.reading(folder / DATABASE) as connection:
        head = backup.head_of(connection)
    shm.unlink(missing_ok=True)
    return head


def fold(folder: Path) -> None:
    """The log into the database, on the disk; a crash in between changes nothing. Raises GatewayError."""
    (folder / f"{DATABASE}-shm").unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise GatewayError(f"{folder / DATABASE} cannot be folded ({error}): look for free space") from error
    if busy:
        raise GatewayError(f"{folder / DATABASE} is being read by another program: end it")
    (folder / f"{DATABASE}-wal").unlink(missing_ok=True)


def read_state(folder: Path) -> State | None:
    """What was known last; None: nothing yet."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return None


def write_state(folder: Path, state: State) -> None:
    """Keep it, at once or not at all."""
    new = folder / "state.new"
    new.write_bytes(msgspec.json.encode(state))
    new.replace(folder / "state.json")


def _position(folder: Path) -> wal.Position | None:
    """How far the log in the folder goes; what is torn after it is cut off. None: there is no log that can be gone on with."""
    try:
        with (folder / f"{DATABASE}-wal").open("r+b") as log:
            at = wal.begin(log.read(wal.HEADER))
            if at is None:
                return None
            found = wal.accept(at, log.read())
            log.truncate(found.offset)
            return found
    except OSError:
        return None


def _mend(folder: Path) -> None:
    """We were ended between two renames."""
    if not (folder / "copy").exists() and (folder / "before").exists():
        (folder / "before").rename(folder / "copy")
    shutil.rmtree(folder / "next", ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
