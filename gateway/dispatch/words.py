"""What people are told in words: a responder by text or by voice (the kinds of alarm in Chinese, as the console's page names them too), and
whoever cried for help on the display of their device."""

from gateway.core.services import SERVICES
from gateway.event import Kind

HELP = "求助"  # whatever has no word of its own here: a call, a complaint, trouble with a device
KINDS_SAID = {
    Kind.SOS: "SOS 求助",
    Kind.MEDICAL: "医疗求助",
    Kind.DURESS: "胁迫报警",
    Kind.FALL: "跌倒",
    Kind.FALL_SUSPECTED: "疑似跌倒",
    Kind.HEART_RATE_ABNORMAL: "心率异常",
    Kind.BREATHING_ABNORMAL: "呼吸异常",
    Kind.TEMP_ABNORMAL: "体温异常",
    Kind.INACTIVITY: "长时间无活动",
    Kind.BED_EXIT: "离床未归",
    Kind.WANDERING: "走失",
    Kind.MISSED_CHECKIN: "未报平安",
    Kind.COLLISION: "碰撞",
    Kind.GENERAL: "未分类报警",
    Kind.HELP: "服务请求",
    Kind.FIRE: "火灾",
    Kind.SMOKE: "烟雾",
    Kind.CO: "一氧化碳",
    Kind.GAS: "燃气泄漏",
    Kind.WATER_LEAK: "漏水",
    Kind.TEMPERATURE: "室温异常",
    Kind.INTRUSION: "闯入",
    Kind.POWER_CUT: "停电",
    Kind.SERVICE_REQUEST: "服务请求",
}


KINDS_IN_ENGLISH = {
    Kind.SOS: "SOS",
    Kind.MEDICAL: "Medical help",
    Kind.DURESS: "Duress",
    Kind.FALL: "Fall",
    Kind.FALL_SUSPECTED: "Possible fall",
    Kind.HEART_RATE_ABNORMAL: "Heart rate",
    Kind.BREATHING_ABNORMAL: "Breathing",
    Kind.TEMP_ABNORMAL: "Body temperature",
    Kind.INACTIVITY: "No activity",
    Kind.BED_EXIT: "Out of bed",
    Kind.WANDERING: "Wandering",
    Kind.MISSED_CHECKIN: "Missed check-in",
    Kind.COLLISION: "Collision",
    Kind.GENERAL: "General alarm",
    Kind.HELP: "Service",
    Kind.FIRE: "Fire",
    Kind.SMOKE: "Smoke",
    Kind.CO: "Carbon monoxide",
    Kind.GAS: "Gas",
    Kind.WATER_LEAK: "Water leak",
    Kind.TEMPERATURE: "Room temperature",
    Kind.INTRUSION: "Intrusion",
    Kind.POWER_CUT: "Power cut",
    Kind.SERVICE_REQUEST: "Service requested",
}


_SERVICES = {one.code: one for one in SERVICES}


def service_said(code: str, language: str = "zh-CN") -> str:
    """The word for an ordinary service; of a district's own, which are named in its language only, the code."""
    known = _SERVICES.get(code)
    return code if known is None else known.name_en if language == "en" else known.name


def kind_said(kind: str, language: str = "zh-CN") -> str:
    """The word for a kind of event."""
    words, other = (KINDS_IN_ENGLISH, "call for help") if language == "en" else (KINDS_SAID, HELP)
    return words.get(Kind(kind), other) if kind in Kind._value2member_map_ else other


# Short enough for the two lines of a watch; no personal data, as anybody may see the display.
TOLD = {
    "taken": {"zh-CN": "12349 已收到您的呼救，请安心等待", "en": "12349 has received your call"},
    "coming": {"zh-CN": "帮助人员正在赶来，请安心等待", "en": "Help is on its way to you"},
    "over": {"zh-CN": "本次呼救已处理完毕", "en": "Your call has been dealt with"},
    "prompt": {"zh-CN": "您还好吗？请按一下按键或走动一下", "en": "Are you well? Please press the button"},
}


def told_in_words(word: str, language: str) -> str:
    """The sentence for one word of drivers.downlink.Word."""
    said = TOLD[word]
    return said.get(language, said["zh-CN"])


# What people are told who are not asked to come: whose elder, when, that somebody cares. Never what happened, an address, a number.
NOTICES = {
    ("family", "alarm"): {"zh-CN": "{name}于{at}发出求助，12349 正在处理。", "en": "{name} called for help at {at}. 12349 is dealing with it."},
    ("family", "coming"): {"zh-CN": "{name}的求助：帮助人员已在路上。", "en": "{name}: help is on its way."},
    ("family", "over"): {
        "zh-CN": "{name}的求助已处理完毕，详情请致电 12349。",
        "en": "{name}: the call for help has been dealt with. Please ring 12349 for more.",
    },
    ("district", "alarm"): {
        "zh-CN": "贵辖区老人{name}在外地（{place}）于{at}发出求助，由当地处理，特此告知。",
        "en": "{name} of your district called for help at {at} while away ({place}). It is dealt with there; for your information.",
    },
    ("district", "over"): {
        "zh-CN": "贵辖区老人{name}在外地（{place}）的求助已处理完毕。",
        "en": "{name} of your district, away ({place}): the call for help has been dealt with.",
    },
    ("responder", "alarm"): {
        "zh-CN": "{place}有一起求助（{at}）尚待处理，请关注。",
        "en": "A call for help in {place} ({at}) is still waiting, for your information.",
    },
    ("responder", "deaf"): {
        "zh-CN": "12349 接警台（{place}）自{at}起没有有声席位，求助无人能听到，请立即联系接警台。",
        "en": "Since {at} nobody at the desk of 12349 ({place}) can hear alarms. Please ring the desk at once.",
    },
}


def notice_in_words(who: str, moment: str, language: str, *, name: str, at: str, place: str) -> str:
    """The sentence for somebody who is only told. who: family, district or responder; what is not known has a word of its own."""
    said = NOTICES.get((who, moment)) or NOTICES["responder", "alarm"]
    sentence = said.get(language, said["zh-CN"])
    other = ("somebody", "an unknown place") if language == "en" else ("一位老人", "地点不详")
    return sentence.format(name=name or other[0], at=at, place=place or other[1])
