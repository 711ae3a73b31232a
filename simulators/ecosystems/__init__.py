"""Ecosystems of MQTT devices as people own them, with their quirks, on a real broker.

said            what is published, and the face of an ecosystem
zigbee2mqtt, chirpstack, things_stack, owntracks, tasmota, esphome, shelly, theengs, minew, g616   one family each, pure
bridge          keeps one of them on a broker, cuts its cable, and remembers every press
judge           compares what was pressed with what stations and console show
command         `simulate ecosystem`
"""

from collections.abc import Callable, Mapping

from simulators.ecosystems.chirpstack import ChirpStack
from simulators.ecosystems.esphome import EspHome
from simulators.ecosystems.g616 import G616
from simulators.ecosystems.minew import MinewG1
from simulators.ecosystems.owntracks import OwnTracks
from simulators.ecosystems.said import Ecosystem
from simulators.ecosystems.shelly import Shelly
from simulators.ecosystems.tasmota import Tasmota
from simulators.ecosystems.theengs import Theengs
from simulators.ecosystems.things_stack import ThingsStack
from simulators.ecosystems.zigbee2mqtt import Zigbee2Mqtt

ECOSYSTEMS: Mapping[str, Callable[[Mapping[str, str]], Ecosystem]] = {
    "zigbee2mqtt": Zigbee2Mqtt,
    "chirpstack": ChirpStack,
    "things_stack": ThingsStack,
    "owntracks": OwnTracks,
    "tasmota": Tasmota,
    "esphome": EspHome,
    "shelly": Shelly,
    "theengs": Theengs,
    "minew": MinewG1,
    "g616": G616,
}
"""Name → made from its devices (address → model)."""
