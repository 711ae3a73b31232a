"""The 49 messages of RFC 4475 and what is asked of an element: tests/vectors/sip/rfc4475.toml says which is which."""

import tomllib
from pathlib import Path

import msgspec

VECTORS = Path(__file__).parent.parent / "vectors" / "sip"


class Torture(msgspec.Struct, frozen=True):
    """set: parse, refuse or choice. strict, lenient: "good", or why a user agent, or a watcher, refuses it."""

    id: str
    section: str
    set: str
    strict: str
    octets: int
    lenient: str = ""

    @property
    def wire(self) -> bytes:
        return (VECTORS / "rfc4475" / f"{self.id}.dat").read_bytes()


TORTURE = msgspec.convert(tomllib.loads((VECTORS / "rfc4475.toml").read_text("utf-8"))["message"], list[Torture])


def torture(name: str) -> bytes:
    return next(row.wire for row in TORTURE if row.id == name)
