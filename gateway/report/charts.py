"""Bar charts as SVG text for pages that are printed: no script, no outside file, a title that a screen reader reads."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, FOOT, HEAD = 720, 180, 22, 14  # of the drawing, in its own units


def columns(title: str, bars: Sequence[tuple[str, float]], every: int = 1) -> str:
    """Upright bars, one a label; only each `every`th label is written. All zero: an empty ground, still with its labels."""
    most = max((value for _, value in bars), default=0) or 1
    step = WIDTH / max(1, len(bars))
    room = HEIGHT - FOOT - HEAD
    drawn = []
    for number, (label, value) in enumerate(bars):
        height = room * value / most
        left, top = number * step + step * 0.15, HEIGHT - FOOT - height
        middle = number * step + step / 2
        drawn.append(f'<rect x="{left:.1f}" y="{top:.1f}" width="{step * 0.7:.1f}" height="{height:.1f}" rx="2"/>')
        if value:
            drawn.append(f'<text class="value" x="{middle:.1f}" y="{top - 3:.1f}">{value:g}</text>')
        if number % every == 0:
            drawn.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}">{escape(label)}</text>')
    line = f'<line x1="0" y1="{HEIGHT - FOOT}" x2="{WIDTH}" y2="{HEIGHT - FOOT}"/>'
    return f'<svg class="columns" role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(drawn)}{line}</svg>'


def share(title: str, value: float | None, target: float | None = None) -> str:
    """A bar from nothing to all, with a mark where the target is; nothing counted: an empty one."""
    filled = 0.0 if value is None else max(0.0, min(1.0, value))
    mark = f'<line x1="{target * 200:.1f}" y1="0" x2="{target * 200:.1f}" y2="12"/>' if target is not None else ""
    bar = f'<rect class="ground" width="200" height="12" rx="3"/><rect width="{filled * 200:.1f}" height="12" rx="3"/>'
    return f'<svg class="share" role="img" aria-label="{escape(title)}" viewBox="0 0 200 12">{bar}{mark}</svg>'
