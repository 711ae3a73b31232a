"""Writes gateway.toml and a district into $BENCH_DATA from the harness's stations and devices: one person a device, all invented.

Deadlines are longer than any run, so that nothing escalates: the benchmark measures the first order of each alarm.
"""

import csv
import os
import socket
from collections.abc import Iterable
from pathlib import Path

DATA = Path(os.environ["BENCH_DATA"])
DISTRICT = DATA / "districts" / "bench"
LONGER_THAN_A_RUN_S = 36_000

PERSON = "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on"
DEVICE = "id,line,person,home,area,place,lat,lon,model"
RESPONDER = "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh"


def rows(variable: str) -> list[list[str]]:
    with Path(os.environ[variable]).open(newline="") as file:
        return list(csv.reader(file))


def write(name: str, header: str, lines: Iterable[str]) -> None:
    (DISTRICT / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def main() -> None:
    DISTRICT.mkdir(parents=True)
    (DATA / "data").mkdir()
    stations, devices = rows("BENCH_STATIONS"), rows("BENCH_DEVICES")
    lat, lon = stations[0][1:3]
    (DISTRICT / "district.toml").write_text(
        f'name = "bench"\narea_code = "0931"\nlat = {lat}\nlon = {lon}\n\n[names]\nzh-CN = "bench"\nen = "bench"\n'
    )
    write("areas.csv", "id,name,kind,parent,lat,lon", [f"bench,bench,district,,{lat},{lon}"])
    write("contacts.csv", "person,name,relation,phone", [])
    write("persons.csv", PERSON, (f"{person},{name},1940,bench,home-{person},,{lat},{lon},,self_caring,general,,," for _, person, name in devices))
    write("devices.csv", DEVICE, (f"{device},wearables,{person},,,,,,bench" for device, person, _ in devices))
    write(
        "responders.csv",
        RESPONDER,
        [
            "desk,desk,desk,,,,,,,100000,console,,,",
            *(f"{station},{station},station,desk,,{at},{on},,,100000,mqtt,,,15" for station, at, on in stations),
        ],
    )
    broker = f"mqtt://{os.environ['BENCH_HOST']}:{os.environ['BENCH_PORT']}"
    pressed = (
        f"acknowledge_s = {LONGER_THAN_A_RUN_S}\nreply_s = {LONGER_THAN_A_RUN_S}\nrepeat_s = {LONGER_THAN_A_RUN_S}\narrive_s = {LONGER_THAN_A_RUN_S}"
    )
    (DATA / "gateway.toml").write_text(f"""
[gateway]
district = "bench"
data = "data"
[console]
accounts = false
listen = "127.0.0.1:{free_port()}"
[self_test]
enabled = false
[log]
format = "json"
[dispatch.mqtt]
broker = "{broker}"
[policy.critical]
order = "at_once"
{pressed}
[[line]]
name = "wearables"
codec = "generic"
broker = "{broker}"
mandatory = true
""")


if __name__ == "__main__":
    main()
