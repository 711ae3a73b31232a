"""What is asked about service levels over HTTP: calls per hotline, clocks of alarms per hotline and area, what runs now."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.config import ProfileConfig
from gateway.console.asking import answered
from gateway.console.guard import reader_of
from gateway.console.seam import House
from gateway.console.views import Json
from gateway.incident_clocks import waiting
from gateway.service_level import Tally


class LevelRoutes:
    """Anybody who sees the console may see how it works; figures only, nobody's name."""

    def __init__(self, house: House) -> None:
        self._house = house

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/service-levels", self.levels)]

    async def levels(self, request: Request) -> Response:
        """Profiles with what is reached in their windows; hotline=, area= choose ("" = all together), absent = every one."""
        house, now = self._house, self._house.now()
        hotline, area, reader = request.query_params.get("hotline"), request.query_params.get("area"), reader_of(request)
        register = house.register
        calls = [
            {"clock": "answer", "hotline": number, "area": "", "area_name": "", **level_row(profile, tally), "connect": tally.connect_share}
            for number, profile, tally in house.call_levels.levels(now)
            if tally.counted and hotline in (None, number) and area in (None, "")
        ]
        areas = house.register.areas
        alarms = [
            {
                **{"clock": level.profile.clock, "hotline": level.hotline, "area": level.area},
                "area_name": areas[level.area].name if level.area in areas else level.area,
                **level_row(level.profile, level.tally),
            }
            for level in house.clocks.levels(now, hotline, area)
            if not reader.areas or (level.area and reader.covers(register, level.area))  # what is of all areas is of those above
        ]
        running = {
            clock: {"count": count, "longest_s": round(longest, 1)}
            for clock, (count, longest) in waiting([one for one in house.incidents.values() if reader.sees(register, one)], now).items()
        }
        return answered({"now": now, "levels": [*calls, *alarms], "running": running})


def level_row(profile: ProfileConfig, tally: Tally) -> Json:
    """One profile: what it asks, what is reached, of how many."""
    targets = [{"within_s": one.within_s, "share": one.share, "reached": tally.share_within(one.within_s)} for one in profile.target]
    beyond = tally.beyond.get(profile.list_beyond_s, 0) if profile.list_beyond_s is not None else None
    return {
        "profile": profile.name,
        "window_s": profile.window_s,
        "counted": tally.counted,
        "met": tally.meets(profile),
        "targets": targets,
        "beyond": beyond,
    }
