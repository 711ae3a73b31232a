"""One scenario alone, in real time: its own district, its own gateway.toml and, by libfaketime, its own hour of the day.

The ten scenarios of the field are played on a fast clock in the tests; here each can be looked at. Time runs as always, but where a scenario
lets hours pass (`pass_time`) the clock of gateway and simulators is moved on.
"""

import secrets
import tomllib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from gateway.clock import utc_now
from gateway.core.duty import CHINA
from gateway.demo.evening import Evening
from gateway.errors import GatewayError

HOUR = "10:00:00"  # of scenarios that name none: everybody is there
TUESDAY = 1

# A twentieth of the deadlines that config/gateway.toml has.
FAST = """
[policy]
agree_s = 15
finish_s = 360
idle_remind_s = 9
idle_escalate_s = 15
service_quiet = ""
[policy.critical]
acknowledge_s = 3
reply_s = 3
repeat_s = 6
arrive_s = 45
order = "at_once"
[policy.major]
acknowledge_s = 3
reply_s = 9
repeat_s = 6
arrive_s = 45
order = "unacknowledged"
[policy.service]
acknowledge_s = 720
reply_s = 30
repeat_s = 720
arrive_s = 180
order = "at_once"
accept_acknowledges = true
"""

CONFIG = """
[gateway]
district = "{district}"
districts = "{folder}/districts"
data = "{folder}"
language = "{language}"
[console]
no_ears_s = 0
listen = "127.0.0.1:{ports[console]}"
[self_test]
enabled = false
[log]
format = "json"
[dispatch.mqtt]
broker = "{broker}"
client_id = "gateway-demo-orders"
[calls]
area_code = "0931"
[[hotline]]
number = "12345"
supplementary = true
[[line]]
name = "wearables"
codec = "generic"
broker = "{broker}"
mandatory = true
[[line]]
name = "station-replies"
codec = "station_reply"
broker = "{broker}"
mandatory = true
[[line]]
name = "pbx"
codec = "hep"
listen = "udp:{ports[hep]}:interface=127.0.0.1"
"""


class Stage(Evening):
    """Plays the scenario of that file (TOML, as `simulate` reads it). It ends by itself, when everything is judged."""

    has_telephones = False

    def __init__(self, folder: Path, districts: Path, file: Path, seconds: float | None, port: int, language: str) -> None:
        super().__init__(folder, districts, seconds, port, language)
        self.scenario = str(file)
        self._told: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
        self._district = str(self._told.get("district", "honggu"))
        self._clock = folder / "clock"
        library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
        passes = any(fault.get("what") == "pass_time" for fault in self._told.get("fault", ()))
        if library is None and (passes or "clock" in self._told):
            raise GatewayError(f"{file.stem} has an hour of its own, and libfaketime is not there: apt-get install faketime")
        if library is not None:
            self.environment = {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

    async def prepare(self, broker: str) -> None:
        """The scenario's register, and a file with what it says the gateway must have."""
        if self.environment:
            at = _coming(str(self._told.get("clock", HOUR)))
            self._clock.write_text(f"{(at - utc_now()).total_seconds():+.0f}\n")
            self._say(f"\n  {self.words['clock'].format(at.astimezone(CHINA).strftime('%Y-%m-%d %H:%M'))}")
        else:
            self._say(f"\n  {self.words['this_hour']}")
        for name in ("city", "province"):
            (self.folder / f"{name}.secret").touch(0o600)
            (self.folder / f"{name}.secret").write_text(secrets.token_hex(32), encoding="utf-8")
        process = await self._start(
            "simulators.cli", self.scenario, "--district", str(self.districts / self._district), "--prepare", str(self._register)
        )
        await process.communicate()
        if process.returncode:
            raise GatewayError(f"{self.scenario}: its district could not be written")
        wanted = str(self._told.get("gateway", "")).replace("{municipal}", f"http://127.0.0.1:{self.ports['city']}")
        told = CONFIG.format(district=self._district, folder=self.folder, broker=broker, ports=self.ports, language=self.language)
        self.config.write_text(told + ("" if "[policy" in wanted else FAST) + wanted, encoding="utf-8")

    def when(self) -> str:
        """As soon as nothing is expected any more."""
        return self.words["judged"] if self.seconds is None else super().when()

    def now(self) -> datetime:
        """With what libfaketime adds."""
        return super().now() + timedelta(seconds=float(self._clock.read_text()) if self.environment else 0.0)

    @property
    def _register(self) -> Path:
        return self.folder / "districts" / self._district

    def targets(self) -> list[str]:
        """The mirror of the telephone, the city, a platform and, with it, the clock."""
        arguments = ["--district", str(self._register), "--hep", f"127.0.0.1:{self.ports['hep']}"]
        arguments += [
            "--municipal",
            f"{self.ports['city']}={self.folder / 'city.secret'}",
            "--platform",
            f"province={self.folder / 'province.secret'}",
        ]
        return [*arguments, "--clock-file", str(self._clock)] if self.environment else arguments


def _coming(clock: str) -> datetime:
    """The Tuesday after next week's Monday at that time of China: no day that is worked otherwise is so near."""
    today = datetime.astimezone(utc_now(), CHINA).date()
    day = today + timedelta(days=(TUESDAY - today.weekday()) % 7 + 7)
    return datetime.combine(day, time.fromisoformat(clock), CHINA).astimezone(UTC)
