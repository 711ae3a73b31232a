"""The month as one HTML page without script: charts, tables, both languages; made to be printed. Figures and names of places, of nobody else."""

from calendar import month_name
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import median

from gateway.config import ProfileConfig
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.incident_clocks import ARRIVE
from gateway.report.charts import columns, share
from gateway.report.figures import ANSWERS, LOOP, NONE, Month
from gateway.report.words import label, say
from gateway.service_level import Outcome, Report

SHOWN = 40  # responders named, those with most orders; the CSV has all

STYLE = """
:root { color-scheme: light; --ink: #1b2430; --soft: #5b6675; --line: #d5dbe3; --bar: #1f6feb; --mark: #b3261e }
body { font: 15px/1.55 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; color: var(--ink); background: #fff }
body { max-width: 820px; margin: 0 auto; padding: 24px }
h1 { font-size: 26px; margin: 0 }
h2 { font-size: 19px; margin: 32px 0 8px; border-bottom: 2px solid var(--line); padding-bottom: 4px }
h3 { font-size: 15px; margin: 18px 0 4px }
p.how, footer { color: var(--soft); font-size: 13px }
.big { display: flex; gap: 32px; flex-wrap: wrap; margin: 12px 0 }
.big b { display: block; font-size: 30px; line-height: 1.1 }
table { border-collapse: collapse; width: 100%; margin: 6px 0 14px }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
th { vertical-align: bottom }
th.n { white-space: normal }
td:first-child { min-width: min(12.5em, 40vw) }
svg { width: 100%; height: auto }
svg.share { width: 160px; height: 10px }
svg rect { fill: var(--bar) }
svg rect.ground { fill: #e8edf3 }
svg line { stroke: var(--soft) }
svg.share line { stroke: var(--mark); stroke-width: 2 }
svg text { font-size: 11px; fill: var(--soft); text-anchor: middle }
svg text.value { fill: var(--ink) }
.missed { color: var(--mark); font-weight: 600 }
section { break-inside: avoid-page }
@media print { body { padding: 0; max-width: none } }
"""


class _Page:
    def __init__(self, month: Month, register: Register, language: str) -> None:
        self.month, self.register, self.language = month, register, language

    def say(self, word: str, **values: object) -> str:
        return escape(say(self.language, word, **values))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        """Cells are HTML already; the first column is text, the others numbers."""
        body = "".join("<tr>" + "".join(f"<td{' class=n' if n else ''}>{cell}</td>" for n, cell in enumerate(row)) + "</tr>" for row in rows)
        if not body:
            return f"<p>{self.say('none')}</p>"
        head = "".join(f'<th scope="col"{" class=n" if n else ""}>{one}</th>' for n, one in enumerate(heads))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def counted(self, title: str, group: str, counter: Mapping[str, int]) -> str:
        """A table of words and how often, most first."""
        rows = sorted(counter.items(), key=lambda one: (-one[1], one[0]))
        return self.table([title, self.say("number")], ((escape(label(self.language, group, word)), f"{number:,}") for word, number in rows))

    def area(self, name: str) -> str:
        if name == NONE:
            return self.say("unknown_area")
        area = self.register.areas.get(name)
        return escape(area.name if area is not None else name)

    def time(self, seconds: float | None) -> str:
        if seconds is None:
            return "–"
        if seconds < 120:
            return self.say("seconds", n=seconds)
        return self.say("minutes", n=seconds / 60) if seconds < 7200 else self.say("hours", n=seconds / 3600)


def page(
    month: Month, calls: Report | None, register: Register, profiles: Sequence[ProfileConfig], hotlines: Mapping[str, str], language: str
) -> str:
    """The whole page. hotlines: number → name; calls None: they belong to no area."""
    one = _Page(month, register, language)
    name = register.names.get(language) or register.name
    if month.area:
        name = f"{name} {register.areas[month.area].name}"
    begun = month.since.astimezone(CHINA)
    title = one.say("month.of", name=name, month=one.say("month.month", year=begun.year, number=begun.month, name=month_name[begun.month]))
    parts = (
        _alarms(one),
        _levels(one, profiles),
        _circle(one),
        _loop(one),
        *([_calls(one, calls, hotlines)] if calls is not None else []),
        _services(one),
        _responders(one),
        _devices(one),
    )
    asked = f"gateway report month {begun:%Y-%m}" + (f" --area {escape(month.area)}" if month.area else "")
    sections = "".join(f"<section>{part}</section>" for part in parts)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{one.say("month.title")} {title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><header><h1>{one.say("month.title")}</h1>'
        f'<p>{title}</p><p class="how">{one.say("month.how")}</p></header><main>{sections}</main>'
        f"<footer>{asked} · {escape(register.version)}</footer></body></html>\n"
    )


def _alarms(one: _Page) -> str:
    month = one.month
    days = (month.until - month.since).days
    by_day = [(str(day), float(month.by_day[day])) for day in range(1, days + 1)]
    by_hour = [(str(hour), float(month.by_hour[hour])) for hour in range(24)]
    areas = sorted(month.by_area.items(), key=lambda row: (-row[1], row[0]))
    return (
        f"<h2>{one.say('alarms')}</h2><div class=big><div><b>{month.alarms:,}</b>{one.say('alarms.opened')}</div>"
        f"<div><b>{month.cries:,}</b>{one.say('alarms.cries')}</div></div>"
        f"<h3>{one.say('alarms.by_day')}</h3>{columns(say(one.language, 'alarms.by_day'), by_day, 2)}"
        f"<h3>{one.say('alarms.by_hour')}</h3>{columns(say(one.language, 'alarms.by_hour'), by_hour, 2)}"
        f"{one.counted(one.say('alarms.by_kind'), 'kind', month.by_kind)}{one.counted(one.say('alarms.by_severity'), 'severity', month.by_severity)}"
        f"{one.table([one.say('alarms.by_area'), one.say('number')], ((one.area(area), f'{number:,}') for area, number in areas))}"
    )


def _levels(one: _Page, profiles: Sequence[ProfileConfig]) -> str:
    month = one.month
    clocks = (
        (one.say(f"clock.{name}"), f"{len(clock.seconds):,}", one.time(clock.median_s), one.time(clock.p90_s)) for name, clock in month.clocks.items()
    )
    heads = [one.say("levels"), one.say("counted"), one.say("median"), one.say("p90")]
    rows = []
    for profile in profiles:
        for target in profile.target:
            reached = month.share(profile, target.within_s)
            shown = "–" if reached is None else f"{reached * 100:.1f} %"
            missed = reached is not None and reached < target.share
            bar = share(f"{profile.name} {shown}", reached, target.share)
            asked = f"{target.share * 100:g} % ≤ {one.time(target.within_s)}"
            rows.append(
                (
                    f"{escape(profile.name)}<br><small>{one.say(f'clock.{profile.clock}')}</small>",
                    asked,
                    f"<span{' class=missed' if missed else ''}>{shown}</span>",
                    bar,
                )
            )
    named = one.table([one.say("profile"), one.say("asked"), one.say("reached"), ""], rows)
    return f"<h2>{one.say('levels')}</h2>{one.table(heads, clocks)}{named}"


def _circle(one: _Page) -> str:
    month = one.month
    arrivals = month.clocks[ARRIVE]
    error = median(month.travel_error_min) if month.travel_error_min else None
    figures = (
        (one.say("circle.arrivals"), f"{len(arrivals.seconds):,}"),
        (one.say("circle.within"), f"{arrivals.within(month.circle_s):,}"),
        (one.say("circle.first"), f"{month.ordered:,}"),
        (one.say("circle.beyond"), f"{month.beyond:,}"),
        (one.say("circle.error"), "–" if error is None else f"{error:+.1f}"),
    )
    rows = []
    for area, clock in sorted(month.arrivals_by_area.items()):
        part = clock.within(month.circle_s) / len(clock.seconds)
        rows.append((one.area(area), f"{len(clock.seconds):,}", f"{part * 100:.0f} %", share(f"{part:.0%}", part)))
    by_area = one.table([one.say("area"), one.say("circle.arrivals"), one.say("circle.within"), ""], rows)
    return f"<h2>{one.say('circle')}</h2>{one.table([one.say('circle'), one.say('number')], figures)}{by_area}"


def _loop(one: _Page) -> str:
    month = one.month
    nodes = ((one.say(f"loop.{kind}"), f"{month.loop[kind]:,}") for kind in LOOP)
    marks = [(str(mark), float(month.satisfaction[mark])) for mark in range(1, 6)]
    mean = month.mean_satisfaction
    shown = "–" if mean is None else f"{mean:.2f}"
    return (
        f"<h2>{one.say('loop')}</h2>{one.table([one.say('loop'), one.say('number')], nodes)}"
        f"{one.counted(one.say('outcomes'), 'outcome', month.outcomes)}"
        f"<h3>{one.say('satisfaction')} · {one.say('satisfaction.mean')} {shown}</h3>{columns(say(one.language, 'satisfaction'), marks)}"
    )


def _calls(one: _Page, calls: Report, hotlines: Mapping[str, str]) -> str:
    rows = []
    for number, tally in calls.hotlines.items():
        offered = sum(tally.outcomes.values())
        if offered:
            connect = tally.connect_share
            called = escape(f"{number} {hotlines.get(number, '')}".strip())
            rows.append((called, f"{offered:,}", f"{tally.outcomes[Outcome.ANSWERED]:,}", "–" if connect is None else f"{connect * 100:.1f} %"))
    heads = [one.say("hotline"), one.say("offered"), one.say("answered"), one.say("connect")]
    return f"<h2>{one.say('calls')}</h2>" + (one.table(heads, rows) if rows else f"<p>{one.say('calls.none')}</p>")


def _services(one: _Page) -> str:
    unmatched = sorted(one.month.unmatched.items(), key=lambda row: (-len(row[1]), row[0]))
    rows = ((escape(label(one.language, "service", service)), one.area(area), f"{len(requests):,}") for (service, area), requests in unmatched)
    heads = [one.say("services"), one.say("area"), one.say("number")]
    return (
        f"<h2>{one.say('services')}</h2>{one.counted(one.say('services'), 'service', one.month.services)}"
        f"<h3>{one.say('unmatched')}</h3>{one.table(heads, rows)}"
    )


def _responders(one: _Page) -> str:
    busy = sorted(one.month.responders.items(), key=lambda row: (-sum(row[1].answers.values()), row[0]))[:SHOWN]
    rows = []
    for name, did in busy:
        responder = one.register.responders.get(name)
        shown = escape(responder.name if responder is not None else name)
        rows.append((shown, *(f"{did.answers[kind]:,}" for kind in ANSWERS), f"{did.in_circle}/{did.arrived}"))
    heads = [one.say("responder"), *(one.say(kind.value) for kind in ANSWERS), one.say("circle.within")]
    return f"<h2>{one.say('responders')}</h2>{one.table(heads, rows)}"


def _devices(one: _Page) -> str:
    return (
        f"<h2>{one.say('devices')}</h2>{one.counted(one.say('devices'), 'kind', one.month.devices)}"
        f"<h2>{one.say('escalations')}</h2>{one.counted(one.say('escalations'), 'reason_word', one.month.escalations)}"
    )
