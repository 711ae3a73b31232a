"""A day and its growth as one SVG, written by hand: no library is wanted to look at it."""

from collections.abc import Sequence

from gateway.capacity.day import MINUTES, Day
from gateway.capacity.model import FULL

COLOURS = {"broker": "#7a7a7a", "edge": "#1f77b4", "bus": "#2ca02c", "core": "#d62728", "database": "#9467bd", "console": "#b8860b"}
WIDTH, HEIGHT, LEFT, TOP, PANEL = 760, 560, 60, 40, 190
RIGHT = WIDTH - 120


def plot(played: Day, grown: dict[str, list[float]], factors: Sequence[float]) -> str:
    """Above: how full the busiest process of each part is through the day. Below: the same processes when everything comes more often."""
    parts = [part for part in COLOURS if part in played.shares]
    high = max(FULL, *(max(played.shares[part]) for part in parts)) * 1.1
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22">Share of a core, busiest process of each part, through a day with a storm</text>',
    ]
    lines += _frame(TOP, high, [f"{hour}:00" for hour in range(0, 25, 4)])
    for part in parts:
        points = [
            (LEFT + minute / MINUTES * (RIGHT - LEFT), TOP + PANEL - share / high * PANEL)
            for minute, share in enumerate(played.shares[part])
            if minute % 2 == 0
        ]
        lines.append(_line(points, COLOURS[part]))
    below = TOP + PANEL + 80
    lines.append(f'<text x="{LEFT}" y="{below - 18}">The same processes, everything so many times as often; above 100 % a part falls behind</text>')
    most = 2.0
    lines += _frame(below, most, [f"{factor:g} ×" for factor in factors])
    for part in parts:
        step = (RIGHT - LEFT) / max(1, len(factors) - 1)
        points = [(LEFT + place * step, below + PANEL - min(share, most) / most * PANEL) for place, share in enumerate(grown[part])]
        lines.append(_line(points, COLOURS[part]))
    for place, part in enumerate(parts):
        y = TOP + 10 + place * 22
        lines.append(
            f'<rect x="{RIGHT + 14}" y="{y}" width="14" height="14" fill="{COLOURS[part]}"/><text x="{RIGHT + 34}" y="{y + 12}">{part}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _frame(top: float, high: float, ticks: Sequence[str]) -> list[str]:
    """Axes, the line above which more is to be added, and what stands below."""
    full = top + PANEL - FULL / high * PANEL
    lines = [
        f'<path d="M{LEFT} {top}V{top + PANEL}H{RIGHT}" fill="none" stroke="#333"/>',
        f'<path d="M{LEFT} {full:.1f}H{RIGHT}" stroke="#999" stroke-dasharray="5 4"/>',
        f'<text x="{RIGHT - 4}" y="{full - 4:.1f}" text-anchor="end" fill="#666">{FULL:.0%}</text>',
        f'<text x="{LEFT - 8}" y="{top + 5}" text-anchor="end">{high:.0%}</text><text x="{LEFT - 8}" y="{top + PANEL}" text-anchor="end">0</text>',
    ]
    step = (RIGHT - LEFT) / max(1, len(ticks) - 1)
    lines += [f'<text x="{LEFT + place * step:.0f}" y="{top + PANEL + 18}" text-anchor="middle">{tick}</text>' for place, tick in enumerate(ticks)]
    return lines


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
