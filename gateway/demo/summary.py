"""What the demo prints while it runs: lines that stay, and below them a few that are written over once a second."""

import sys
import time
from typing import Any

QUIET_S = 10.0  # between two summaries where nobody looks on


class Summary:
    """Where nobody looks on (no terminal) the summary is one line every QUIET_S."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._lines = 0
        self._is_terminal = sys.stdout.isatty()
        self._told_at = 0.0

    def say(self, text: str) -> None:
        """Something that stays, above the summary."""
        print(self._back() + text, flush=True)
        self._lines = 0

    def show(self, progress: dict[str, Any], open_incidents: int) -> None:
        """Counters of this moment, over those of the last."""
        if not progress.get("ready"):
            return
        if not self._is_terminal and time.monotonic() - self._told_at < QUIET_S:
            return
        self._told_at = time.monotonic()
        words, stations, counts = self._words, progress["stations"], progress["expectations"]
        sources = "   ".join(f"{name} {facts.get('sent', 0)}" for name, facts in progress["sources"].items())
        answers = "  ".join(f"{name} {count}" for name, count in stations.get("answers", {}).items())
        speed = "   ".join(f"{name} {figures['p50']:.1f}" for name, figures in progress["latency_ms"].items())
        lines = [
            f"  {progress['seconds']:5.0f} s   {words['sent']}: {sources}",
            f"            {words['orders']} {stations.get('orders', 0)}   {words['answers']}: {answers or 0}   {words['open']} {open_incidents}",
            f"            {words['p50']}: {speed or '…'}",
            f"            {words['held']} ✓ {counts['held']}   {words['failed']} ✗ {counts['failed']}   {words['waiting']} {counts['waiting']}",
        ]
        if self._is_terminal:
            print(self._back() + "\n".join(lines), flush=True)
            self._lines = len(lines)
        else:
            print(" |".join(line.strip() for line in lines), flush=True)

    def end(self) -> None:
        """Leave what was shown and go on below it."""
        self._lines = 0
        print(flush=True)

    def _back(self) -> str:
        return f"\033[{self._lines}A\033[J" if self._lines else ""
