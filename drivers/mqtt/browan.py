"""Browan (Tabs) sensors: TBPB100 button, TBMS100 motion, TBDW100 door, TBWL100 water leak. The port says which one it is.

Wire: status(1), battery(1: low 4 bits, 2.5 V + 0.1 V each), board temperature(1: low 7 bits, minus 32), then what differs.
Source: Browan's reference manuals and the codecs of the public LoRaWAN device repository (vendor browan).
"""

_STATE = {147: "pressed", 102: "occupied", 100: "open", 106: "leak"}


def read(data: bytes, port: int) -> dict[str, object] | None:
    """{pressed | occupied | open | leak: bool, battery_mv, temperature}; None on other ports and of what is too short or all zeros."""
    state = _STATE.get(port)
    if state is None or len(data) < 3 or not any(data):
        return None
    return {state: bool(data[0] & 1), "battery_mv": 2500 + 100 * (data[1] & 0x0F), "temperature": (data[2] & 0x7F) - 32}
