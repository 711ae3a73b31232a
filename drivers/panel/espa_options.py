"""What installations of ESPA 4.4.4 differ in: role and addresses, times, characters, and which kind a call is."""

import re
from typing import Literal

import msgspec

from drivers.panel.text_rules import TextRule, check_rules
from gateway.event import Kind


class EspaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first rule that fits decides on the kind: texts, then beeps, then priorities, then default.

    role             station: we are polled, as paging equipment is; control: we poll the others. There is one control station on a link
    address          ours, one digit; default by convention: 2 as station, 1 as control station
    lenient          the peer omits its own enquiry, or sends blocks unselected: take `2 ENQ` for a selection, and such blocks too
    poll_silence_s   as station: so long without a poll, a selection or a block for us is told as loss of the control station;
                     0: never, for links on which nobody polls
    stations         as control station: whom to poll, in turn
    poll_s           as control station: from one poll to the next
    tell             what a caller hears when its call is taken or over: status (status information: acknowledged, terminated),
                     text (a call with a text to the same address, and a reset call), none
    tell_to          the station that hears it when we do not know which one brought the call; default: the control station, or the first we poll
    data_bits        7: a character with bit 7 is a transmission error
    charset, letters how 8-bit text reads, and national letters of a 7-bit set (for instance {"[" = "Ä"})
    default          an unmapped call from a nurse-call line is an emergency
    repeat_within_s  the same call (address and text) again within this time is its repeat, later it is a new call
    """

    role: Literal["station", "control"] = "station"
    address: str | None = None
    lenient: bool = False
    poll_silence_s: float = 60.0
    stations: tuple[str, ...] = ("2",)
    poll_s: float = 1.0
    tell: Literal["none", "status", "text"] = "none"
    tell_to: str | None = None
    data_bits: Literal[7, 8] = 8
    charset: Literal["latin-1", "cp850", "cp437"] = "latin-1"
    letters: dict[str, str] = {}
    texts: tuple[TextRule, ...] = ()
    beeps: dict[str, Kind] = {}
    priorities: dict[str, Kind] = msgspec.field(default_factory=lambda: {"1": Kind.SOS})
    default: Kind = Kind.SOS
    repeat_within_s: float = 600.0

    def __post_init__(self) -> None:
        for key, value in (("address", self.address), ("tell_to", self.tell_to), *(("stations", one) for one in self.stations)):
            if value is not None and not re.fullmatch("[0-9]", value):
                raise ValueError(f"{key}: {value!r} is not one digit 0 to 9")
        if self.role == "control":
            if not self.stations or chr(self.own_address) in self.stations or len(set(self.stations)) != len(self.stations):
                raise ValueError("stations: name each station to poll once, and never our own address")
            if not 0.1 <= self.poll_s <= 60:
                raise ValueError(f"poll_s: {self.poll_s} is not between 0.1 and 60 seconds")
        if self.poll_silence_s < 0:
            raise ValueError(f"poll_silence_s: {self.poll_silence_s} is no time; write seconds, or 0 for never")
        if any(len(letter) != 1 for letter in self.letters):
            raise ValueError("letters: each key is one character")
        check_rules(self.texts)

    @property
    def own_address(self) -> int:
        """The digit as it stands on the wire."""
        return ord(self.address or ("1" if self.role == "control" else "2"))

    @property
    def usual_peer(self) -> int:
        """Who hears what we have to tell, if we do not know better."""
        return ord(self.tell_to or (self.stations[0] if self.role == "control" else "1"))
