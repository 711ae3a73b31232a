"""One street with every family of devices: which stands on which line, what a register must say of them, and the file that says what happens."""

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from simulators.trackers.fleet import identity_of

STREETS = Path(__file__).parent / "scenarios" / "streets"
FAULTS = ("noise", "unplug", "storm", "intruder")
KEYS = {"dc09-aes128": bytes(range(16)).hex(), "dc09-aes192": bytes(range(24)).hex(), "dc09-aes256": bytes(range(32)).hex()}


@dataclass(frozen=True, slots=True)
class Plot:
    """A line of the gateway and what hangs on it.

    wire: serial (we make a pseudo-terminal), tcp or udp (we dial the gateway), served (the gateway dials us).
    promise: confirmed (only what was answered counts), held (the panel keeps the state until it is asked), written (what went onto a sound wire).
    noisy: bits may flip, for its protocol has a check.
    """

    line: str
    codec: str
    wire: str
    promise: str = "confirmed"
    noisy: bool = False


PLOTS = {
    plot.line: plot
    for plot in (
        Plot("dc09-tcp", "sia_dc09", "tcp", noisy=True),
        Plot("dc09-aes128", "sia_dc09", "udp", noisy=True),
        Plot("dc09-aes192", "sia_dc09", "tcp", noisy=True),
        Plot("dc09-aes256", "sia_dc09", "udp", noisy=True),
        Plot("contact-id", "contact_id", "serial"),
        Plot("surgard", "surgard", "serial"),
        Plot("system3", "surgard", "served"),
        Plot("espa-station", "espa444", "serial", noisy=True),
        Plot("espa-control", "espa444", "serial", noisy=True),
        Plot("ness", "ness", "serial", "held", noisy=True),
        Plot("elk", "elk", "served", "held", noisy=True),
        Plot("alarmdecoder", "alarmdecoder", "serial", "written"),
        Plot("rflink", "ascii_button", "serial", "written"),
        Plot("tap", "tap", "tcp", noisy=True),
        Plot("comp2", "comp2", "serial", "written"),
        Plot("watches", "watch3g", "tcp"),
        Plot("pendants", "gt06", "tcp", noisy=True),
        Plot("terminals", "jt808", "tcp", noisy=True),
        Plot("terminals-udp", "jt808", "udp", noisy=True),
    )
}


def address(line: str, number: int) -> str:
    """What the nth device of a line is called on the register."""
    if line.startswith("dc09") or line in ("surgard", "system3", "contact-id"):
        return f"{1000 + 1000 * list(PLOTS).index(line) % 8000 + number:04}:005"
    if line in ("ness", "elk"):
        return f"{'0' if line == 'ness' else 'elk'}:{number + 1:03}"
    if line == "rflink":
        return f"{0xA00000 + number:06X}:1"
    if line in ("espa-station", "espa-control", "tap", "comp2"):
        return f"{20_000 + 1000 * list(PLOTS).index(line) + number}"
    if line == "alarmdecoder":
        return f"{100_000 + number:07}"
    family = {"watches": "watch3g", "pendants": "gt06"}.get(line, "jt808")
    offset = 5_000 if line == "terminals-udp" else 0
    return identity_of(family, offset + number).lstrip("0" if family == "jt808" else "")


def person(line: str, number: int) -> str:
    """Who owns it: everybody of the street has one device."""
    return f"{line}-{number}"


def options_of(line: str, count: int, quirks: tuple[str, ...] = ()) -> str:
    """The table `[line.options]` of a gateway that is to understand this street, with what it must be told of the devices' quirks."""
    zones = "\n".join(f'"{n + 1}" = "sos"' for n in range(count))
    if line.startswith("dc09"):
        habits = f'key = "{KEYS[line]}"\nmust_encrypt = true\n' if line in KEYS else ""
        habits += "decimal_length = true\n" if "decimal_length" in quirks else ""
        accounts = "\n".join(f"[line.options.accounts.{address(line, n).partition(':')[0]}]\n{habits}" for n in range(count) if habits)
        return f"[line.options]\nstrict = false\n{accounts}"
    found = {
        "espa-station": f'[line.options]\ndefault = "sos"\nlenient = {str("no_own_enquiry" in quirks).lower()}',
        "espa-control": "[line.options]\nrole = \"control\"\npoll_s = 0.2\nstations = [\"2\"]",
        "surgard": "[line.options]\nheartbeat_s = 30",
        "system3": "[line.options]\nheartbeat_s = 30",
        "ness": f"[line.options]\nask_s = 2\n[line.options.zones]\n{zones}",
        "elk": f"[line.options]\nask_s = 2\n[line.options.zones]\n{zones}",
        "alarmdecoder": "[line.options.learned]\n" + "\n".join(f'"{address(line, n)}:1" = "sos"' for n in range(count)),
        "rflink": "[line.options.learned]\n" + "\n".join(f'"{address(line, n)}" = "sos"' for n in range(count)),
        "tap": "[line.options]\ndefault = \"sos\"",
        "comp2": "[line.options]\ndefault = \"sos\"",
    }  # fmt: skip
    return found.get(line, "")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many devices on a line; each presses once. then: what a share of them says after that (restore, cancel, battery)."""

    line: str
    devices: int = 4
    quirks: tuple[str, ...] = ()


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """noise: garbage and flipped bits; unplug: the cable is out; storm: all links are cut at once; intruder: a stranger on the port.

    Seconds of the scenario.
    """

    what: str
    line: str
    at: float = 0.0
    lasts: float = 1.0
    garbage: float = 0.3
    flip: float = 0.2


class StreetPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. Presses fall into the first `seconds`; what is confirmed by then must reach a station `within` seconds after."""

    name: str
    about: str = ""
    seed: int = 1
    seconds: float = 10.0
    within: float = 60.0
    again: float = 0.3  # share of devices that say something more: restore, cancel, battery
    part: tuple[Part, ...] = ()
    fault: tuple[Fault, ...] = ()

    def count(self, line: str) -> int:
        return sum(part.devices for part in self.part if part.line == line)

    def larger(self, factor: int) -> "StreetPlan":
        """The same street with more houses; no more than a panel of 16 zones has on lines of one panel."""
        return msgspec.structs.replace(
            self,
            part=tuple(
                msgspec.structs.replace(part, devices=min(part.devices * factor, 16 if part.line in ("ness", "elk") else 900)) for part in self.part
            ),
        )

    def times(self) -> list[tuple[float, str, int]]:
        """(seconds, line, number) of every press, in order."""
        chance = random.Random(f"street:{self.seed}")
        return sorted((chance.uniform(0, self.seconds), part.line, number) for part in self.part for number in range(part.devices))


class StreetError(ValueError):
    """The file cannot be played; the text names file, key and remedy."""


def load_street(path: Path) -> StreetPlan:
    """Read one file. StreetError for what cannot be played."""
    try:
        plan = msgspec.convert(tomllib.loads(path.read_text("utf-8")), StreetPlan)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise StreetError(f"{path.name}: {error}. Correct it") from None
    entries: list[Part | Fault] = [*plan.part, *plan.fault]
    for number, entry in enumerate(entries, 1):
        if entry.line not in PLOTS:
            raise StreetError(f"{path.name}: entry {number}: line {entry.line!r} is none of {', '.join(PLOTS)}")
    for fault in plan.fault:
        if fault.what not in FAULTS:
            raise StreetError(f"{path.name}: fault {fault.what!r} is none of {', '.join(FAULTS)}")
    return plan


def write_register(plan: StreetPlan, folder: Path, stations: Mapping[str, tuple[float, float]]) -> None:
    """Everybody of the street, all invented: persons.csv, devices.csv and what else a district needs."""
    folder.mkdir(parents=True, exist_ok=True)
    owners = [(person(part.line, n), part.line, address(part.line, n)) for part in plan.part for n in range(part.devices)]
    (folder / "district.toml").write_text('name = "street"\narea_code = "0931"\nlat = 36.36\nlon = 102.88\n\n[names]\nzh-CN = "街"\nen = "street"\n')
    tables = {
        "areas": ("id,name,kind,parent,lat,lon", ["street,street,district,,36.36,102.88"]),
        "contacts": ("person,name,relation,phone", []),
        "persons": (
            "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on",
            [f"{who},某人,1940,street,home-{who},,36.360,102.880,,self_caring,general,,," for who, _, _ in owners],
        ),
        "devices": ("id,line,person,home,area,place,lat,lon,model", [f"{device},{line},{who},,,,,,invented" for who, line, device in owners]),
        "responders": (
            "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh",
            [
                "desk,desk,desk,,,,,,,100000,console,,,",
                "centre,centre,district_centre,desk,,36.36,102.88,,,100000,mqtt,,,40",
                *(f"{name},{name},station,centre,,{lat},{lon},,,100000,mqtt,,,15" for name, (lat, lon) in stations.items()),
            ],
        ),
    }
    for name, (header, rows) in tables.items():
        (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
