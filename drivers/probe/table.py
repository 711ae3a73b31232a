"""Which codec is probed how: its maker, and the address of its test device where the configuration names none."""

from typing import NamedTuple

from drivers.probe import broker, panel, telephone, tracker
from drivers.probe.contract import Maker


class Row(NamedTuple):
    """device: invented; no maker, operator or register gives such an address. alone: probed without being asked to.

    Whatever comes from it is taken for a test, so nobody's device may ever speak by it: nothing that a device says which has lost its number or was
    never given one (all noughts, a one). Test IMEIs begin with 00 (GSMA TS.06, reporting body identifiers).
    """

    maker: Maker
    device: str
    alone: bool = True


ROWS: dict[str, Row] = {
    "generic": Row(broker.generic, "self-test"),
    "station_reply": Row(broker.station_reply, "self-test"),
    "surgard": Row(panel.surgard, "FEFE"),
    "sia_dc09": Row(panel.sia_dc09, "FEFEFE"),
    "contact_id": Row(panel.contact_id, "FEFE"),
    "ascii_button": Row(panel.ascii_button, "FFFFFE:1"),
    "espa444": Row(panel.espa444, "99998"),
    "watch3g": Row(tracker.watch3g, "9999912349"),
    "gt06": Row(tracker.gt06, "009999999912349"),
    "jt808": Row(tracker.jt808, "999912349999"),
    "sip": Row(telephone.sip, "self-test"),
    "hep": Row(telephone.hep, "+8617400999998"),
}


def row_of(codec: str) -> Row | None:
    """The row of a codec; None: only the configuration knows its words, or nothing can be sent to it from outside."""
    return ROWS.get(codec)
