"""What an installation is to carry, and how it spreads over the day."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from gateway.toml_file import Fault

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
HOURS = 24
# Shares of a day's alarms by hour from midnight, in thousandths: few at night, most when people rise, and again in the evening. Assumed.
ALARMS_BY_HOUR = (22, 18, 16, 16, 20, 32, 52, 62, 62, 58, 54, 50, 46, 40, 38, 40, 44, 50, 58, 62, 58, 46, 32, 24)


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A province by default. Everything else is derived.

    elders, devices   persons and devices in the registers; devices 0: one each
    heartbeats_h      signs of life an hour, spread evenly: devices do not sleep
    alarms_day        cries, presses and falls a day, by hour of day as people live
    storm_min         alarms a minute in the worst minutes: an earthquake, a blackout, a faulty firmware
    storm_minutes     how long such a storm lasts; storm_at: its hour of day
    calls_day         calls to the hotlines
    consoles          operators' pages open at once
    open_hours        from a cry until its incident is closed, on the average; open_incidents 0: follows from it
    retention_years   how long the journal is kept
    shards            [bus] shards
    """

    elders: Count = 4_000_000
    devices: Count = 0
    heartbeats_h: Count = 20_000_000
    alarms_day: Count = 40_000
    storm_min: Count = 2_000
    storm_minutes: Annotated[int, msgspec.Meta(ge=0, le=60)] = 10
    storm_at: Annotated[int, msgspec.Meta(ge=0, le=23)] = 19
    calls_day: Count = 20_000
    consoles: Count = 200
    open_hours: Annotated[float, msgspec.Meta(gt=0, le=720)] = 2.0
    open_incidents: Count = 0
    retention_years: Annotated[float, msgspec.Meta(gt=0, le=100)] = 3.0
    shards: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8

    @property
    def registered(self) -> float:
        """Persons with their device each; further devices count as half a person, as they have no name, address and contacts."""
        return self.elders + max(0, (self.devices or self.elders) - self.elders) / 2

    @property
    def heartbeats_s(self) -> float:
        return self.heartbeats_h / 3600

    def alarms_s(self, hour: int) -> float:
        """Without the storm."""
        return self.alarms_day * ALARMS_BY_HOUR[hour] / sum(ALARMS_BY_HOUR) / 3600

    @property
    def storm_s(self) -> float:
        """Alarms a second in the storm, those of the hour in it."""
        return max(self.storm_min / 60, self.alarms_s(self.storm_at))

    @property
    def worst_alarms_s(self) -> float:
        """The most there ever is."""
        return max(self.storm_s if self.storm_minutes else 0.0, *(self.alarms_s(hour) for hour in range(HOURS)))

    @property
    def open_at_once(self) -> float:
        """Incidents open at the worst moment (Little's law), a storm's on top."""
        if self.open_incidents:
            return float(self.open_incidents)
        return max(self.alarms_s(hour) for hour in range(HOURS)) * 3600 * self.open_hours + self.storm_min * self.storm_minutes


def load_faults(load: Load) -> Iterator[Fault]:
    """What must hold beyond the types."""
    if not load.elders:
        yield ("elders",), "is 0", "write how many persons are in the registers"
    if load.storm_min and not load.storm_minutes:
        yield ("storm_minutes", "storm_min"), "is 0 beside storm_min", "write how long a storm lasts, or storm_min = 0"
