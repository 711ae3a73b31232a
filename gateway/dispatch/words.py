"""What a responder is told in words, by text or by voice: the kinds of alarm in Chinese, as the console's page names them too."""

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
}


def kind_said(kind: str) -> str:
    """The word for a kind of event."""
    return KINDS_SAID.get(Kind(kind), HELP) if kind in Kind._value2member_map_ else HELP
