"""A house with one line of mapping profiles, where every device of the ecosystems belongs to a person of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from house import District, House

CLASS = '[[device_class]]\nname = "sensor"\ninterval_s = 3600\ngrace_s = 3600\n'
FEW = {"wearables": 1, "rooms": 1, "buttons": 1, "callers": 1}


@dataclass(frozen=True, slots=True)
class MappedDistrict(District):
    """devices: addresses on the line `mapped`; hubs: those that are nobody's; via: address → hub it speaks through."""

    devices: tuple[str, ...] = ()
    hubs: tuple[str, ...] = ()
    via: tuple[tuple[str, str], ...] = ()

    def person(self, device: str) -> str:
        return f"pm-{self.devices.index(device)}"

    def write(self, folder: Path) -> None:
        District.write(self, folder)
        via = dict(self.via)
        with (folder / "persons.csv").open("a", encoding="utf-8") as persons:
            for number, _ in enumerate(self.devices):
                place = f"{36.34 + number % 41 / 1000:.3f},{102.86 + number % 37 / 1000:.3f}"
                persons.write(f"pm-{number},某人,1940,chaos,home-pm-{number},,{place},,self_caring,general,,,\n")
        table = folder / "devices.csv"
        header, *rows = table.read_text("utf-8").splitlines()
        rows = [f"{row},," for row in rows]
        rows += [f"{device},mapped,{self.person(device)},,,,,,invented,sensor,{via.get(device, '')}" for device in self.devices]
        rows += [f"{hub},mapped,,,chaos,,36.36,102.88,invented,," for hub in self.hubs]
        table.write_text("\n".join([f"{header},class,via", *rows]) + "\n", encoding="utf-8")


class MappedHouse(House):
    """mappings: profiles of the line `mapped`; parameters: of them, name → {parameter: value}."""

    def __init__(
        self,
        folder: Path,
        mappings: tuple[str, ...],
        devices: tuple[str, ...],
        *,
        hubs: tuple[str, ...] = (),
        via: tuple[tuple[str, str], ...] = (),
        parameters: Mapping[str, Mapping[str, str]] = {},
    ) -> None:
        self.mappings = mappings
        self.parameters = parameters
        super().__init__(folder, MappedDistrict(**FEW, devices=devices, hubs=hubs, via=via))

    def write_config(self) -> None:
        super().write_config()
        line = f'[[line]]\nname = "mapped"\ncodec = "mapping"\nbroker = "{self.broker.url}"\n[line.options]\nmappings = {list(self.mappings)}\n'
        for profile, values in self.parameters.items():
            line += f"[line.options.parameters.{profile}]\n" + "".join(f'{name} = "{value}"\n' for name, value in values.items())
        self.config.write_text(self.config.read_text() + line + CLASS)

    def persons(self) -> dict[str, str]:
        """Device → person."""
        assert isinstance(self.district, MappedDistrict)
        return {device: self.district.person(device) for device in self.district.devices}

    def told(self, *kinds: str) -> list[tuple[str, str | None, str | None]]:
        """(kind, device, incident) of the journal's entries of these kinds."""
        return [(str(row["kind"]), json.loads(str(row["facts"])).get("device"), row["incident"]) for row in self.journal() if row["kind"] in kinds]  # type: ignore[misc]

    async def details(self) -> list[dict[str, object]]:
        """Every incident that the console shows, whole."""
        answer = await self.get("/api/v1/changes", since=0, epoch="")
        assert answer is not None
        rows = [item for item in answer.json()["items"] if item["type"] == "incident"]
        found = [await self.get(f"/api/v1/incidents/{row['id']}") for row in rows]
        return [one.json() for one in found if one is not None and one.status_code == 200]
