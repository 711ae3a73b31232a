"""Backup of a PostgreSQL database by its own programs: pg_dump in a snapshot whose heads we read ourselves, pg_restore into an empty database.

With [bus] every shard is a schema with a journal of its own; one snapshot has all of them, so they are of one moment. Chains are proven from
the dump itself, without a server: pg_restore writes out a journal's rows as COPY text.
Source: postgresql.org/docs/current/app-pgdump.html, sql-copy.html (text format).
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, takewhile
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, text

from gateway.errors import GatewayError
from gateway.store.backup import Head, Part, Proof
from gateway.store.chain import GENESIS, Broken, Row, verify
from gateway.store.ownership import schema_of

LONGEST_S = 6 * 3600.0  # a dump of a province's year; then something hangs
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}  # of COPY's text format; a backslash before anything else is dropped
NUMBERS = frozenset(("seq", "at"))
BYTES = frozenset(("raw", "digest", "chain"))


def dump(engine: Engine, target: Path, shards: Sequence[int] = ()) -> tuple[list[Part], int]:
    """pg_dump -Fc into a new file, readable by its owner alone: (what is in it, schema), of the same moment.

    shards: the dump is of their schemas, all in one snapshot; none: of the whole database, as one journal. Raises GatewayError with the remedy.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # of a shard's owner it is 5 s: shorter than a dump
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        parts, schema = parts_of(connection, shards)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        chosen = [f"--schema={schema_of(shard)}" for shard in shards]
        _run(engine.url, "pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}", *chosen])
    return parts, schema


def parts_of(connection: Connection, shards: Sequence[int] = ()) -> tuple[list[Part], int]:
    """(what the tables of each shard hold, else those of the one journal; the latest schema among them), as this transaction sees them."""
    parts, versions = [], []
    for shard in shards or (None,):
        if shard is not None:
            connection.execute(text(f"SET LOCAL search_path TO {schema_of(shard)}"))
        last = connection.execute(text("SELECT seq, chain FROM journal ORDER BY seq DESC LIMIT 1")).first()
        tables = sorted(inspect(connection).get_table_names(schema_of(shard) if shard is not None else None))
        read = connection.execute(text("SELECT position, stream FROM ownership")).first() if shard is not None else None
        parts.append(
            Part(
                head=Head(last[0], bytes(last[1]).hex()) if last else Head(0, GENESIS.hex()),
                counts={name: int(connection.scalar(text(f'SELECT count(*) FROM "{name}"')) or 0) for name in tables},
                open_incidents=int(connection.scalar(text("SELECT count(*) FROM incident WHERE state <> 'closed'")) or 0),
                shard=shard,
                position=read.position if read else 0,
                stream=read.stream if read else 0,
            )
        )
        versions.append(int(connection.scalar(text("SELECT value FROM meta WHERE name = 'schema'")) or 0))
    return parts, max(versions)


def part_of(engine: Engine, shard: int | None = None) -> Part:
    """What the tables of a shard hold at this moment, else those of the one journal."""
    with engine.connect() as connection, connection.begin():
        return parts_of(connection, () if shard is None else (shard,))[0][0]


def restore(engine: Engine, dumped: Path) -> None:
    """pg_restore into the database of this engine, all of it or nothing. Raises GatewayError; so for one that has a journal."""
    refuse_used(engine)
    _run(engine.url, "pg_restore", ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", str(dumped)])


def refuse_used(engine: Engine) -> None:
    """Raises GatewayError for a database in which there is a journal, whoever's."""
    with engine.connect() as connection:
        if connection.scalar(text("SELECT count(*) FROM pg_tables WHERE tablename = 'journal'")):
            where = engine.url.set(drivername="postgresql").render_as_string()
            raise GatewayError(f"the database {where} has a journal already: make a new one (createdb), and name it in store.url")


def prove_dump(dumped: Path, shards: Sequence[int] = ()) -> list[Proof]:
    """Walk the chain of every shard in a dump, else the one. Raises GatewayError."""
    return [_prove(dumped, shard) for shard in shards or (None,)]


def links_in(dumped: Path, shards: Sequence[int] = ()) -> Iterator[bytes]:
    """Every link of its chains. Raises GatewayError."""
    for shard in shards or (None,):
        for row in _journal(dumped, shard):
            yield row.chain


def _prove(dumped: Path, shard: int | None) -> Proof:
    faults: list[str] = []
    proven, last = 0, Head(0, GENESIS.hex())

    def noted() -> Iterator[Row]:
        nonlocal last
        for row in _journal(dumped, shard):
            last = Head(row.seq, row.chain.hex())
            yield row

    for step in verify(noted()):
        if isinstance(step, Broken):
            faults.append(f"journal entry {step.seq} does not hold ({step.reason}); {proven} entries before it do")
            break
        proven += 1
    counts = {"journal": proven}
    return Proof(faults=tuple(faults), proven=proven, head=last, counts=counts, open_incidents=-1, schema=None)


def _journal(dumped: Path, shard: int | None) -> Iterator[Row]:
    """The entries in their order. A dump has them as they lie on the server's disk: what was erased was written anew, behind the others."""
    whose = [f"--schema={schema_of(shard)}"] if shard is not None else []
    command = [_program("pg_restore"), "--data-only", "--table=journal", *whose, "--file=-", str(dumped)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        names: list[str] = []
        for line in process.stdout:
            if begun := re.match(r"COPY (?:\w+\.)?journal \((.*)\) FROM stdin;", line):
                names = [name.strip().strip('"') for name in begun.group(1).split(",")]
                break
        place, expected = names.index("seq") if names else 0, 1
        lines = takewhile(lambda line: line != "\\.\n", process.stdout)
        for line in lines:
            if int(line.split("\t", place + 1)[place]) != expected:
                yield from (_row(names, one) for one in _sorted(chain((line,), lines), place, dumped.parent))
                break
            yield _row(names, line)
            expected += 1
        process.stdout.read()
        said = process.stderr.read()
    if process.returncode:
        raise GatewayError(f"pg_restore cannot read the dump ({' '.join(said.split())[:300]}): it is damaged, or of a newer PostgreSQL")


def _sorted(lines: Iterable[str], place: int, folder: Path) -> Iterator[str]:
    """By the number in this column. On the disk: a journal may be larger than the memory. Raises GatewayError."""
    key = f"--key={place + 1},{place + 1}n"
    command = ["sort", key, "--field-separator=\t", f"--temporary-directory={folder}", "--compress-program=gzip", "--buffer-size=64M"]
    sorting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env={**os.environ, "LC_ALL": "C"})
    try:
        with sorting:
            assert sorting.stdin is not None
            assert sorting.stdout is not None
            sorting.stdin.writelines(lines)  # it writes nothing before it has read all
            sorting.stdin.close()
            yield from sorting.stdout
    except BrokenPipeError:
        pass  # it has ended, and says so below
    if sorting.returncode:
        raise GatewayError(f"the journal in the dump cannot be put in order in {folder}: make room there")


def _row(names: Sequence[str], line: str) -> Row:
    values: dict[str, object] = {}
    for name, cell in zip(names, line.removesuffix("\n").split("\t"), strict=True):
        plain = None if cell == "\\N" else re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), cell)
        if plain is not None and name in BYTES:
            values[name] = bytes.fromhex(plain.removeprefix("\\x"))
        else:
            values[name] = int(plain) if plain is not None and name in NUMBERS else plain
    return Row(**values)  # type: ignore[arg-type]


def _run(url: URL, program: str, arguments: list[str]) -> None:
    """Let one of PostgreSQL's programs work on this database; the password goes by a file that only we can read."""
    path = _program(program)
    with _environment(url) as environment:
        shown = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
        command = [path, "--no-password", f"--dbname={shown}", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False, env=environment)
        except subprocess.TimeoutExpired:
            raise GatewayError(f"{program} did not end within {LONGEST_S / 3600:.0f} hours: look whether the server hangs") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[:400]
        raise GatewayError(f"{program} says: {said}; correct store.url or the rights of its user, or install the {program} of the server's version")


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise GatewayError(
            f"{name} is not installed: apt install postgresql-client; or take base backups of the server itself (docs/guide/backup.md)"
        )
    return path


@contextmanager
def _environment(url: URL) -> Iterator[dict[str, str]]:
    """Ours, with PGPASSFILE when the address has a password: neither a command line nor an environment may hold one (libpq-pgpass)."""
    if url.password is None:
        yield dict(os.environ)
        return
    with tempfile.NamedTemporaryFile("w", prefix="gateway-pgpass-", encoding="utf-8") as file:  # mode 0600
        fields = (url.host or "*", str(url.port or "*"), url.database or "*", url.username or "*", str(url.password))
        file.write(":".join(re.sub(r"([:\\])", r"\\\1", field) if field != "*" else field for field in fields) + "\n")
        file.flush()
        yield {**os.environ, "PGPASSFILE": file.name}
