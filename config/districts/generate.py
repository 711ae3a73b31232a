"""Writes the two invented districts and the invented city: `python config/districts/generate.py [--into FOLDER] [--full] [--persons N] [DISTRICT …]`.

Every person, telephone number and address is invented; places lie about where they really are, numbers of stations
follow the published plans of the two districts. The same seed gives the same bytes; more persons only adds persons.
--full: as many as the plans speak of (Honggu 10,000, Gongshu 22,000; for Beijing 1,000,000 persons and 4,000 providers). Standard library only.
"""

import argparse
import csv
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import territory

SEED = 12349
YEAR = 2026  # ages are counted to the end of this year; fixed, so that the bytes do not change with the calendar

SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    "范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
GIVEN_WOMEN = (
    "秀英 桂兰 玉兰 秀兰 桂英 淑珍 凤英 玉珍 玉英 兰英 秀珍 淑英 玉梅 桂芳 月英 "
    "素珍 春兰 金凤 惠珍 彩霞 素芬 翠花 雪梅 爱华 美玲 文秀 桂珍 淑琴 菊香 巧云"
)
GIVEN_MEN = (
    "建国 国强 志明 建华 德胜 永福 文斌 福生 玉山 长福 有才 明德 世昌 振华 国栋 "
    "宝山 忠义 学文 克勤 金山 万福 守仁 正新 成林 兴旺 保国 广发 生财 耀祖 庆云"
)
RELATIONS = ("女儿", "儿子", "儿媳", "女婿", "邻居", "侄子", "外孙女")
HEALTH = ("高血压", "糖尿病", "冠心病", "轻度认知障碍", "脑梗后遗症", "慢阻肺", "膝关节置换术后", "青霉素过敏")
MODELS = ("Invented Watch A", "Invented Pendant B")
PENDANT = MODELS[1]
HOME_UNIT = "Invented Home Unit SCAIP"


@dataclass(frozen=True)
class Place:
    """A street or town. spread_km: how far people live from the middle of a community or village of it."""

    id: str
    name: str
    kind: str
    lat: float
    lon: float
    communities: tuple[str, ...] = ()
    villages: tuple[str, ...] = ()
    elder_share: float = 0.18
    centre: bool = True
    district: str = ""  # of a city: in which of its districts
    grids: bool = False  # its communities have a level below them


@dataclass(frozen=True)
class District:
    """What distinguishes one district; shares are parts of all persons in the register."""

    id: str
    zh: str
    en: str
    area_code: str
    local_digits: int  # length of a local telephone number
    lat: float
    lon: float
    places: tuple[Place, ...]
    persons: int  # committed
    full: int  # as the plan has it
    semi_disabled: float
    disabled: float
    aged_80: float
    alone: float
    watched: float  # share with a wearable
    health_stations: tuple[tuple[str, str], ...] = ()  # (name, place)
    care_centres: int = 0
    medical_centres: int = 0
    care_home: tuple[str, str] = ("", "")  # (name, place)
    rural_spread_km: float = 1.2
    gateways: tuple[str, ...] = ()  # places whose pendants speak through a street gateway
    supervised: bool = False  # devices have a class, people living alone a watch
    modern: tuple[str, ...] = ()  # places where some have a panel on the network, a 4G watch, a terminal or a Zigbee button
    street_gateway: str = ""  # the place whose street gateway has pendants of its own
    districts: tuple[Place, ...] = ()  # of a city, which has a level more
    providers: int = 0  # committed
    full_providers: int = 0
    registers: bool = False  # persons have doctors, purchased services and short health summaries; contacts are told
    station: str = ""  # what the place calls a community station, if not as everywhere


HONGGU = District(
    id="honggu", zh="红古区", en="Honggu District", area_code="0931", local_digits=7, lat=36.345, lon=102.860,
    persons=2000, full=10000, semi_disabled=0.11, disabled=0.04, aged_80=0.16, alone=0.30, watched=0.60,
    care_home=("海石湾养老照料中心", "haishiwan"),
    health_stations=(("海石湾健康医养驿站", "haishiwan"), ("窑街健康医养驿站", "yaojie"), ("红古镇健康医养驿站", "honggu-town"),
                     ("花庄健康医养驿站", "huazhuang"), ("平安健康医养驿站", "pingan")),
    modern=("haishiwan", "hualong", "yaojie", "xiayao", "kuangqu"), street_gateway="hualong",
    places=(
        Place("haishiwan", "海石湾镇", "town", 36.343, 102.868, ("海石湾东社区", "海石湾西社区", "平安路社区"),
              ("海石村", "红山村", "虎头崖村", "龚家庄村"), 0.19),
        Place("hualong", "华龙街道", "street", 36.347, 102.884, ("华龙社区", "炭素社区", "红古路社区", "湟水社区"), (), 0.22),
        Place("yaojie", "窑街街道", "street", 36.402, 102.874, ("窑街社区", "大砂村社区", "上街社区", "红山根社区"), (), 0.24),
        Place("xiayao", "下窑街道", "street", 36.392, 102.884, ("下窑社区", "劳动路社区", "和平街社区"), (), 0.23),
        Place("kuangqu", "矿区街道", "street", 36.411, 102.866, ("矿区社区", "三矿社区", "机修社区", "东街社区"), (), 0.25),
        Place("honggu-town", "红古镇", "town", 36.296, 102.975, (), ("红古村", "新庄村", "旋子村", "王家口村", "水车湾村", "米家台村"), 0.17),
        Place("huazhuang", "花庄镇", "town", 36.221, 103.092, (), ("花庄村", "河湾村", "洞子村", "湟兴村", "苏家寺村", "柳家村"), 0.18),
        Place("pingan", "平安镇", "town", 36.168, 103.214, (), ("平安村", "张家寺村", "中和村", "若连村", "夹滩村", "仁和村"), 0.19),
    ),
)  # fmt: skip

GONGSHU = District(
    id="gongshu", zh="拱墅区", en="Gongshu District", area_code="0571", local_digits=8, lat=30.320, lon=120.140,
    persons=1500, full=22000, semi_disabled=2055 / 22000, disabled=787 / 22000, aged_80=0.45, alone=0.55, watched=0.80,
    care_centres=40, medical_centres=30, care_home=("拱宸桥养老照料中心", "gongchenqiao"),
    supervised=True, gateways=("hemu", "gongchenqiao", "daguan"), registers=True, station="养老服务站",
    places=(
        Place("shangtang", "上塘街道", "street", 30.307, 120.160, ("上塘东社区", "上塘西社区", "运河社区"), (), 0.21),
        Place("xiangfu", "祥符街道", "street", 30.333, 120.117, ("祥符东社区", "祥符西社区", "总管塘社区"), (), 0.16),
        Place("banshan", "半山街道", "street", 30.357, 120.184, ("半山社区", "杭钢社区", "田园社区"), (), 0.24),
        Place("mishixiang", "米市巷街道", "street", 30.288, 120.152, ("米市巷社区", "叶青社区", "沈塘社区"), (), 0.23),
        Place("xiaohe", "小河街道", "street", 30.313, 120.134, ("小河社区", "长征桥社区", "余杭塘社区"), (), 0.22),
        Place("gongchenqiao", "拱宸桥街道", "street", 30.321, 120.141, ("拱宸桥社区", "桥西社区", "蚕花园社区"), (), 0.25),
        Place("hemu", "和睦街道", "street", 30.309, 120.122, ("和睦社区", "李家桥社区", "华丰社区"), (), 0.27, grids=True),
        Place("daguan", "大关街道", "street", 30.305, 120.150, ("大关东社区", "大关西社区", "德胜社区"), (), 0.24),
        Place("hushu", "湖墅街道", "street", 30.294, 120.145, ("湖墅社区", "仓基社区", "双荡弄社区"), (), 0.25, centre=False),
        Place("kangqiao", "康桥街道", "street", 30.352, 120.151, ("康桥社区", "康宁社区", "蒋家浜社区"), (), 0.15, centre=False),
    ),
)  # fmt: skip

BEIJING_DISTRICTS = (
    Place("dongcheng", "东城区", "district", 39.929, 116.416), Place("xicheng", "西城区", "district", 39.912, 116.366),
    Place("chaoyang", "朝阳区", "district", 39.921, 116.486), Place("fengtai", "丰台区", "district", 39.858, 116.287),
    Place("shijingshan", "石景山区", "district", 39.906, 116.223), Place("haidian", "海淀区", "district", 39.960, 116.298),
    Place("mentougou", "门头沟区", "district", 39.941, 116.102), Place("fangshan", "房山区", "district", 39.749, 116.143),
    Place("tongzhou", "通州区", "district", 39.910, 116.657), Place("shunyi", "顺义区", "district", 40.130, 116.655),
    Place("changping", "昌平区", "district", 40.221, 116.231), Place("daxing", "大兴区", "district", 39.727, 116.342),
    Place("huairou", "怀柔区", "district", 40.316, 116.632), Place("pinggu", "平谷区", "district", 40.141, 117.121),
    Place("miyun", "密云区", "district", 40.376, 116.843), Place("yanqing", "延庆区", "district", 40.457, 115.975),
)  # fmt: skip
INNER = ("dongcheng", "xicheng", "chaoyang", "fengtai", "shijingshan", "haidian")


def beijing_places() -> tuple[Place, ...]:
    """Five streets a district with five communities each, invented names and all: 400 stations. Outside the centre two are towns with villages."""
    chance = random.Random(f"{SEED} beijing")
    places = []
    for district in BEIJING_DISTRICTS:
        inner = district.id in INNER
        for number, word in enumerate("安永福康宁", 1):
            lat, lon = near(chance, district.lat, district.lon, 2.0 if inner else 6.0)
            town = not inner and number > 3
            name = f"{district.name[:-1]}{word}和{'镇' if town else '街道'}"
            five = tuple(f"{word}{second}{'村' if town else '社区'}" for second in "平泰顺乐居")
            share = round(chance.uniform(0.14, 0.30), 2)
            place = Place(f"{district.id}-{number}", name, "town" if town else "street", lat, lon, () if town else five, five if town else (), share)
            places.append(replace(place, district=district.id))
    return tuple(places)


def beijing() -> District:
    """Scenario 3: a city of four levels."""
    return District(
        id="beijing", zh="北京市", en="Beijing", area_code="010", local_digits=8, lat=39.905, lon=116.398, persons=800, full=1_000_000,
        semi_disabled=0.09, disabled=0.04, aged_80=0.30, alone=0.40, watched=0.50, care_home=("东城安和养老照料中心", "dongcheng-1"),
        places=beijing_places(), districts=BEIJING_DISTRICTS, providers=48, full_providers=4000, registers=True, supervised=True,
        station="社区养老服务驿站",
    )  # fmt: skip


AREAS = ("id", "name", "kind", "parent", "lat", "lon", "elder_share")
RESPONDERS = ("id", "name", "kind", "parent", "areas", "lat", "lon", "skills", "hours", "capacity", "channel", "address", "phone", "speed_kmh")
RESPONDERS += ("mode", "beds", "elders", "label")
PERSONS = (
    "id",
    "name",
    "born",
    "area",
    "home",
    "address",
    "lat",
    "lon",
    "phones",
    "ability",
    "categories",
    "risks",
    "health_note",
    "confirmed_on",
    "watch",
)
SUMMARY = ("doctor", "hospital", "language", "entitled", "conditions", "medicines", "allergies", "blood")
CONTACTS = ("person", "name", "relation", "phone")
TOLD = ("tell", "channel", "consent_on")
DEVICES = ("id", "line", "person", "home", "area", "place", "lat", "lon", "model", "class", "via")

Row = dict[str, object]


@dataclass
class Community:
    id: str
    place: Place
    name: str
    rural: bool
    lat: float
    lon: float
    residents: list[str] = field(default_factory=list)


def write(folder: Path, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """One CSV: UTF-8, LF, header first; empty cells for what is not known."""
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def landline(district: District, number: int) -> str:
    """555 and the rest, as in films. China reserves no numbers for fiction; 555 is the form that readers recognise."""
    return f"{district.area_code}-555{number:0{district.local_digits - 3}d}"


def mobile(number: int) -> str:
    """From 1740-0 to 1740-5, the range of satellite telephones: valid in form, and no elder's."""
    return f"1740{number % 600_000:07d}"


def near(chance: random.Random, lat: float, lon: float, km: float) -> tuple[float, float]:
    """A place about `km` away in both axes (normal distribution, cut at twice that)."""

    def cut() -> float:
        return max(-2.0, min(2.0, chance.gauss(0, 1))) * km

    return round(lat + cut() / 111.2, 5), round(lon + cut() / 89.6, 5)  # km per degree at 36° N; good enough at 30° N


def areas_of(district: District) -> tuple[list[Row], list[Community]]:
    """The tree of places, and those of them that people live in."""
    chance = random.Random(f"{SEED} areas {district.id}")
    kind = "city" if district.districts else "district"
    rows: list[Row] = [{"id": district.id, "name": district.zh, "kind": kind, "lat": district.lat, "lon": district.lon}]
    for one in district.districts:
        rows.append({"id": one.id, "name": one.name, "kind": one.kind, "parent": district.id, "lat": one.lat, "lon": one.lon})
    communities = []
    for place in district.places:
        own: Row = {"id": place.id, "name": place.name, "kind": place.kind, "parent": place.district or district.id}
        rows.append(own | {"lat": place.lat, "lon": place.lon, "elder_share": place.elder_share})
        for number, name in enumerate((*place.communities, *place.villages), 1):
            rural = name in place.villages
            lat, lon = near(chance, place.lat, place.lon, 2.2 if rural else 0.5)
            community = Community(f"{place.id}-{number}", place, name, rural, lat, lon)
            communities.append(community)
            kind = "village" if rural else "community"
            rows.append({"id": community.id, "name": name, "kind": kind, "parent": place.id, "lat": lat, "lon": lon})
            if place.grids:
                for side, offset in enumerate((-0.002, 0.002), 1):
                    grid: Row = {"id": f"{community.id}-g{side}", "name": f"{name}第{side}网格", "kind": "grid", "parent": community.id}
                    rows.append(grid | {"lat": lat, "lon": round(lon + offset, 5)})
    return rows, communities


def above_streets(place: Place) -> str:
    """The responder above a street's centre."""
    return f"centre-{place.district}" if place.district else "district-centre"


def responders_of(district: District, communities: list[Community], providers: int) -> list[Row]:
    """The tree: station, street or town centre (where there is one), district centre, city centre, desk. Capacities: domain 2.13 and 2.14."""
    chance = random.Random(f"{SEED} responders {district.id}")
    phones = iter(range(1, 100_000))

    def row(name: str, kind: str, parent: str, **more: object) -> Row:
        return {"name": name, "kind": kind, "parent": parent, "hours": "", "channel": "mqtt", "phone": landline(district, next(phones)), **more}

    top = "city-centre" if district.districts else "district-centre"
    rows = [
        row(f"{district.zh}12349坐席", "desk", "", id="desk", channel="console", capacity=1000),
        row(
            f"{district.zh}居家养老管理中心",
            top.replace("-", "_"),
            "desk",
            id=top,
            lat=district.lat,
            lon=district.lon,
            skills="lift;keys",
            capacity=4,
            speed_kmh=40,
        ),
        row("医疗急救120", "emergency", "desk", id="emergency-120", channel="console", capacity=1000, phone="120"),
    ]
    for one in district.districts:
        more = {"areas": one.id, "lat": one.lat, "lon": one.lon, "skills": "lift;keys", "capacity": 4, "speed_kmh": 40}
        rows.append(row(f"{one.name}养老服务指导中心", "district_centre", top, id=f"centre-{one.id}", **more))
    for place in district.places:
        if place.centre:
            capacity = 2 if place.elder_share >= 0.20 else 1
            rows.append(
                row(
                    f"{place.name}综合为老服务中心",
                    "street_centre",
                    above_streets(place),
                    id=f"centre-{place.id}",
                    areas=place.id,
                    lat=place.lat,
                    lon=place.lon,
                    capacity=capacity,
                    speed_kmh=25,
                )
            )
    counts = {True: 0, False: 0}
    for community in communities:
        counts[community.rural] += 1
        letter = "r" if community.rural else "u"
        parent = f"centre-{community.place.id}" if community.place.centre else above_streets(community.place)
        lat, lon = near(chance, community.lat, community.lon, 0.1)
        hours = "" if counts[community.rural] % 3 == 0 else "08:00-20:00"
        title = "互助幸福院" if community.rural else (district.station or "为老服务驿站")
        speed, capacity = (25, 1) if community.rural else (15, 2)
        rows.append(
            row(
                f"{community.name}{title}",
                "station",
                parent,
                id=f"station-{letter}{counts[community.rural]:02d}",
                areas=community.id,
                lat=lat,
                lon=lon,
                hours=hours,
                capacity=capacity,
                speed_kmh=speed,
                elders=0 if community.rural else 80 + 10 * (counts[False] % 12) if district.registers else "",
                label="农村互助幸福院" if community.rural else "",
            )
        )
    places = {place.id: place for place in district.places}
    for number, (name, place_id) in enumerate(district.health_stations, 1):
        lat, lon = near(chance, places[place_id].lat, places[place_id].lon, 0.3)
        rows.append(
            row(name, "health_station", "district-centre", id=f"health-{number}", lat=lat, lon=lon, skills="medical-basic", capacity=2, speed_kmh=30)
        )
    for number in range(1, district.care_centres + 1):
        place = district.places[(number - 1) % len(district.places)]
        lat, lon = near(chance, place.lat, place.lon, 0.6)
        parent = f"centre-{place.id}" if place.centre else above_streets(place)
        skills = "care;medical-basic" if number <= district.medical_centres else "care"
        hours = "" if number % 4 else "07:00-22:00"
        rows.append(
            row(
                f"{place.name[:-2]}照料中心{number}号(虚构)",
                "care_centre",
                parent,
                id=f"care-{number:02d}",
                lat=lat,
                lon=lon,
                skills=skills,
                hours=hours,
                capacity=2,
                beds=BEDS[number % len(BEDS)] if number <= district.medical_centres else 20 + number,
            )
        )
    if not district.care_centres and not district.districts:
        for number, (name, hours) in enumerate((("金城虚构家政服务公司", "07:00-22:00"), ("湟水虚构护理服务公司", "")), 1):
            lat, lon = near(chance, district.lat, district.lon, 1.0)
            rows.append(
                row(
                    name,
                    "provider",
                    "district-centre",
                    id=f"provider-{number}",
                    lat=lat,
                    lon=lon,
                    skills="care",
                    hours=hours,
                    capacity=3,
                    speed_kmh=25,
                )
            )
    lat, lon = near(chance, district.lat, district.lon, 1.0)
    rows.append(
        row(
            "云虚构居家服务公司",
            "provider",
            top,
            id="provider-web",
            lat=lat,
            lon=lon,
            skills="care",
            hours="08:00-20:00",
            capacity=3,
            speed_kmh=25,
            channel="webhook",
            address="http://127.0.0.1:18080/orders",
        )
    )
    rows += others_of(district, communities, row)
    for number in range(1, providers + 1):
        chance = random.Random(f"{SEED} provider {district.id} {number}")
        place = chance.choice(district.places)
        lat, lon = near(chance, place.lat, place.lon, 1.0)
        hours = "" if number % 3 == 0 else "07:00-22:00"
        more = {"id": f"provider-{number:04d}", "areas": place.district, "lat": lat, "lon": lon, "skills": "care", "hours": hours, "capacity": 3}
        rows.append(row(f"{place.name}{number}号服务公司(虚构)", "provider", above_streets(place), speed_kmh=25, **more))
    return rows


BEDS = (40, 60, 100, 101, 120, 500, 501)  # with the borders of domain 2.17


def others_of(district: District, communities: list[Community], row: Callable[..., Row]) -> list[Row]:
    """Whom the console tells: neighbours in villages; doctors, health centres, hospitals and property companies where persons have a doctor."""
    chance = random.Random(f"{SEED} others {district.id}")
    rows: list[Row] = []
    parents = {"channel": "console", "speed_kmh": 25}
    for number, community in enumerate((one for one in communities if one.rural and not district.districts), 1):
        lat, lon = near(chance, community.lat, community.lon, 0.2)
        more = {"id": f"neighbour-{number:02d}", "areas": community.id, "lat": lat, "lon": lon, "channel": "console", "speed_kmh": 5, "mode": "foot"}
        rows.append(row(f"{community.name}邻里互助员(虚构)", "neighbour", f"station-r{number:02d}", capacity=1, **more))
    if not district.registers:
        return rows
    for place in [one for one in district.places if not one.district] or district.districts:
        parent = "district-centre" if place.kind == "street" else f"centre-{place.id}"
        lat, lon = near(chance, place.lat, place.lon, 0.4)
        more = {"lat": lat, "lon": lon, "areas": place.id, **parents}
        rows.append(
            row(f"{place.name}社区卫生服务中心", "health_centre", parent, id=f"health-centre-{place.id}", capacity=4, hours="08:00-20:00", **more)
        )
        doctor = f"{chance.choice(SURNAMES)}医生(虚构)"
        rows.append(
            row(f"{place.name}{doctor}", "doctor", f"health-centre-{place.id}", id=f"doctor-{place.id}", capacity=2, hours="08:00-18:00", **more)
        )
    for number, beds in enumerate((800, 450), 1):
        lat, lon = near(chance, district.lat, district.lon, 1.5)
        more = {"id": f"hospital-{number}", "lat": lat, "lon": lon, "beds": beds, "capacity": 50, "mode": "car", **parents}
        rows.append(row(f"{district.zh}第{number}医院(虚构)", "hospital", "desk", **more))
    for number, community in enumerate(communities[:10:2], 1):
        more = {"id": f"property-{number}", "areas": community.id, "lat": community.lat, "lon": community.lon, "skills": "keys;lift", **parents}
        rows.append(row(f"{community.name}物业(虚构)", "property", "desk", capacity=2, hours="07:00-22:00", mode="foot", **more))
    return rows


@dataclass
class People:
    persons: list[Row] = field(default_factory=list)
    contacts: list[Row] = field(default_factory=list)
    devices: list[Row] = field(default_factory=list)


ROOMS = range(201, 241)  # call addresses of the care home's panel
DOUBLE_ROOMS = range(236, 240)  # two residents each: the room is known, the person is not
LOUNGE = 240  # the common room: an address nobody owns


def people_of(district: District, communities: list[Community], count: int) -> People:
    """Persons 1 … count in order: what is drawn for one does not depend on how many follow."""
    people = People()
    home_place = next(place for place in district.places if place.id == district.care_home[1])
    rooms = [room for room in ROOMS if room != LOUNGE for _ in range(2 if room in DOUBLE_ROOMS else 1)]
    buttons = 0
    partner: Row | None = None
    for number in range(1, count + 1):
        chance = random.Random(f"{SEED} person {district.id} {number}")
        person = one_person(district, communities, number, chance)
        if number <= len(rooms):
            room = rooms[number - 1]
            live_in_care_home(district, home_place, person, room)
            if room not in DOUBLE_ROOMS:
                people.devices.append({"id": str(room), "line": "corridor-panel", "person": person["id"], "place": f"{room}房间"})
            elif not people.devices or people.devices[-1]["id"] != str(room):
                people.devices.append({"id": str(room), "line": "corridor-panel", "home": person["home"], "place": f"{room}房间"})
        elif partner is not None:  # the second of a couple: same home, same telephone line
            for key in ("home", "address", "area", "lat", "lon", "phones"):
                if key in partner:
                    person[key] = partner[key]
                else:
                    person.pop(key, None)
            person["risks"] = partner["risks"] = ";".join(risk for risk in ("advanced_age",) if YEAR - int(str(person["born"])) >= 80)
            partner["risks"] = "advanced_age" if YEAR - int(str(partner["born"])) >= 80 else ""
            partner = None
        elif number % 20 == 19:
            partner = person
        people.persons.append(person)
        people.contacts += contacts_of(chance, person, number)
        if district.registers:
            summarise(district, communities, person, number, people.contacts)
        if number > len(rooms) and chance.random() < district.watched:
            people.devices.append({"id": f"w-{number:06d}", "line": "wearables", "person": person["id"], "model": chance.choice(MODELS)})
        elif number > len(rooms) and number % 10 == 3:  # the id is the controller id in its messages; on whatever line they come
            people.devices.append({"id": f"12349{number:05d}", "person": person["id"], "place": "客厅", "model": HOME_UNIT})
        if number > len(rooms) and number % 97 == 0 and buttons < 12:
            buttons += 1
            people.devices.append(
                {"id": f"{buttons + 4:06X}:2", "line": "corridor-buttons", "person": person["id"], "place": "卫生间", "model": "RFLink"}
            )
    people.devices.append(
        {"id": str(LOUNGE), "line": "corridor-panel", "area": home_place.id, "place": "公共活动室", "lat": home_place.lat, "lon": home_place.lon}
    )
    if district.modern:
        modernise(district, communities, people)
    if district.supervised:
        supervise(district, communities, people)
    people.devices.append({"id": "w-999999", "line": "wearables", "model": MODELS[0]})  # in a drawer: nobody owns it
    return people


CONDITIONS = (("高血压", "氨氯地平"), ("2型糖尿病", "二甲双胍"), ("冠心病", "阿司匹林"), ("慢阻肺", "沙丁胺醇"), ("帕金森病", "左旋多巴"))


def summarise(district: District, communities: list[Community], person: Row, number: int, contacts: list[Row]) -> None:
    """Doctor, purchased services, short health summary of some, and who is told. Draws from a source of its own."""
    chance = random.Random(f"{SEED} summary {district.id} {number}")
    places = {community.id: community.place for community in communities}
    place = places.get(str(person.get("area")))
    if place is not None and chance.random() < 0.30:
        person["doctor"] = f"doctor-{place.district or place.id}"
        person["hospital"] = f"hospital-{chance.randint(1, 2)}"
    person["entitled"] = "yes" if chance.random() < 5185 / 22000 else ""
    if chance.random() < 0.15:
        condition, medicine = chance.choice(CONDITIONS)
        person.update(conditions=condition, medicines=medicine, blood=chance.choice(("A", "B", "O", "AB")))
        person["allergies"] = "青霉素" if chance.random() < 0.1 else ""
    if chance.random() < 0.03:
        person["language"] = chance.choice(("cantonese", "wu", "tibetan"))
    if contacts and contacts[-1]["person"] == person["id"] and chance.random() < 0.12:
        contacts[-1].update(tell="alarm;coming;over", channel="sms", consent_on=f"{YEAR - 1}-{chance.randint(1, 12):02d}-15")


def supervise(district: District, communities: list[Community], people: People) -> None:
    """Whose silence means something. Draws nothing: the people stay who they are."""
    streets = {community.id: community.place.id for community in communities}
    areas = {str(person["id"]): streets.get(str(person.get("area")), "") for person in people.persons}
    for person in people.persons:
        if "living_alone" in str(person["risks"]):
            person["watch"] = "alone"
    for device in people.devices:
        if device.get("line") == "wearables":
            device["class"] = "watch"
            street = areas.get(str(device.get("person")), "")
            if device["model"] == PENDANT and street in district.gateways:
                device["via"] = f"gw-{street}"
    for place in district.places:
        if place.id in district.gateways:
            gateway = {"id": f"gw-{place.id}", "line": "wearables", "area": place.id, "place": f"{place.name}网关"}
            people.devices.append({**gateway, "lat": place.lat, "lon": place.lon, "model": "Invented Street Gateway", "class": "gateway"})


MODERN = (  # address of the nth, model, where it hangs; like home units on whatever line they come
    ("71{:02}:001", "Invented Panel DC-09", "卧室"),
    ("88{:08}", "Invented Watch 4G", ""),
    ("174007{:05}", "Invented Terminal 808", ""),  # as its SIM card is called; no person has a number of that block
    ("bedside-{:02}", "TS0215A_sos", "床头"),
)
EACH = 12  # of every kind
WATCHED = 4  # people with a pendant who have a 4G watch as well


def modernise(district: District, communities: list[Community], people: People) -> None:
    """Devices on networks for some who had none, a 4G watch for some who live alone and have a pendant. Draws nothing."""
    places = {community.id: community.place.id for community in communities}
    owners = {device.get("person") for device in people.devices}
    at_home = [person for person in people.persons if places.get(str(person.get("area"))) in district.modern]
    free = iter([person for person in at_home if person["id"] not in owners])
    for address, model, place in MODERN:
        for number, person in zip(range(1, EACH + 1), free, strict=False):
            kind = f"{model} AES" if "Panel" in model and number == 1 else model
            people.devices.append({"id": address.format(number), "person": person["id"], "place": place, "model": kind})
    wearers = {device.get("person") for device in people.devices if device.get("line") == "wearables"}
    alone = [person for person in at_home if person["id"] in wearers and "living_alone" in str(person["risks"])]
    for number, person in zip(range(EACH + 1, EACH + WATCHED + 1), alone, strict=False):
        people.devices.append({"id": f"88{number:08}", "person": person["id"], "model": "Invented Watch 4G"})
    hub = next(place for place in district.places if place.id == district.street_gateway)
    beside = [person for person in free if places[str(person["area"])] == hub.id]
    for number, person in zip(range(1, EACH + 1), beside, strict=False):
        people.devices.append({"id": f"{hub.id}-{number:02}", "line": "wearables", "person": person["id"], "model": "Invented Street Pendant"})
    gateway = {"id": f"gw-{hub.id}", "line": "wearables", "area": hub.id, "place": f"{hub.name}网关", "model": "Invented Street Gateway"}
    people.devices.append({**gateway, "lat": hub.lat, "lon": hub.lon})


def one_person(district: District, communities: list[Community], number: int, chance: random.Random) -> Row:
    """An elder at home, before care home and couples change some of it."""
    woman = chance.random() < 0.55
    age = chance.randint(80, 96) if chance.random() < district.aged_80 else chance.randint(60, 79)
    community = chance.choices(communities, [1.0 if one.rural else 1.6 for one in communities])[0]
    lat, lon = near(chance, community.lat, community.lon, district.rural_spread_km if community.rural else 0.35)
    home = chance.randint(1, 160)
    has_landline = chance.random() < 0.5 and 1000 + number < 10 ** (district.local_digits - 3)
    phone = landline(district, 1000 + number) if has_landline else mobile(number)
    ability = chance.choices(
        ("self_caring", "semi_disabled", "disabled"), (1 - district.semi_disabled - district.disabled, district.semi_disabled, district.disabled)
    )
    risks = ["advanced_age"] if age >= 80 else []
    if chance.random() < district.alone:
        risks.append(chance.choices(("living_alone", "empty_nest", "no_kin"), (5, 4, 1))[0])
    categories = chance.choices(("general", "three_nos", "five_guarantees", "minimum_living", "family_planning", "low_income"), (82, 1, 2, 7, 3, 5))
    row: Row = {
        "id": f"p-{number:05d}",
        "name": chance.choice(SURNAMES) + chance.choice((GIVEN_WOMEN if woman else GIVEN_MEN).split()),
        "born": YEAR - age,
        "area": community.id,
        "home": f"h-{number:05d}",
        "address": f"{community.place.name}{community.name}{home}号"
        + ("" if community.rural else f"{chance.randint(1, 6)}单元{chance.randint(1, 6)}0{chance.randint(1, 3)}室"),
        "lat": lat,
        "lon": lon,
        "phones": phone,
        "ability": ability[0],
        "categories": categories[0],
        "risks": ";".join(risks),
        "confirmed_on": f"{YEAR - 1}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
    }
    if chance.random() < 0.3:
        row["health_note"] = chance.choice(HEALTH)
    if chance.random() < 0.02:  # the bad register of every district: nobody has been there with a map yet
        del row["lat"], row["lon"]
    return row


def live_in_care_home(district: District, place: Place, person: Row, room: int) -> None:
    """One line of the house for all: a call from it names nobody."""
    name = district.care_home[0]
    person.update(home=f"care-home-{room}", area=place.id, address=f"{place.name}{name}{room}房间", lat=place.lat, lon=place.lon)
    person.update(phones=landline(district, 999), risks=";".join(r for r in str(person["risks"]).split(";") if r == "advanced_age"))


def contacts_of(chance: random.Random, person: Row, number: int) -> list[Row]:
    """One or two to ring, for one in fifty nobody; the family of no_kin is a neighbour."""
    if chance.random() < 0.02:
        return []
    relations = ["邻居"] if "no_kin" in str(person["risks"]) else chance.sample(RELATIONS, 2 if chance.random() < 0.25 else 1)
    return [
        {
            "person": person["id"],
            "name": chance.choice(SURNAMES) + chance.choice((GIVEN_WOMEN + " " + GIVEN_MEN).split()),
            "relation": relation,
            "phone": mobile(300_000 + number * 2 + index),
        }
        for index, relation in enumerate(relations)
    ]


KIND_NAMES = {
    "honggu": (("neighbour", "邻里互助员", "Mutual-help neighbours"), ("health_station", "健康医养驿站", "Health stations")),
    "gongshu": (("station", "养老服务站", "Community service stations"), ("street_centre", "街道综合服务中心", "Street service centres"),
                ("district_centre", "区养老服务指导中心", "District guidance centre")),
    "beijing": (("station", "社区养老服务驿站", "Community stations"), ("district_centre", "区养老服务指导中心", "District guidance centres")),
}  # fmt: skip


def district_toml(district: District) -> str:
    """The head of the folder."""
    kinds = "".join(f'\n[kind_names.{kind}]\nzh-CN = "{zh}"\nen = "{en}"\n' for kind, zh, en in KIND_NAMES[district.id])
    return f"""# Written by ../generate.py. Invented: every person, telephone number and address. Places lie about where they really are.
name = "{district.id}"
area_code = "{district.area_code}"
lat = {district.lat}
lon = {district.lon}

[names]
zh-CN = "{district.zh}"
en = "{district.en}"
{kinds}"""


def write_district(district: District, into: Path, count: int, providers: int) -> None:
    """All files of one district."""
    folder = into / district.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "district.toml").write_text(district_toml(district), encoding="utf-8")
    areas, communities = areas_of(district)
    people = people_of(district, communities, count)
    write(folder, "areas.csv", AREAS, areas)
    responders = responders_of(district, communities, providers)
    write(folder, "responders.csv", RESPONDERS, responders)
    write_territory(district, folder, areas, responders)
    summary = SUMMARY if district.registers else ()
    write(folder, "persons.csv", (*(PERSONS if district.supervised else PERSONS[:-1]), *summary), people.persons)
    write(folder, "contacts.csv", (*CONTACTS, *TOLD) if district.registers else CONTACTS, people.contacts)
    write(folder, "devices.csv", DEVICES if district.supervised else DEVICES[:-2], people.devices)


def write_territory(district: District, folder: Path, areas: list[Row], responders: list[Row]) -> None:
    """The files about rosters, providers, agreements and borders."""
    write(folder, "rosters.csv", territory.ROSTERS, territory.rosters(responders, fewer_at_night=district.registers))
    write(folder, "calendar.csv", territory.CALENDAR, territory.calendar())
    write(folder, "providers.csv", territory.PROVIDERS, territory.providers(responders, points=district.registers))
    if district.registers:
        write(folder, "loans.csv", territory.LOANS, territory.loans(responders))
    if district.districts:  # every district helps its neighbour in the list, and is helped by it
        names = [one.id for one in district.districts]
        duties = "区级中心或站点饱和、失联时，由结对区接单"
        agreements = [territory.aid(f"aid-{n + 1}", names[n], names[n + 1], duties, 60, both=True) for n in range(0, len(names), 2)]
    elif district.registers:
        agreements = [territory.aid("aid-1", "centre-hemu", "centre-xiaohe", "和睦、小河两街道互相支援", 20, both=True)]
    else:
        agreements = territory.pairs(responders)
    write(folder, "agreements.csv", territory.AGREEMENTS, agreements)
    territory.write_areas(folder / "areas.geojson", areas, streets=not district.districts)


DISTRICTS = {district.id: district for district in (HONGGU, GONGSHU, beijing())}


def main() -> None:
    """Entry of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("districts", nargs="*", metavar="DISTRICT", default=sorted(DISTRICTS), help="honggu, gongshu, beijing; all when left out")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="where the folders go; here when left out")
    parser.add_argument("--full", action="store_true", help="as many persons as the plans speak of")
    parser.add_argument("--persons", type=int, help="exactly so many")
    parser.add_argument("--providers", type=int, help="exactly so many service companies (Beijing)")
    args = parser.parse_args()
    for name in args.districts:
        district = DISTRICTS[name]
        count = args.persons or (district.full if args.full else district.persons)
        providers = args.providers or (district.full_providers if args.full else district.providers)
        write_district(district, args.into, count, providers)
        print(f"{args.into / name}: {count} persons")


if __name__ == "__main__":
    main()
