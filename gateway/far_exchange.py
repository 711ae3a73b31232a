"""The telephone exchange of an edge, as consoles of several machines ask it: `line.<line>.wish` on the bus, one answer for each wish."""

import msgspec

from drivers.telephone import Answer, Dial, Exchange, HangUp, Ring, Told, Transfer, Wish
from gateway.bus.contract import Bus, BusDown, Handler
from gateway.bus.shard_words import packed

SPARE_S = 35.0  # beside the time that it may ring: an exchange answers within 30 (drivers.telephone.Exchange)
_KINDS: dict[str, type[Wish]] = {one.__name__: one for one in (Dial, Ring, HangUp, Transfer, Answer)}


def subject_of(line: str) -> str:
    """Where the wishes of a line are asked."""
    return f"line.{line}.wish"


class FarExchange:
    """drivers.telephone.Exchange, of a line that an edge has."""

    def __init__(self, name: str, bus: Bus) -> None:
        self.name = name
        self._bus = bus

    async def ask(self, wish: Wish) -> Told:
        """`lost` when the edge does not answer; it may then be carried out all the same."""
        rings_s = wish.rings_s if isinstance(wish, Dial | Ring) else 0.0
        try:
            told = await self._bus.ask(subject_of(self.name), packed((type(wish).__name__, packed(wish))), rings_s + SPARE_S)
            return msgspec.msgpack.decode(told, type=Told)
        except (BusDown, msgspec.MsgspecError):
            return Told(outcome="lost", reason="edge_silent")


def carrying_out(line: Exchange) -> Handler:
    """Of an edge: what is asked of this line is done."""

    async def ask(body: bytes) -> bytes:
        name, wish = msgspec.msgpack.decode(body, type=tuple[str, bytes])
        if name not in _KINDS:
            return packed(Told(outcome="refused", reason="other_version"))
        return packed(await line.ask(msgspec.msgpack.decode(wish, type=_KINDS[name])))

    return ask
