"""Reads areas.csv and responders.csv: the tree of places and the tree of those who can be sent."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gateway import register_cells as cells
from gateway.core.capability import staff_of_street
from gateway.core.register import Area, AreaKind, Responder, ResponderKind
from gateway.csv_file import CellFault, Column, FileFaults
from gateway.register_reading import POSITION, Reading, Rows, Share, build, check_parents

CHANNELS = ("mqtt", "webhook", "phone", "sip", "sms", "modem", "email", "robot", "console")
MODES = ("foot", "bicycle", "car")


def read_areas(reading: Reading) -> "Rows[Area]":
    """areas.csv: the tree of places."""
    ident = reading.share(cells.identifier)
    faults, rows = reading.rows(
        "areas.csv",
        {
            "id": Column(ident, True),
            "name": Column(cells.plain, True),
            "kind": Column(cells.word(AreaKind), True),
            "parent": Column(ident),
            **POSITION,
            "elder_share": Column(cells.number(0, 1)),
        },
    )
    areas = build(Area, rows, faults, {"id": "", "name": "", "kind": AreaKind.GRID})
    check_parents(areas, faults, "area")
    reading.warn("damaged_names", faults, (area.id for _, area in areas if cells.is_name_damaged(area.name)))
    return areas


def responder_columns(share: Share, phone: Any) -> dict[str, Column]:
    """responders.csv."""
    ident = share(cells.identifier)
    return {
        "id": Column(ident, True),
        "name": Column(cells.plain, True),
        "kind": Column(cells.word(ResponderKind), True),
        "parent": Column(ident),
        "areas": Column(cells.several(ident)),
        **POSITION,
        "skills": Column(cells.several(ident)),
        "hours": Column(cells.hours),
        "capacity": Column(cells.whole(0, 100_000)),
        "channel": Column(_one_of(CHANNELS)),
        "address": Column(lambda text: phone(text) if cells.NUMBER_LIKE.fullmatch(text) else cells.way(text)),
        "phone": Column(lambda text: text if cells.EMERGENCY.fullmatch(text) else phone(text)),
        "speed_kmh": Column(cells.number(1, 200)),
        "mode": Column(_one_of(MODES)),
        "beds": Column(cells.whole(0, 100_000)),
        "elders": Column(cells.whole(0, 10_000_000)),
        "label": Column(cells.plain),
    }


def read_responders(reading: Reading, phone: Any, areas: Mapping[str, Area]) -> "Rows[Responder]":
    """responders.csv: who can be sent. A street centre without a capacity has the staff that its street must have (domain 2.13)."""
    faults, rows = reading.rows("responders.csv", responder_columns(reading.share, phone))
    responders = []
    silent = []
    for line, responder in build(
        Responder, _with_capacity(rows, areas), faults, {"id": "", "name": "", "kind": ResponderKind.STATION, "channel": ""}
    ):
        if not responder.channel:
            if responder.kind is ResponderKind.STATION:
                silent.append(responder.id)
            responder = msgspec.structs.replace(responder, channel="console")
        _check_way(line, responder, faults)
        if cells.EMERGENCY.fullmatch(responder.phone) and responder.kind is not ResponderKind.EMERGENCY:
            faults.add(line, "phone", "is an emergency number", "only a responder of kind emergency may have it")
        for area in responder.areas:
            if reading.lacks("areas.csv", areas, area):
                faults.add(line, "areas", "there is no area with this id", "add it to areas.csv or correct the id")
        responders.append((line, responder))
    check_parents(responders, faults, "responder", reading.blame)
    if not faults.count and not any(responder.kind is ResponderKind.DESK for _, responder in responders):
        faults.add(0, "kind", "no responder is the desk", "add a row of kind desk and channel console: every chain of escalation ends there")
    reading.warn("damaged_names", faults, (one.id for _, one in responders if cells.is_name_damaged(one.name)))
    reading.warn("no_channel", faults, silent)
    return responders


def _with_capacity(rows: Iterable[tuple[int, dict[str, Any]]], areas: Mapping[str, Area]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row in rows:
        if "capacity" not in row and row.get("kind") is ResponderKind.STREET_CENTRE:
            shares = [areas[area].elder_share for area in row.get("areas", ()) if area in areas]
            row["capacity"] = max((staff_of_street(share) for share in shares), default=1)
        yield line, row


NUMBERED = {"phone": "is rung with", "sms": "gets", "modem": "gets"}  # channels that lead to a number: address, or else phone


def _check_way(line: int, responder: Responder, faults: FileFaults) -> None:
    """Can an order reach it by its channel?"""
    address = responder.address
    if responder.channel == "webhook" and not address.startswith("http"):
        what = "is no web address" if address else "is empty"
        faults.add(line, "address", what, "write the web address that takes orders, or another channel")
    elif responder.channel == "sip" and not address.startswith("sip"):
        what = "is no SIP address" if address else "is empty"
        faults.add(line, "address", what, "write sip:USER@HOST, to which the order is sent as a text, or another channel")
    elif responder.channel == "email" and "@" not in address:
        what = "is no mail address" if address else "is empty"
        faults.add(line, "address", what, "write NAME@HOST, to which orders are sent, or another channel")
    elif responder.channel == "robot" and not cells.ROBOT.fullmatch(address):
        what = "is no name of a robot" if address else "is empty"
        faults.add(line, "address", what, "write the name of a [[dispatch.robot]], or another channel")
    elif responder.channel in NUMBERED and not (responder.phone or address):
        faults.add(line, "phone", "is empty", f"write the number that {NUMBERED[responder.channel]} orders, or another channel")
    elif responder.channel in NUMBERED and address and not cells.NUMBER_LIKE.fullmatch(address):
        remedy = f"write the number that {NUMBERED[responder.channel]} orders, or leave it empty for that under phone"
        faults.add(line, "address", "is no telephone number", remedy)


def reachable(reading: Reading, responders: list[Responder], channels: Collection[str] | None) -> list[Responder]:
    """Without those that no configured channel reaches; who has one of them above them is moved up to the next."""
    if channels is None:
        return responders
    left_out = {one.id: one for one in responders if one.channel not in channels}
    path = reading.folder / "responders.csv"
    for channel in sorted({one.channel for one in left_out.values()}):
        ids = (one.id for one in left_out.values() if one.channel == channel)
        reading.warn("left_out", FileFaults(path), ids, channel)
    kept = []
    for one in responders:
        if one.id not in left_out:
            parent = one.parent
            while parent in left_out:
                parent = left_out[parent].parent
            kept.append(one if parent == one.parent else msgspec.structs.replace(one, parent=parent))
    return kept


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise CellFault("is not a word of the list", f"write one of {', '.join(words)}")
        return words[words.index(text)]

    return parse
