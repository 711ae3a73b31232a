"""The register of a district, read as plain CSV data: whom a scenario may let press, call or fall, and who stands above whom.

Reads `persons.csv`, `devices.csv` and `responders.csv`; no code of the gateway. What is read here is never printed.
"""

import csv
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NETWORKED = {
    "Panel DC-09": "ip_panel",
    "Watch 4G": "watch",
    "Terminal 808": "terminal",
    "TS0215A_sos": "zigbee",
    "Street Gateway": "hub",
    "Street Pendant": "street_pendant",
}  # in the model of a device → how its owner can call; a pendant in the street speaks only through its gateway
MEANS = (
    "wearable",
    "panel",
    "button",
    "home_unit",
    "ip_panel",
    "watch",
    "terminal",
    "zigbee",
    "hub",
    "phone",
    "contact",
    "request",
    "platform",
    "desk",
)
FILED = ("request", "platform", "desk")  # those of them that need nothing of their own: somebody else sits at a screen
CALLS = ("phone", "contact")  # those of them that are telephone calls: by themselves, or by a neighbour or relative about them
HOME_UNIT = "Home Unit"  # in the model of a device: it speaks SCAIP, on whichever line


@dataclass(slots=True)
class Member:
    """Somebody (or some place) that can call for help. `phone` in E.164, "" when none is usable; `sharing` people have that number.

    contact: the number of the first one to ring about them; town: the area above their own; areas: their own and all above it.
    """

    person: str | None
    name: str = ""
    phone: str = ""
    sharing: int = 0
    lat: float | None = None
    lon: float | None = None
    wearable: str = ""
    panel: str = ""
    button: str = ""
    home_unit: str = ""
    ip_panel: str = ""
    watch: str = ""
    terminal: str = ""
    zigbee: str = ""
    hub: str = ""
    street_pendant: str = ""
    contact: str = ""
    place: str = ""
    town: str = ""
    areas: tuple[str, ...] = ()
    risks: frozenset[str] = frozenset()

    @property
    def devices(self) -> set[str]:
        """Addresses of all that cries for them by itself."""
        found = (self.wearable, self.panel, self.button, self.home_unit, self.ip_panel, self.watch, self.terminal, self.zigbee)
        return {device for device in found if device}

    def has(self, means: str) -> bool:
        """Can this one call for help in this way, or somebody for them?"""
        return self.person is not None if means in FILED else bool(getattr(self, means))


@dataclass(slots=True)
class District:
    """What a scenario needs to know of a district. rung: number as dialled → responder, of those who get orders by telephone.

    rung_towns: where they are; beside_rung: towns that have one of those as the nearest other, so that it helps out when theirs are busy.
    """

    members: list[Member]
    parents: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    area_code: str = ""
    rung: dict[str, str] = field(default_factory=dict)
    rung_towns: frozenset[str] = frozenset()
    beside_rung: frozenset[str] = frozenset()
    names: dict[str, str] = field(default_factory=dict)
    models: dict[str, dict[str, str]] = field(default_factory=dict)  # means → address → model, of devices on networks
    areas: dict[str, str] = field(default_factory=dict)  # area → the one above it
    middles: dict[str, tuple[float, float]] = field(default_factory=dict)  # area → where its middle is


LINES = {"wearables": "wearable", "corridor-panel": "panel", "corridor-buttons": "button"}


def e164(number: str) -> str:
    """A Chinese number of the register as E.164, "" when it cannot be dialled: mobiles are 1[3-9]…, fixed numbers begin with 2 to 8."""
    digits = "".join(letter for letter in number if letter.isdigit())
    digits = digits.removeprefix("86") if number.strip().startswith("+86") else digits
    if len(digits) == 11 and digits[0] == "1" and digits[1] in "3456789":
        return "+86" + digits
    area = 3 if digits[:2] == "02" or digits[:3] == "010" else 4
    if digits.startswith("0") and len(digits) - area in (7, 8) and digits[area] in "2345678":
        return "+86" + digits[1:]
    return ""


def dialled(number: str) -> str:
    """A Chinese number in E.164 as it is dialled: a mobile as it stands, a landline with 0 and area code."""
    rest = number.removeprefix("+86")
    return rest if len(rest) == 11 and rest[0] == "1" else "0" + rest


def read_district(folder: Path) -> District:
    """Read the CSV files of one district. OSError when a file is missing (contacts.csv may be), KeyError when a column is."""
    areas = list(_rows(folder / "areas.csv")) if (folder / "areas.csv").exists() else []
    towns = {row["id"]: row["parent"] for row in areas}
    members: dict[str, Member] = {}
    sharing: dict[str, int] = {}
    for row in _rows(folder / "persons.csv"):
        phones = [phone for phone in (e164(part) for part in row["phones"].replace(";", "|").replace(" ", "|").split("|")) if phone]
        members[row["id"]] = Member(row["id"], row["name"], phones[0] if phones else "", 0, _number(row["lat"]), _number(row["lon"]))
        members[row["id"]].town = towns.get(row.get("area", ""), "")
        members[row["id"]].areas = tuple(lineage(row.get("area"), towns))
        members[row["id"]].risks = frozenset(row.get("risks", "").split(";")) - {""}
        for phone in phones:
            sharing[phone] = sharing.get(phone, 0) + 1
    for member in members.values():
        member.sharing = sharing.get(member.phone, 0)
    for row in _rows(folder / "contacts.csv") if (folder / "contacts.csv").exists() else ():
        if row["person"] in members and e164(row["phone"]) not in sharing:
            members[row["person"]].contact = members[row["person"]].contact or e164(row["phone"])
    places: list[Member] = []
    models: dict[str, dict[str, str]] = {means: {} for means in NETWORKED.values()}
    for row in _rows(folder / "devices.csv"):
        model = row.get("model", "")
        networked = next((means for text, means in NETWORKED.items() if text in model), None)
        means = "home_unit" if HOME_UNIT in model else networked or LINES.get(row["line"])
        if means is None:
            continue
        if networked is not None:
            models[networked][row["id"]] = model
        owner = members.get(row["person"])
        if owner is None:
            owner = Member(None, place=row["place"])
            places.append(owner)
        if not getattr(owner, means):
            setattr(owner, means, row["id"])
    responders = list(_rows(folder / "responders.csv"))
    about = tomllib.loads((folder / "district.toml").read_text("utf-8")) if (folder / "district.toml").exists() else {}
    rung = {dialled(e164(row["address"] or row["phone"])): row for row in responders if row["channel"] == "phone"}
    rung_towns = frozenset(towns[area] for row in rung.values() for area in row["areas"].split(";") if area in towns)
    return District(
        [*members.values(), *places],
        {row["id"]: row["parent"] for row in responders if row["parent"]},
        {row["id"]: row["kind"] for row in responders},
        {row["id"]: row["channel"] for row in responders},
        str(about.get("area_code", "")),
        {number: row["id"] for number, row in rung.items()},
        rung_towns,
        _beside(rung_towns, {row["id"]: (float(row["lat"]), float(row["lon"])) for row in areas if row["id"] in towns.values() and row["parent"]}),
        {row["id"]: row.get("name", row["id"]) for row in responders},
        models,
        towns,
        {row["id"]: (float(row["lat"]), float(row["lon"])) for row in areas if row.get("lat") and row.get("lon")},
    )


def lineage(area: object, above: Mapping[str, str]) -> list[str]:
    """An area and all above it. above: area → its parent."""
    found: list[str] = []
    name = str(area or "")
    while name and name not in found:
        found.append(name)
        name = above.get(name, "")
    return found


def _beside(rung: frozenset[str], towns: dict[str, tuple[float, float]]) -> frozenset[str]:
    """Towns (id → latitude, longitude) that have a rung one as their nearest; a degree of longitude is four fifths of one of latitude here."""

    def far(one: str, other: str) -> float:
        return math.dist((towns[one][0], towns[one][1] * 0.8), (towns[other][0], towns[other][1] * 0.8))

    return frozenset(one for one in towns if len(towns) > 1 and min((far(one, other), other) for other in towns if other != one)[1] in rung)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None
