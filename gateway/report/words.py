"""What the pages of reports say, in both languages. Words of kinds, outcomes and reasons are those of the console."""

import json
from functools import cache
from pathlib import Path

LANGUAGES = ("zh-CN", "en")
CONSOLE = Path(__file__).parents[1] / "console" / "static" / "lang"

_WORDS: dict[str, tuple[str, str]] = {
    "month.title": ("服务月报", "Monthly report"),
    "month.month": ("{year} 年 {number} 月", "{name} {year}"),
    "month.of": ("{name} · {month}", "{name} · {month}"),
    "month.how": (
        "全部数字由流水账重新计算；某事发生在哪个月，就计入哪个月。行程时间为估算。",
        "Every figure is counted anew from the journal; what happened in a month counts in that month. Travel times are estimates.",
    ),
    "alarms": ("求助与告警", "Alarms"),
    "alarms.opened": ("事件", "incidents"),
    "alarms.cries": ("收到的呼救", "cries for help heard"),
    "alarms.by_day": ("每日事件数", "Incidents by day"),
    "alarms.by_hour": ("按时段分布", "Incidents by hour of the day"),
    "alarms.by_kind": ("按类别", "By kind"),
    "alarms.by_severity": ("按级别", "By severity"),
    "alarms.by_area": ("按街道（镇）", "By street or town"),
    "levels": ("响应时间", "How fast"),
    "clock.take": ("呼救至有人受理", "raised → somebody has it"),
    "clock.inform": ("呼救至通知响应者", "raised → a responder is informed"),
    "clock.arrive": ("通知至到达现场", "informed → on site"),
    "clock.call_back": ("办结至回访", "resolved → rung back"),
    "counted": ("件数", "counted"),
    "median": ("中位数", "median"),
    "p90": ("九成不超过", "nine of ten within"),
    "profile": ("标准", "profile"),
    "asked": ("要求", "asks"),
    "reached": ("达到", "reached"),
    "circle": ("十五分钟服务圈", "The fifteen-minute circle"),
    "circle.arrivals": ("到达", "arrivals"),
    "circle.within": ("圈内到达", "within the circle"),
    "circle.first": ("首次派单", "first orders"),
    "circle.beyond": ("派单时预计超出", "expected to be beyond it when ordered"),
    "circle.error": ("实际比估算多（中位数，分钟）", "really longer than estimated (median, minutes)"),
    "outcomes": ("处理结果", "Outcomes"),
    "loop": ("闭环", "The closed loop"),
    "loop.resolve": ("办结", "resolved"),
    "loop.call_back": ("回访", "rung back"),
    "loop.waive": ("免回访", "call-back waived"),
    "loop.complain": ("投诉", "complaints"),
    "loop.handle": ("投诉已处理", "complaints handled"),
    "satisfaction": ("回访满意度", "Satisfaction at the call-back"),
    "satisfaction.mean": ("平均分", "mean"),
    "calls": ("电话", "Telephone"),
    "calls.none": ("本月无电话", "no calls in this month"),
    "hotline": ("热线", "hotline"),
    "answered": ("接通", "answered"),
    "offered": ("呼入", "offered"),
    "connect": ("接通率", "connected"),
    "services": ("日常服务需求", "Ordinary services wanted"),
    "unmatched": ("一时无人可提供的需求，按服务与街道（镇）", "Requests for which nobody could be found at some time, by service and street"),
    "responders": ("响应者", "Responders"),
    "responder": ("名称", "name"),
    "accept": ("接单", "accepted"),
    "decline": ("拒单", "declined"),
    "expired": ("未答复", "not answered"),
    "arrived": ("到达", "arrived"),
    "done": ("完成", "done"),
    "failed": ("未送达", "not delivered"),
    "devices": ("设备与线路", "Devices and lines"),
    "escalations": ("升级提醒", "Escalations"),
    "none": ("无", "none"),
    "unknown_area": ("未知区域", "unknown area"),
    "area": ("区域", "area"),
    "number": ("数量", "number"),
    "met": ("达标", "met"),
    "missed": ("未达标", "missed"),
    "coverage.title": ("十五分钟服务圈覆盖", "Coverage of the fifteen-minute circle"),
    "coverage.how": (
        "值守的站点在 {minutes:g} 分钟内能否到达。时间为估算（{travel}），不计当时是否忙碌；地图按方格汇总，不显示住址。",
        "Can somebody on duty be there within {minutes:g} minutes? Times are estimates ({travel}); who is busy at that moment does not count."
        " The map shows squares, nobody's home.",
    ),
    "coverage.straight_line": ("直线距离", "straight line"),
    "coverage.map": ("地图", "Map"),
    "coverage.open": ("{count} 处值守", "{count} on duty"),
    "coverage.good": ("九成以上可及", "nine of ten and more"),
    "coverage.fair": ("半数以上可及", "half and more"),
    "coverage.bad": ("不足半数", "fewer than half"),
    "coverage.few": ("人数过少，不着色", "too few people to colour"),
    "coverage.station": ("值守站点", "on duty"),
    "coverage.targets": ("覆盖目标", "Targets"),
    "coverage.target": ("目标", "target"),
    "coverage.served": ("已覆盖区域", "areas served"),
    "coverage.areas": ("各区域（可及率低者在前）", "Areas, least covered first"),
    "coverage.persons": ("人数", "people"),
    "coverage.without_place": ("无坐标", "without a place"),
    "coverage.farthest": ("最远 {n:.0f} 分钟", "farthest {n:.0f} min"),
    "target.goals_communities": ("总体目标：城市社区", "goals: urban communities"),
    "target.goals_streets": ("总体目标：镇街", "goals: streets and towns"),
    "target.goals_villages": ("总体目标：行政村", "goals: villages"),
    "target.tasks_communities": ("工作任务：城市社区", "tasks: urban communities"),
    "target.tasks_streets": ("工作任务：镇街", "tasks: streets and towns"),
    "target.tasks_villages": ("工作任务：行政村", "tasks: villages"),
    "seconds": ("{n:.0f} 秒", "{n:.0f} s"),
    "minutes": ("{n:.1f} 分钟", "{n:.1f} min"),
    "hours": ("{n:.1f} 小时", "{n:.1f} h"),
}


@cache
def _console(language: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((CONSOLE / f"{language}.json").read_text("utf-8"))
    return words


def say(language: str, word: str, **values: object) -> str:
    """A word of ours."""
    return _WORDS[word][LANGUAGES.index(language)].format(**values)


def label(language: str, group: str, word: str) -> str:
    """What the console calls it; the word itself if it has none."""
    return _console(language).get(f"{group}.{word}", word)
