"""Notices that a line has gone quiet: suspect past its own limit, live again with the next byte."""

import asyncio

from drivers.contract import Report
from gateway.clock import monotonic


class SilenceWatch:
    """Stands between a line and its report. `silence_s` None: the line may be silent for ever."""

    def __init__(self, report: Report, silence_s: float | None) -> None:
        self._report = report
        self._silence_s = silence_s
        self._heard_at = monotonic()
        self._is_suspect = False

    def heard(self) -> None:
        """Bytes have arrived."""
        self._heard_at = monotonic()
        self._report.heard()
        if self._is_suspect:
            self._is_suspect = False
            self._report.live()

    async def run(self) -> None:
        """Until cancelled. Nothing is lost by cancelling."""
        if self._silence_s is None:
            await asyncio.Event().wait()
            return
        while True:
            quiet_s = monotonic() - self._heard_at
            if quiet_s < self._silence_s:
                await asyncio.sleep(self._silence_s - quiet_s)
                continue
            if not self._is_suspect:
                self._is_suspect = True
                self._report.suspect(f"silent for {self._silence_s:g} s")
            await asyncio.sleep(self._silence_s)
