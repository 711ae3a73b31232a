"""What the numbers of SCAIP mean, in English and Chinese, and which kind of ours they are. Tables only.

Source: scaip.md, "Code tables" (numbers as open gateways use them; the standard itself, SS 91100, was not at hand). Codes are compared as
numbers: 3, 03 and 0003 are one. A number that is missing here is shown as it came.
"""

from enum import Enum

import msgspec

from gateway.event import Kind


class DeviceType(msgspec.Struct, frozen=True):
    """`dty`. kind: what an alarm of such a device is; is_unit: the home unit itself, so a reset of it says nothing about which alarm."""

    en: str
    zh: str
    kind: Kind = Kind.GENERAL
    is_unit: bool = False


class Effect(Enum):
    """What a status code does.

    ALARM: a cry, of the device type's kind. DOUBT: a cry when the message says it is an alarm (ME), else only noted. RAISE, CLEAR: a fault
    or condition of the kind beside it begins or ends; CLEAR without a kind ends whatever the device type stands for. TEST, NOTE: as they say.
    """

    ALARM = "alarm"
    DOUBT = "doubt"
    RAISE = "raise"
    CLEAR = "clear"
    TEST = "test"
    NOTE = "note"


class Status(msgspec.Struct, frozen=True):
    """`stc`."""

    en: str
    zh: str
    effect: Effect
    kind: Kind | None = None


def _types(*rows: tuple[int, str, str] | tuple[int, str, str, Kind]) -> dict[int, DeviceType]:
    units = (0, 1, 2, 45, 48)
    return {row[0]: DeviceType(row[1], row[2], row[3] if len(row) == 4 else Kind.GENERAL, row[0] in units) for row in rows}


DEVICE_TYPES: dict[int, DeviceType] = _types(
    (0, "unknown", "未知"),
    (1, "undefined", "未定义"),
    (2, "local unit and controller", "主机", Kind.SOS),
    (3, "personal trigger", "随身呼叫器", Kind.SOS),
    (4, "fixed trigger", "固定呼叫按钮", Kind.SOS),
    (5, "fall detector", "跌倒探测器", Kind.FALL),
    (6, "personal attack trigger", "人身侵害报警按钮", Kind.DURESS),
    (7, "panic button", "紧急按钮", Kind.SOS),
    (8, "duty switch", "值班开关"),
    (9, "duty switch", "值班开关"),
    (10, "activity detector", "活动探测器", Kind.INACTIVITY),
    (11, "pill dispenser", "药盒", Kind.MISSED_CHECKIN),
    (12, "bed monitor", "床垫监测器", Kind.BED_EXIT),
    (13, "mat", "地垫传感器"),
    (14, "door", "门"),
    (15, "wandering detector", "走失探测器", Kind.WANDERING),
    (16, "enuresis detector", "尿湿探测器", Kind.HELP),
    (17, "epilepsy detector", "癫痫探测器", Kind.MEDICAL),
    (18, "occupancy detector", "占用探测器"),
    (19, "heart rate monitor", "心率监测器", Kind.HEART_RATE_ABNORMAL),
    (20, "environment detector", "环境探测器"),
    (21, "gas detector", "燃气探测器", Kind.GAS),
    (22, "lighting circuit", "照明回路"),
    (23, "smoke detector", "烟雾探测器", Kind.SMOKE),
    (24, "heating", "供暖", Kind.TEMPERATURE),
    (25, "heat detector", "高温探测器", Kind.FIRE),
    (26, "carbon monoxide detector", "一氧化碳探测器", Kind.CO),
    (27, "bogus caller button", "可疑来访按钮", Kind.DURESS),
    (28, "intruder detector", "入侵探测器", Kind.INTRUSION),
    (29, "boundary", "边界探测器", Kind.WANDERING),
    (30, "man-down detector", "倒地探测器", Kind.FALL),
    (31, "system monitor", "系统监测", Kind.FAULT),
    (32, "communication link", "通信链路", Kind.FAULT),
    (33, "flood detector", "水浸探测器", Kind.WATER_LEAK),
    (34, "bath monitor", "浴缸监测器", Kind.WATER_LEAK),
    (35, "latch key", "门锁钥匙"),
    (36, "perimeter", "周界探测器", Kind.INTRUSION),
    (37, "sprinkler", "喷淋", Kind.FIRE),
    (38, "tamper switch", "防拆开关", Kind.TAMPER),
    (40, "router", "路由器", Kind.FAULT),
    (41, "power supply", "电源", Kind.FAULT),
    (43, "access controller", "门禁控制器"),
    (44, "chair monitor", "座椅监测器"),
    (45, "controller", "控制器", Kind.SOS),
    (46, "lift alarm", "电梯报警", Kind.SOS),
    (47, "fire system", "火灾报警系统", Kind.FIRE),
    (48, "local unit", "本地单元", Kind.SOS),
    (49, "monitoring device", "监测设备"),
    (50, "radio unit", "无线单元", Kind.FAULT),
    (51, "tracking device", "定位设备", Kind.SOS),
)

STATUSES: dict[int, Status] = {
    2: Status("abort", "中止", Effect.CLEAR),
    3: Status("absent", "不在", Effect.DOUBT),
    5: Status("acknowledge", "已确认", Effect.NOTE),
    6: Status("activated", "已激活", Effect.DOUBT),
    9: Status("automatic alarm", "自动报警", Effect.ALARM),
    10: Status("manual alarm", "手动报警", Effect.ALARM),
    11: Status("alert", "警示", Effect.ALARM),
    14: Status("battery failure", "电池故障", Effect.RAISE, Kind.LOW_BATTERY),
    15: Status("battery OK", "电池正常", Effect.CLEAR, Kind.LOW_BATTERY),
    16: Status("battery low", "电池电量低", Effect.RAISE, Kind.LOW_BATTERY),
    19: Status("cancel", "取消", Effect.CLEAR),
    23: Status("IP link failed", "IP 链路中断", Effect.RAISE, Kind.FAULT),
    24: Status("mobile network failed", "移动网络中断", Effect.RAISE, Kind.FAULT),
    25: Status("telephone line failed", "电话线路中断", Effect.RAISE, Kind.FAULT),
    26: Status("primary path failed", "主通道中断", Effect.RAISE, Kind.FAULT),
    27: Status("redundant path failed", "备用通道中断", Effect.RAISE, Kind.FAULT),
    42: Status("failure", "失效", Effect.RAISE, Kind.FAULT),
    52: Status("jammed", "无线被阻塞", Effect.RAISE, Kind.FAULT),
    62: Status("log", "日志", Effect.DOUBT),
    63: Status("loss", "失联", Effect.RAISE, Kind.FAULT),
    65: Status("maintenance", "需要维护", Effect.RAISE, Kind.FAULT),
    66: Status("urgent maintenance", "急需维护", Effect.RAISE, Kind.FAULT),
    67: Status("malfunction", "功能异常", Effect.RAISE, Kind.FAULT),
    70: Status("normal", "正常", Effect.CLEAR),
    81: Status("pill not taken", "未服药", Effect.RAISE, Kind.MISSED_CHECKIN),
    83: Status("pill taken", "已服药", Effect.NOTE, Kind.CHECKIN),
    85: Status("power failed", "断电", Effect.RAISE, Kind.POWER_CUT),
    86: Status("power restored", "供电恢复", Effect.CLEAR, Kind.POWER_CUT),
    87: Status("planned presence", "计划内到访", Effect.NOTE),
    88: Status("presence after alarm", "报警后到场", Effect.NOTE),
    92: Status("automatic reset", "自动复位", Effect.CLEAR),
    93: Status("manual reset", "手动复位", Effect.CLEAR),
    94: Status("restoral", "恢复", Effect.CLEAR),
    95: Status("RF interference", "射频干扰", Effect.RAISE, Kind.FAULT),
    100: Status("temperature high", "温度过高", Effect.RAISE, Kind.TEMPERATURE),
    101: Status("temperature low", "温度过低", Effect.RAISE, Kind.TEMPERATURE),
    102: Status("test over primary path", "主通道测试", Effect.TEST),
    103: Status("test over redundant path", "备用通道测试", Effect.TEST),
    104: Status("time-out", "超时", Effect.DOUBT),
    105: Status("trouble", "故障", Effect.RAISE, Kind.FAULT),
    110: Status("assistance", "请求协助", Effect.ALARM),
    111: Status("intervention complete", "处置完成", Effect.NOTE),
    112: Status("IP link restored", "IP 链路恢复", Effect.CLEAR, Kind.FAULT),
    113: Status("mobile network restored", "移动网络恢复", Effect.CLEAR, Kind.FAULT),
    114: Status("telephone line restored", "电话线路恢复", Effect.CLEAR, Kind.FAULT),
    115: Status("primary path restored", "主通道恢复", Effect.CLEAR, Kind.FAULT),
    116: Status("redundant path restored", "备用通道恢复", Effect.CLEAR, Kind.FAULT),
    117: Status("lying in bed", "卧床", Effect.DOUBT),
    119: Status("movement", "有活动", Effect.DOUBT),
    120: Status("occupancy", "有人", Effect.DOUBT),
    122: Status("radio interference", "无线干扰", Effect.RAISE, Kind.FAULT),
    123: Status("radio test missing", "无线自检缺失", Effect.RAISE, Kind.FAULT),
    124: Status("radio test restored", "无线自检恢复", Effect.CLEAR, Kind.FAULT),
    125: Status("tamper", "被拆动", Effect.RAISE, Kind.TAMPER),
    126: Status("temperature rise", "温度骤升", Effect.RAISE, Kind.TEMPERATURE),
}

LOCATIONS: dict[int, tuple[str, str]] = {
    2: ("home", "家中"),
    3: ("away", "外出"),
    4: ("indoors", "室内"),
    5: ("outdoors", "室外"),
    10: ("basement", "地下室"),
    11: ("bathroom", "浴室"),
    12: ("bedroom", "卧室"),
    13: ("dining room", "餐厅"),
    15: ("garage", "车库"),
    16: ("garden", "花园"),
    19: ("geofence", "电子围栏"),
    21: ("kitchen", "厨房"),
    22: ("laundry", "洗衣房"),
    25: ("stairs", "楼梯"),
    33: ("mobile", "移动中"),
    34: ("geo position attached", "附地理位置"),
    35: ("GPS position attached", "附卫星定位"),
    37: ("accessible bathroom", "无障碍卫生间"),
    39: ("front door", "前门"),
    40: ("back door", "后门"),
    42: ("hall", "门厅"),
    43: ("living room", "客厅"),
    44: ("apartment", "公寓"),
    46: ("lounge", "休息室"),
    47: ("communal area", "公共区域"),
    49: ("room", "房间"),
    51: ("ward", "病房"),
    52: ("wing", "楼翼"),
}

GPS_ATTACHED = 35

# snu → the words of `ste` (scaip.md, "Response")
STATUS_NUMBERS: dict[int, str] = {
    0: "OK",
    1: "Message too long",
    2: "Invalid format",
    3: "Wrong data content",
    4: "Hold",
    5: "Not treated",
    6: "Busy",
    7: "Mandatory tag missing",
}
