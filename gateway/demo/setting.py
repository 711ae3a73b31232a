"""The demo's gateway.toml and register: Honggu as it comes with the gateway, with a few rows for this evening. All of it is invented."""

import csv
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

AMI_SECRET = "gateway"  # as the simulated exchange has it
# Invented; extensions 8001 and up. Only the first has an account: what the others answer must not open at the desk of somebody who looks on.
AGENTS = ("李娜", "何丽", "徐静", "朱琳", "高洁", "林涛", "孙丽", "周强")
CLASSES = {"Invented Street Pendant": ("pendant", "gw-hualong"), "Invented Street Gateway": ("street-gateway", "")}  # model → class, via
DIALLED = ("alarm-panels", "watches", "terminals")  # lines that devices dial
OWN = ("console", "ami", "sip", "texts", "page", "city", "hep")  # what else needs a port
PANEL_KEY = bytes(range(16)).hex()  # of the account that encrypts; the simulated panel knows it
RUNG_TOWN = "pingan"  # its stations have no computer: their telephone is rung, a key is the answer

# Numbers that no subscriber has. The first is the reader's part, the second opens the link and answers by itself.
COMPANY, NEIGHBOUR, DOCTOR = "+8617400990001", "+8617400990002", "+8617400990003"
ILL = "p-00290"  # lives alone; their contact agreed to be told
AGREED = {"tell": "alarm;coming;over", "channel": "sms", "consent_on": "2026-01-05"}
HEALTH = {"doctor": "doctor-demo", "conditions": "高血压", "medicines": "虚构药片", "allergies": "青霉素"}
PROVIDER = {"kind": "provider", "parent": "district-centre", "skills": "care", "capacity": "3", "speed_kmh": "25"}
RESPONDERS: tuple[dict[str, str], ...] = (
    # The good one has twenty-two minutes to go, the bad one half a minute.
    {"id": "provider-good", "name": "远处虚构家政公司", "lat": "36.3525", "lon": "102.88", "channel": "mqtt", "phone": "0931-5550091", **PROVIDER},
    {"id": "provider-near", "name": "近处虚构家政公司", "lat": "36.4165", "lon": "102.8815", "channel": "mqtt", "phone": "0931-5550092", **PROVIDER},
    # Its orders are the onlooker's part, one an evening, and may never be answered: a small capacity would be full after some evenings.
    {"id": "provider-link", "name": "虚构陪伴社", "lat": "36.3400", "lon": "102.8680", "channel": "sms", "phone": COMPANY,
     **PROVIDER, "capacity": "1000"},
    {"id": "neighbour-demo", "name": "虚构邻居周大姐", "kind": "neighbour", "areas": "", "lat": "36.34290", "lon": "102.87110",
     "capacity": "4", "channel": "sms", "phone": NEIGHBOUR, "speed_kmh": "4"},
    {"id": "doctor-demo", "name": "虚构家庭医生", "kind": "doctor", "lat": "36.3422", "lon": "102.8644", "skills": "medical-basic",
     "capacity": "20", "channel": "sms", "phone": DOCTOR},
)  # fmt: skip
AGREEMENT = {"state": "admitted", "since": "2026-01-01", "until": "2035-12-31", "assessor": "虚构第三方评估中心"}
GRADED = {"scale": "5", "graded_on": "2026-01-15", "grade_until": "2035-12-31"}
PROVIDERS: tuple[dict[str, str], ...] = (
    {"id": "provider-good", "services": "housekeeping", "urgent": "yes", "response_min": "30", "grade": "5", **AGREEMENT, **GRADED},
    {"id": "provider-near", "services": "housekeeping", "urgent": "yes", "response_min": "30", "grade": "1", **AGREEMENT, **GRADED},
    {"id": "provider-link", "services": "assistance", "urgent": "no", **AGREEMENT},
)

# Deadlines of an evening that lasts a minute: a silent station is asked for six seconds, not sixty; who lives alone is missed after twenty.
CONFIG = """
[gateway]
district = "honggu"
language = "{language}"
districts = "{districts}"
data = "{folder}"
[console]
no_ears_s = 0
listen = "127.0.0.1:{ports[console]}"
[self_test]
every_s = 5
within_s = 5
[log]
format = "json"
[calls]
area_code = "0931"
[calls.agents]
{agents}
[[hotline]]
number = "12345"
supplementary = true
[telephone]
line = "pbx"
[dispatch.phone]
[dispatch.mqtt]
broker = "{broker}"
client_id = "gateway-demo-orders"
[dispatch.sms]
url = "http://127.0.0.1:{ports[texts]}/send"
json = {{ to = "{{phone}}", text = "{{text}}" }}
success = "code == `0`"
message_id = "id"
[responder_page]
listen = "127.0.0.1:{ports[page]}"
public_url = "http://127.0.0.1:{ports[page]}"
secret_file = "page.secret"
[[counterpart]]
name = "city"
kind = "management"
url = "http://127.0.0.1:{ports[city]}/12349"
secret_file = "city.secret"
[policy]
service_quiet = ""
[policy.critical]
acknowledge_s = 30
reply_s = 6
repeat_s = 30
order = "at_once"
[policy.major]
acknowledge_s = 20
reply_s = 10
repeat_s = 30
order = "unacknowledged"
[[line]]
name = "wearables"
codec = "generic"
broker = "{broker}"
mandatory = true
[[line]]
name = "station-replies"
codec = "station_reply"
broker = "{broker}"
mandatory = true
[[line]]
name = "corridor-panel"
codec = "espa444"
listen = "serial:{folder}/panel0:baudrate=9600"
silence_s = 60
[[line]]
name = "corridor-buttons"
codec = "ascii_button"
listen = "serial:{folder}/buttons0:baudrate=57600"
[line.options.learned]
{learned}
[[line]]
name = "pbx"
codec = "ami"
connect = "tcp:127.0.0.1:{ports[ami]}"
[line.options]
username = "gateway"
secret_file = "{folder}/ami.secret"
[[line]]
name = "home-units"
codec = "sip"
listen = "udp:{ports[sip]}:interface=127.0.0.1"
[line.options.body_options.scaip.voice]
mre = "01"
cre = "62"
tnu = "12349"
[[line]]
name = "alarm-panels"
codec = "sia_dc09"
listen = "tcp:{ports[alarm-panels]}:interface=127.0.0.1"
[line.options.accounts.7101]
key = "{panel_key}"
must_encrypt = true
[[line]]
name = "watches"
codec = "watch3g"
listen = "tcp:{ports[watches]}:interface=127.0.0.1"
[[line]]
name = "terminals"
codec = "jt808"
listen = "tcp:{ports[terminals]}:interface=127.0.0.1"
[[line]]
name = "zigbee"
codec = "mapping"
broker = "{broker}"
[line.options]
mappings = ["zigbee2mqtt"]
[[device_class]]
name = "pendant"
interval_s = 4
grace_s = 2
[[device_class]]
name = "street-gateway"
interval_s = 4
grace_s = 2
[[watch]]
name = "alone"
within_s = 18
quiet = ""
grace_s = 1
steps = ["prompt", "call", "station"]
step_s = 1.5
"""


def write_config(shipped: Path, folder: Path, broker: str, ports: Mapping[str, int], language: str = "zh-CN") -> Path:
    """The gateway's file with its register and secrets, all in one folder. ports: of DIALLED and OWN."""
    config, districts = folder / "gateway.toml", _districts(shipped, folder)
    agents = "\n".join(f'{8001 + place} = "{name}"' for place, name in enumerate(AGENTS))
    told = CONFIG.format(
        districts=districts,
        folder=folder,
        broker=broker,
        ports=ports,
        language=language,
        agents=agents,
        learned=_learned(districts),
        panel_key=PANEL_KEY,
    )
    config.write_text(told, encoding="utf-8")
    for name, secret in (("ami.secret", AMI_SECRET), ("page.secret", secrets.token_hex(32)), ("city.secret", secrets.token_hex(32))):
        (folder / name).touch(0o600)
        (folder / name).write_text(secret, encoding="utf-8")
    return config


def _districts(shipped: Path, folder: Path) -> Path:
    """A copy of the register for this evening; gives the folder of the districts.

    The stations of one town are rung; who has a pendant and a 4G watch is watched over; the street gateway and what is behind it have classes.
    """
    found = folder / "districts"
    shutil.copytree(shipped / "honggu", found / "honggu")
    names = ("responders", "providers", "devices", "persons", "contacts")
    tables = responders, providers, devices, persons, contacts = tuple(_Table(found / "honggu" / f"{name}.csv") for name in names)
    for row in responders.rows:
        if row["kind"] == "station" and row["areas"].startswith(f"{RUNG_TOWN}-"):
            row["channel"] = "phone"
        elif row["channel"] == "webhook":  # its web server is not among the players
            row["channel"] = "mqtt"
    responders.rows += RESPONDERS
    providers.rows += PROVIDERS
    for row in devices.rows:
        row["class"], row["via"] = CLASSES.get(row["model"], ("", ""))
    wearers = {row["person"] for row in devices.rows if row["line"] == "wearables"}
    watches = {row["person"] for row in devices.rows if "Watch 4G" in row["model"]}
    for row in persons.rows:
        row["watch"] = "alone" if row["id"] in wearers & watches else ""
        row |= HEALTH if row["id"] == ILL else {}
    for row in contacts.rows:
        row |= AGREED if row["person"] == ILL else {}
    for table in tables:
        table.write()
    return found


class _Table:
    """A CSV of the register: its rows, to be changed and written again; new columns stand behind the old ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open(newline="", encoding="utf-8") as file:
            self.rows: list[dict[str, str]] = list(csv.DictReader(file))

    def write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def _learned(districts: Path) -> str:
    """Every call button in the register is a learned one: TOML lines."""
    with (districts / "honggu" / "devices.csv").open(newline="", encoding="utf-8") as file:
        return "\n".join(f'"{row["id"]}" = "sos"' for row in csv.DictReader(file) if row["line"] == "corridor-buttons")
