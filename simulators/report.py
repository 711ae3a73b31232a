"""The report of a run: what each source sent and had confirmed, what arrived where and how fast, which expectations held. JSON or a table."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

MARKS = {"held": "✓", "failed": "✗", "not_due": "–", "not_checked": "–"}
SHOWN_FAILURES = 50


@dataclass(slots=True)
class Judged:
    """One expectation and its end."""

    label: str
    rule: str
    state: str
    reason: str = ""
    latency_ms: float | None = None


@dataclass(slots=True)
class Report:
    """Everything as plain values. Latencies in ms, from leaving the sender to arriving at the station."""

    scenario: str
    seed: int
    seconds: float
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    stations: dict[str, Any] = field(default_factory=dict)
    operator: dict[str, Any] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    expectations: list[Judged] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Did no expectation fail?"""
        return not any(judged.state == "failed" for judged in self.expectations)

    def counts(self) -> dict[str, int]:
        """How many expectations ended how."""
        found: dict[str, int] = {}
        for judged in self.expectations:
            found[judged.state] = found.get(judged.state, 0) + 1
        return found

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "held": self.held, "counts": self.counts()}, ensure_ascii=False, indent=1)

    def to_text(self) -> str:
        """A table for people. Ids only: no name, number or address."""
        lines = [f"{self.scenario}   seed {self.seed}   {self.seconds:.0f} s", ""]
        for source, facts in self.sources.items():
            lines.append(f"  {source:<12}" + "   ".join(f"{name} {value}" for name, value in facts.items()))
        answers = "  ".join(f"{name} {count}" for name, count in self.stations.get("answers", {}).items()) or "none"
        lines.append(
            f"  {'stations':<12}"
            + "   ".join(f"{name} {self.stations[name]}" for name in ("orders", "repeats", "duplicates", "rung", "keys") if name in self.stations)
        )
        lines.append(f"  {'answers':<12}{answers}")
        if self.operator:
            lines.append(f"  {'operator':<12}" + "   ".join(f"{name} {value}" for name, value in self.operator.items() if value))
        per = sorted(self.stations.get("per_responder", {}).items(), key=lambda item: (-item[1], item[0]))
        if per:
            lines.append(
                f"  {'at':<12}" + "  ".join(f"{name} {count}" for name, count in per[:12]) + (f"  … {len(per)} in all" if len(per) > 12 else "")
            )
        lines.append("")
        lines.append(f"  {'send to order':<16}{'n':>6}{'p50':>9}{'p95':>9}{'max':>9}  ms")
        for source, figures in self.latency_ms.items():
            lines.append(f"  {source:<16}{figures['n']:>6.0f}{figures['p50']:>9.1f}{figures['p95']:>9.1f}{figures['max']:>9.1f}")
        lines.append("")
        groups: dict[tuple[str, str], int] = {}
        for judged in self.expectations:
            if judged.state != "failed":
                groups[judged.rule, judged.state] = groups.get((judged.rule, judged.state), 0) + 1
        for (rule, state), count in sorted(groups.items()):
            lines.append(f"  {MARKS[state]} {rule:<22}{count:>5}  {'' if state == 'held' else state.replace('_', ' ')}".rstrip())
        failed = [judged for judged in self.expectations if judged.state == "failed"]
        lines += [f"  ✗ {judged.rule:<22}{judged.label}: {judged.reason}" for judged in failed[:SHOWN_FAILURES]]
        if len(failed) > SHOWN_FAILURES:
            lines.append(f"  ✗ … and {len(failed) - SHOWN_FAILURES} more")
        lines += [f"  note: {note}" for note in self.notes]
        lines += ["", "every expectation held" if self.held else f"{len(failed)} expectation(s) failed"]
        return "\n".join(lines)


def summary_of(values: list[float]) -> dict[str, float]:
    """n, p50, p95 (nearest rank) and the greatest."""
    ordered = sorted(values)

    def rank(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)

    return {"n": len(ordered), "p50": rank(0.5), "p95": rank(0.95), "max": round(ordered[-1], 2)}
