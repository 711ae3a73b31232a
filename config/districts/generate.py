"""Writes the two invented districts: `python config/districts/generate.py [--into FOLDER] [--full] [--persons N] [DISTRICT …]`.

Every person, telephone number and address is invented; places lie about where they really are, numbers of stations
follow the published plans of the two districts. The same seed gives the same bytes; more persons only adds persons.
--full: as many as the plans speak of (Honggu 10,000, Gongshu 22,000). Needs only the standard library.
"""

import argparse
import csv
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


HONGGU = District(
    id="honggu", zh="红古区", en="Honggu District", area_code="0931", local_digits=7, lat=36.345, lon=102.860,
    persons=2000, full=10000, semi_disabled=0.11, disabled=0.04, aged_80=0.16, alone=0.30, watched=0.60,
    care_home=("海石湾养老照料中心", "haishiwan"),
    health_stations=(("海石湾健康医养驿站", "haishiwan"), ("窑街健康医养驿站", "yaojie"), ("红古镇健康医养驿站", "honggu-town"),
                     ("花庄健康医养驿站", "huazhuang"), ("平安健康医养驿站", "pingan")),
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
    places=(
        Place("shangtang", "上塘街道", "street", 30.307, 120.160, ("上塘东社区", "上塘西社区", "运河社区"), (), 0.21),
        Place("xiangfu", "祥符街道", "street", 30.333, 120.117, ("祥符东社区", "祥符西社区", "总管塘社区"), (), 0.16),
        Place("banshan", "半山街道", "street", 30.357, 120.184, ("半山社区", "杭钢社区", "田园社区"), (), 0.24),
        Place("mishixiang", "米市巷街道", "street", 30.288, 120.152, ("米市巷社区", "叶青社区", "沈塘社区"), (), 0.23),
        Place("xiaohe", "小河街道", "street", 30.313, 120.134, ("小河社区", "长征桥社区", "余杭塘社区"), (), 0.22),
        Place("gongchenqiao", "拱宸桥街道", "street", 30.321, 120.141, ("拱宸桥社区", "桥西社区", "蚕花园社区"), (), 0.25),
        Place("hemu", "和睦街道", "street", 30.309, 120.122, ("和睦社区", "李家桥社区", "华丰社区"), (), 0.27),
        Place("daguan", "大关街道", "street", 30.305, 120.150, ("大关东社区", "大关西社区", "德胜社区"), (), 0.24),
        Place("hushu", "湖墅街道", "street", 30.294, 120.145, ("湖墅社区", "仓基社区", "双荡弄社区"), (), 0.25, centre=False),
        Place("kangqiao", "康桥街道", "street", 30.352, 120.151, ("康桥社区", "康宁社区", "蒋家浜社区"), (), 0.15, centre=False),
    ),
)  # fmt: skip

DISTRICTS = {district.id: district for district in (HONGGU, GONGSHU)}

AREAS = ("id", "name", "kind", "parent", "lat", "lon")
RESPONDERS = ("id", "name", "kind", "parent", "areas", "lat", "lon", "skills", "hours", "capacity", "channel", "address", "phone", "speed_kmh")
PERSONS = ("id", "name", "born", "area", "home", "address", "lat", "lon", "phones", "ability", "categories", "risks", "health_note", "confirmed_on")
CONTACTS = ("person", "name", "relation", "phone")
DEVICES = ("id", "line", "person", "home", "area", "place", "lat", "lon", "model")

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
    rows: list[Row] = [{"id": district.id, "name": district.zh, "kind": "district", "lat": district.lat, "lon": district.lon}]
    communities = []
    for place in district.places:
        rows.append({"id": place.id, "name": place.name, "kind": place.kind, "parent": district.id, "lat": place.lat, "lon": place.lon})
        for number, name in enumerate((*place.communities, *place.villages), 1):
            rural = name in place.villages
            lat, lon = near(chance, place.lat, place.lon, 2.2 if rural else 0.5)
            community = Community(f"{place.id}-{number}", place, name, rural, lat, lon)
            communities.append(community)
            kind = "village" if rural else "community"
            rows.append({"id": community.id, "name": name, "kind": kind, "parent": place.id, "lat": lat, "lon": lon})
    return rows, communities


def responders_of(district: District, communities: list[Community]) -> list[Row]:
    """The tree: station, street or town centre (where there is one), district centre, desk. Capacities: domain 2.13 and 2.14."""
    chance = random.Random(f"{SEED} responders {district.id}")
    phones = iter(range(1, 1000))

    def row(name: str, kind: str, parent: str, **more: object) -> Row:
        return {"name": name, "kind": kind, "parent": parent, "channel": "mqtt", "phone": landline(district, next(phones)), **more}

    rows = [
        row(f"{district.zh}12349坐席", "desk", "", id="desk", channel="console", capacity=1000),
        row(
            f"{district.zh}居家养老管理中心",
            "district_centre",
            "desk",
            id="district-centre",
            lat=district.lat,
            lon=district.lon,
            skills="lift;keys",
            capacity=4,
            speed_kmh=40,
        ),
        row("医疗急救120", "emergency", "desk", id="emergency-120", channel="console", capacity=1000, phone="120"),
    ]
    for place in district.places:
        if place.centre:
            capacity = 2 if place.elder_share >= 0.20 else 1
            rows.append(
                row(
                    f"{place.name}综合为老服务中心",
                    "street_centre",
                    "district-centre",
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
        parent = f"centre-{community.place.id}" if community.place.centre else "district-centre"
        lat, lon = near(chance, community.lat, community.lon, 0.1)
        hours = "" if counts[community.rural] % 3 == 0 else "08:00-20:00"
        title = "互助幸福院" if community.rural else ("为老服务驿站" if district.id == "honggu" else "养老服务站")
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
        parent = f"centre-{place.id}" if place.centre else "district-centre"
        skills = "care;medical-basic" if number <= district.medical_centres else "care"
        hours = "" if number % 4 else "07:00-22:00"
        rows.append(
            row(
                f"{place.name[:-2]}照料中心{number}号(虚构)",
                "provider",
                parent,
                id=f"care-{number:02d}",
                lat=lat,
                lon=lon,
                skills=skills,
                hours=hours,
                capacity=2,
            )
        )
    if not district.care_centres:
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
            "district-centre",
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
    people.devices.append({"id": "w-999999", "line": "wearables", "model": MODELS[0]})  # in a drawer: nobody owns it
    return people


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


def district_toml(district: District) -> str:
    """The head of the folder."""
    return f"""# Written by ../generate.py. Invented: every person, telephone number and address. Places lie about where they really are.
name = "{district.id}"
area_code = "{district.area_code}"
lat = {district.lat}
lon = {district.lon}

[names]
zh-CN = "{district.zh}"
en = "{district.en}"
"""


def write_district(district: District, into: Path, count: int) -> None:
    """All files of one district."""
    folder = into / district.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "district.toml").write_text(district_toml(district), encoding="utf-8")
    areas, communities = areas_of(district)
    people = people_of(district, communities, count)
    write(folder, "areas.csv", AREAS, areas)
    write(folder, "responders.csv", RESPONDERS, responders_of(district, communities))
    write(folder, "persons.csv", PERSONS, people.persons)
    write(folder, "contacts.csv", CONTACTS, people.contacts)
    write(folder, "devices.csv", DEVICES, people.devices)


def main() -> None:
    """Entry of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("districts", nargs="*", metavar="DISTRICT", default=sorted(DISTRICTS), help="honggu, gongshu; both when left out")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="where the folders go; here when left out")
    parser.add_argument("--full", action="store_true", help="as many persons as the plans speak of")
    parser.add_argument("--persons", type=int, help="exactly so many")
    args = parser.parse_args()
    for name in args.districts:
        district = DISTRICTS[name]
        count = args.persons or (district.full if args.full else district.persons)
        write_district(district, args.into, count)
        print(f"{args.into / name}: {count} persons")


if __name__ == "__main__":
    main()
