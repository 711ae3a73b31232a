"""The hash chain over the journal: each entry's digest covers all its columns, each link covers the link before it.

digest = SHA-256 of the entry's columns, framed by their lengths; chain = SHA-256(chain before ‖ seq, 8 octets big-endian ‖ digest).
A changed, missing or added entry breaks the chain at its place. A tail cut off is found by comparing the head with one noted earlier.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec

GENESIS = bytes(32)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One journal entry as stored. `at` in microseconds since 1970 UTC."""

    seq: int
    at: int
    kind: str
    phase: str
    line: str | None
    device: str | None
    dedup: str | None
    person: str | None
    incident: str | None
    actor: str | None
    facts: str
    raw: bytes
    digest: bytes
    chain: bytes


def digest_of(
    at: int,
    kind: str,
    phase: str,
    line: str | None,
    device: str | None,
    dedup: str | None,
    person: str | None,
    incident: str | None,
    actor: str | None,
    facts: bytes,
    raw: bytes,
) -> bytes:
    """SHA-256 over one entry's columns. Lengths stand before the two free ones, so that no two entries frame alike."""
    head = msgspec.msgpack.encode((at, kind, phase, line, device, dedup, person, incident, actor, len(facts), len(raw)))
    return sha256(head + facts + raw).digest()


def link(before: bytes, seq: int, digest: bytes) -> bytes:
    """The next link of the chain."""
    return sha256(before + seq.to_bytes(8, "big") + digest).digest()


class Broken(msgspec.Struct, frozen=True):
    """The first entry that does not fit. reason: gap, digest, chain."""

    seq: int
    reason: str


def verify(rows: Iterable[Row]) -> Iterator[int | Broken]:
    """Walk the journal from its first entry; gives each proven seq, or the first break and then nothing more."""
    before, expected = GENESIS, 1
    for row in rows:
        if row.seq != expected:
            yield Broken(expected, "gap")
            return
        digest = digest_of(
            row.at,
            row.kind,
            row.phase,
            row.line,
            row.device,
            row.dedup,
            row.person,
            row.incident,
            row.actor,
            row.facts.encode("utf-8", "surrogatepass"),
            row.raw,
        )
        if digest != row.digest:
            yield Broken(row.seq, "digest")
            return
        before = link(before, row.seq, digest)
        if before != row.chain:
            yield Broken(row.seq, "chain")
            return
        yield row.seq
        expected += 1
