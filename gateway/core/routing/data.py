"""The part of a register by which routing decides, as bytes: kept under its digest, so that old decisions can be made again.

No person, no name, no telephone number is in it, and no border of an area: in which area a place lay stands in the decision.
"""

import hashlib
import zlib
from datetime import date
from typing import NamedTuple

import msgspec

from gateway.core.register import Area, Register, Responder
from gateway.core.territory import AidAgreement, DayKind, Loan, Provider, Shift

LIMIT_BYTES = 64 << 20  # unpacked; a hundred times the largest city's
_PREPARED = "routing_data"
_encoder = msgspec.json.Encoder(order="sorted")


class RoutingData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As in the register, without what routing never asks."""

    responders: tuple[Responder, ...] = ()
    areas: tuple[Area, ...] = ()
    shifts: tuple[Shift, ...] = ()
    calendar: tuple[tuple[date, DayKind], ...] = ()
    loans: tuple[Loan, ...] = ()
    providers: tuple[Provider, ...] = ()
    agreements: tuple[AidAgreement, ...] = ()


class Packed(NamedTuple):
    """digest: 12 hex digits of what is in it; body: compressed."""

    digest: str
    body: bytes


def pack(register: Register) -> Packed:
    """The routing data of this register, made at the first call."""
    known = register.prepared.get(_PREPARED)
    if known is None:
        text = _encoder.encode(
            RoutingData(
                responders=tuple(msgspec.structs.replace(one, name="", phone="", address="", label="") for one in register.responders.values()),
                areas=tuple(msgspec.structs.replace(one, name="") for one in register.areas.values()),
                shifts=tuple(msgspec.structs.replace(one, people=()) for rows in register.shifts.values() for one in rows),
                calendar=tuple(sorted(register.calendar.items())),
                loans=register.loans,
                providers=tuple(register.providers.values()),
                agreements=tuple(msgspec.structs.replace(one, duties="") for one in register.agreements.values()),
            )
        )
        known = register.prepared[_PREPARED] = Packed(hashlib.sha256(text).hexdigest()[:12], zlib.compress(text))
    packed: Packed = known
    return packed


def unpack(body: bytes, version: str) -> Register:
    """A register that routes as that one did. version: that of the register, as its decisions have it. Raises ValueError: no such data."""
    try:
        text = zlib.decompressobj().decompress(body, LIMIT_BYTES)
        data = msgspec.json.decode(text, type=RoutingData)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"these are no routing data: {error}") from error
    return Register(
        responders=data.responders,
        areas=data.areas,
        shifts=data.shifts,
        calendar=dict(data.calendar),
        loans=data.loans,
        providers=data.providers,
        agreements=data.agreements,
        version=version,
    )
