"""What `gateway check` says, in Chinese and in English."""

from gateway.core.register import Doubt

NAMED = 10  # ids named in one line; the number is always told, and nobody reads a longer one

WORDS = {
    "zh-CN": {
        ":": "：",
        ",": "，",
        "list": "、",
        "problem": "{} 处错误，配置不能使用：",
        "problems": "{} 处错误，配置不能使用：",
        "warning": "{} 处提醒（不影响运行）：",
        "warnings": "{} 处提醒（不影响运行）：",
        "good": "配置可以使用。",
        "district": "区县",
        "version": "登记版本",
        "persons": "老年人",
        "by_area": "各街道（乡镇）人数",
        "no_area": "未登记所属区域",
        "no_coordinates": "没有坐标的老年人",
        "shared_phones": "多人共用的电话",
        "shared_by": "{} 个号码，涉及 {{}} 人",
        "shared_bys": "{} 个号码，涉及 {{}} 人",
        "devices": "设备",
        "unowned": "无人认领的设备",
        "responders": "响应方",
        "lines": "线路",
        "hotlines": "热线",
        "hand_over": "移交至",
        "also": "另听",
        "telephone": "外呼",
        "dials": "可以拨打，经由线路 {}",
        "mandatory": "必备",
        "channels": "派单通道",
        "off": "未配置",
        "none": "无",
        "areas": "区域",
        "more": "，另有 {} 个",
        "station": "社区驿站",
        "street_centre": "街道（镇）中心",
        "district_centre": "区级中心",
        "provider": "服务商",
        "health_station": "健康医养驿站",
        "doctor": "家庭医生",
        "neighbour": "邻里互助",
        "property": "物业",
        "emergency": "急救",
        "desk": "坐席",
    },
    "en": {
        ":": ": ",
        ",": ", ",
        "list": ", ",
        "problem": "{} fault, the configuration cannot be used:",
        "problems": "{} faults, the configuration cannot be used:",
        "warning": "{} doubt (it does not keep it from running):",
        "warnings": "{} doubts (they do not keep it from running):",
        "good": "The configuration can be used.",
        "district": "District",
        "version": "register version",
        "persons": "Persons",
        "by_area": "Persons by street or town",
        "no_area": "no area registered",
        "no_coordinates": "Persons without coordinates",
        "shared_phones": "Telephones shared by several",
        "shared_by": "{} number, {{}} persons",
        "shared_bys": "{} numbers, {{}} persons",
        "devices": "Devices",
        "unowned": "Devices nobody owns",
        "responders": "Responders",
        "lines": "Lines",
        "hotlines": "Hotlines",
        "hand_over": "hand over to",
        "also": "also listens on",
        "telephone": "Dialling",
        "dials": "possible, over line {}",
        "mandatory": "mandatory",
        "channels": "Ways out for orders",
        "off": "not configured",
        "none": "none",
        "areas": "Areas",
        "more": " and {} more",
        "station": "stations",
        "street_centre": "street or town centres",
        "district_centre": "district centres",
        "provider": "providers",
        "health_station": "health stations",
        "doctor": "doctors",
        "neighbour": "neighbours",
        "property": "property companies",
        "emergency": "emergency services",
        "desk": "desks",
    },
}

# What a Doubt says: for one, for several. {count} of what, {of} what they have in common.
DOUBTS = {
    "zh-CN": {
        "damaged_names": ("{count} 个名称疑似乱码",) * 2,
        "no_channel": ("{count} 个驿站没有派单通道（由坐席电话通知）",) * 2,
        "left_out": ("{count} 个响应方不参与派单，因为没有配置 [dispatch.{of}]",) * 2,
        "no_coordinates": ("{count} 位老年人没有坐标",) * 2,
        "no_contact": ("{count} 位老年人没有联系人",) * 2,
        "registered_twice": ("{count} 台设备重复登记（各行不一致时不认定是谁，由坐席询问）",) * 2,
        "unowned": ("{count} 台设备无人认领",) * 2,
        "strange_line": ("{count} 台设备登记在线路 {of} 上，但配置中没有这条线路",) * 2,
        "no_hotlines": ("{count} 条电话线路没有热线号码，来电都不会受理：请填写 calls.hotlines",) * 2,
        "clear_hand_over": ("{count} 条热线的 hand_over 用 http 明文移交个人信息：请改用 https",) * 2,
    },
    "en": {
        "damaged_names": ("{count} name that looks damaged", "{count} names that look damaged"),
        "no_channel": (
            "{count} station with an empty channel (an operator tells it)",
            "{count} stations with an empty channel (an operator tells them)",
        ),
        "left_out": (
            "{count} responder left out, because [dispatch.{of}] is not configured",
            "{count} responders left out, because [dispatch.{of}] is not configured",
        ),
        "no_coordinates": ("{count} person without coordinates", "{count} persons without coordinates"),
        "no_contact": ("{count} person without a contact", "{count} persons without a contact"),
        "registered_twice": (
            "{count} device registered twice (where the rows differ, nobody is named: the operator asks)",
            "{count} devices registered twice (where the rows differ, nobody is named: the operator asks)",
        ),
        "unowned": ("{count} device nobody owns", "{count} devices nobody owns"),
        "strange_line": (
            "{count} device on line {of!r}, which the configuration does not have",
            "{count} devices on line {of!r}, which the configuration does not have",
        ),
        "no_hotlines": (
            "{count} line of telephony without a hotline, so that no call counts: write calls.hotlines",
            "{count} lines of telephony without a hotline, so that no call counts: write calls.hotlines",
        ),
        "clear_hand_over": (
            "{count} hotline to which hand_over sends personal data in clear: write https://",
            "{count} hotlines to which hand_over sends personal data in clear: write https://",
        ),
    },
}


def say(doubt: Doubt, language: str) -> str:
    """One doubt on one line: file, how many of what, and the ids of the first."""
    words = WORDS[language]
    count = len(doubt.ids)
    text = DOUBTS[language][doubt.what][count > 1].format(count=count, of=doubt.of)
    return f"{doubt.file}{words[':']}{text}{words[':']}{first_of(doubt.ids, language)}"


def first_of(ids: tuple[str, ...], language: str) -> str:
    """The first few, and that there are more."""
    words = WORDS[language]
    return words["list"].join(ids[:NAMED]) + (words["more"].format(len(ids) - NAMED) if len(ids) > NAMED else "")
