"""The hash chain over the journal: each entry's digest covers all its columns, each link covers the link before it.

digest = SHA-256("2" ‖ the open columns ‖ SHA-256(the personal columns and facts) ‖ SHA-256(raw)), each part framed by its length;
chain = SHA-256(chain before ‖ seq, 8 octets big-endian ‖ digest). A changed, missing or added entry breaks the chain at its place. A tail
cut off is found by comparing the head with one noted earlier.

What must be forgotten (gateway.store.erase) leaves its own hash behind, so that the digest can still be worked out: that there was an entry,
when, of which kind and about which incident is proven as before. An erased entry that no `purged` entry of the journal tells of is a forgery.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import msgspec

GENESIS = bytes(32)
ERASED_FACTS, ERASED_RAW = '{"erased":"', b"\0erased\0"  # begin what stands in the place of erased facts and raw bytes, before their hash
CONTENT, RAW = "content", "raw"  # what a `purged` entry says was erased: personal columns, facts and raw bytes, or raw bytes alone
_NO_RAW = sha256(b"").digest()
_packed = msgspec.msgpack.Encoder().encode

Range = tuple[int, int]  # first and last seq


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

    @property
    def is_erased(self) -> bool:
        """Are its personal columns and facts gone?"""
        return self.facts.startswith(ERASED_FACTS)


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
    """SHA-256 over one entry's columns."""
    return _digest(at, kind, phase, line, incident, _personal(device, dedup, person, actor, facts), sha256(raw).digest() if raw else _NO_RAW)


def erased(row: Row, *, raw_only: bool = False) -> Row:
    """The entry without what tells of people; its digest and its place in the chain stay."""
    raw = row.raw if row.raw.startswith(ERASED_RAW) or not row.raw else ERASED_RAW + sha256(row.raw).digest()
    if raw_only or row.is_erased:
        return msgspec.structs.replace(row, raw=raw)
    mark = _personal(row.device, row.dedup, row.person, row.actor, _bytes(row.facts)).hex()
    return msgspec.structs.replace(row, device=None, dedup=None, person=None, actor=None, facts=f'{ERASED_FACTS}{mark}"}}', raw=raw)


def link(before: bytes, seq: int, digest: bytes) -> bytes:
    """The next link of the chain."""
    return sha256(before + seq.to_bytes(8, "big") + digest).digest()


class Broken(msgspec.Struct, frozen=True):
    """The first entry that does not fit. reason: gap, digest, chain, erased (and no entry says that it was)."""

    seq: int
    reason: str


def verify(rows: Iterable[Row]) -> Iterator[int | Broken]:
    """Walk the journal from its first entry; gives each proven seq, or the first break and then nothing more."""
    before, expected = GENESIS, 1
    gone: dict[str, list[Range]] = {CONTENT: [], RAW: []}
    told: dict[str, list[Range]] = {CONTENT: [], RAW: []}
    for row in rows:
        if row.seq != expected:
            yield Broken(expected, "gap")
            return
        if not _fits(row):
            yield Broken(row.seq, "digest")
            return
        before = link(before, row.seq, row.digest)
        if before != row.chain:
            yield Broken(row.seq, "chain")
            return
        if row.is_erased:
            _add(gone[CONTENT], row.seq)
        elif row.raw.startswith(ERASED_RAW):
            _add(gone[RAW], row.seq)
        if row.kind == "purged" and not row.is_erased:
            facts = msgspec.json.decode(row.facts)
            told.get(facts.get("what"), []).extend((first, last) for first, last in facts.get("ranges", ()))
        yield row.seq
        expected += 1
    forged = [*_untold(gone[CONTENT], told[CONTENT]), *_untold(gone[RAW], [*told[RAW], *told[CONTENT]])]
    if forged:
        yield Broken(min(forged), "erased")


def ranges_of(numbers: Iterable[int]) -> list[Range]:
    """Ascending numbers as ranges."""
    found: list[Range] = []
    for number in numbers:
        _add(found, number)
    return found


def _fits(row: Row) -> bool:
    """Does the digest follow from the columns, as far as they are there?"""
    raw = row.raw.removeprefix(ERASED_RAW) if row.raw.startswith(ERASED_RAW) else sha256(row.raw).digest()
    if row.is_erased:
        if any(one is not None for one in (row.device, row.dedup, row.person, row.actor)):
            return False
        try:
            personal = bytes.fromhex(row.facts[len(ERASED_FACTS) : -2])
        except ValueError:
            return False
    else:
        personal = _personal(row.device, row.dedup, row.person, row.actor, _bytes(row.facts))
    return row.digest == _digest(row.at, row.kind, row.phase, row.line, row.incident, personal, raw)


def _digest(at: int, kind: str, phase: str, line: str | None, incident: str | None, personal: bytes, raw: bytes) -> bytes:
    return sha256(b"2" + _packed((at, kind, phase, line, incident)) + personal + raw).digest()


def _personal(device: str | None, dedup: str | None, person: str | None, actor: str | None, facts: bytes) -> bytes:
    return sha256(_packed((device, dedup, person, actor, len(facts))) + facts).digest()


def _bytes(facts: str) -> bytes:
    return facts.encode("utf-8", "surrogatepass")


def _add(ranges: list[Range], number: int) -> None:
    if ranges and ranges[-1][1] == number - 1:
        ranges[-1] = ranges[-1][0], number
    else:
        ranges.append((number, number))


def _untold(gone: Sequence[Range], told: Sequence[Range]) -> Iterator[int]:
    """The first of each range of `gone` that is not wholly within what is told."""
    merged: list[Range] = []
    for first, last in sorted(told):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    for first, last in gone:
        at = first
        for begin, end in merged:
            if begin <= at <= end:
                at = end + 1
        if at <= last:
            yield at
