"""An invented district of people living alone, as the files that a gateway reads: Gongshu in its numbers, nobody in it.

10 streets, 8 of them with a centre, 40 stations; of 22,000 people 2,055 are semi-disabled and 787 disabled (domain, S2).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PEOPLE = 22_000
STREETS, CENTRES, STATIONS = 10, 8, 40
SEMI_DISABLED, DISABLED = 2_055 / PEOPLE, 787 / PEOPLE
LAT, LON = 30.32, 120.14


@dataclass(frozen=True, slots=True)
class Home:
    """One person living alone, and the one device that speaks for them. via: the gateway it speaks through, "" for none."""

    person: str
    device: str
    device_class: str = ""
    via: str = ""
    watch: str = ""


def homes(count: int, *, watch: str = "alone", device_class: str = "", via: str = "") -> list[Home]:
    """So many, each behind a door of their own."""
    return [Home(f"pg-{number:05}", f"home-{number:05}", device_class, via, watch) for number in range(count)]


def write_district(
    folder: Path, residents: Sequence[Home], *, name: str = "gongshu", line: str = "wearables", hubs: Sequence[tuple[str, str]] = (), seed: object = 0
) -> None:
    """Write the files of the register into `folder`. hubs: devices that are nobody's (gateways) and their class."""
    chance = random.Random(f"district:{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "district.toml").write_text(
        f'name = "{name}"\narea_code = "0571"\nlat = {LAT}\nlon = {LON}\n\n[names]\nzh-CN = "拱墅（虚构）"\nen = "Gongshu (invented)"\n',
        encoding="utf-8",
    )
    streets = [(f"street-{number}", LAT - 0.06 + 0.012 * number, LON - 0.04 + 0.008 * number) for number in range(STREETS)]
    areas = [f"{name},拱墅区,district,,{LAT},{LON}", *(f"{street},街道,town,{name},{lat:.4f},{lon:.4f}" for street, lat, lon in streets)]
    responders = [
        "desk,desk,desk,,,,,,,100000,console,,,",
        f"district,区中心,district_centre,desk,,{LAT},{LON},,,100000,mqtt,,,40",
        *(f"centre-{n},街道中心,street_centre,district,,{lat:.4f},{lon:.4f},,,100000,mqtt,,,25" for n, (_, lat, lon) in enumerate(streets[:CENTRES])),
    ]
    for number in range(STATIONS):
        street = number % STREETS
        parent = f"centre-{street}" if street < CENTRES else "district"
        _, lat, lon = streets[street]
        lat, lon = lat + chance.uniform(-0.005, 0.005), lon + chance.uniform(-0.005, 0.005)
        responders.append(f"station-{number:02},站,station,{parent},,{lat:.4f},{lon:.4f},,,100000,mqtt,,,15")
    persons, devices = [], []
    for number, home in enumerate(residents):
        area, lat, lon = streets[number % STREETS]
        lat, lon = lat + chance.uniform(-0.006, 0.006), lon + chance.uniform(-0.006, 0.006)
        drawn = chance.random()
        ability = "disabled" if drawn < DISABLED else "semi_disabled" if drawn < DISABLED + SEMI_DISABLED else "self_caring"
        risks = "living_alone;advanced_age" if number % 3 == 0 else "living_alone"
        where = f"{area},flat-{number},,{lat:.5f},{lon:.5f},+8617400{number:06}"
        persons.append(f"{home.person},某人,{1930 + number % 30},{where},{ability},general,{risks},,,{home.watch}")
        devices.append(f"{home.device},{line},{home.person},,,,,,invented,{home.device_class},{home.via}")
    devices += [f"{hub},{line},,,{streets[0][0]},,{streets[0][1]:.4f},{streets[0][2]:.4f},invented,{device_class}," for hub, device_class in hubs]
    tables = {
        "areas": ("id,name,kind,parent,lat,lon", areas),
        "contacts": ("person,name,relation,phone", []),
        "persons": ("id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on,watch", persons),
        "devices": ("id,line,person,home,area,place,lat,lon,model,class,via", devices),
        "responders": ("id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh", responders),
    }
    for table, (header, rows) in tables.items():
        (folder / f"{table}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
