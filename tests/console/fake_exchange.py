"""An exchange in memory that rings until it is told what came of it, and the invented house that dials over it."""

import asyncio
from typing import Any

import msgspec

from drivers.telephone import Answer, Dial, HangUp, Told, Transfer, Wish
from gateway.config import CallsConfig, Config, TelephoneConfig
from gateway.core.register import Register
from gateway.telephone import Telephone
from tests.console.fake_house import CONFIG, FakeHouse, invented_register

AGENTS = {"8001": "李娜", "8002": "赵敏"}


class Pbx:
    """An exchange that rings until told what came of it."""

    name = "hotline"

    def __init__(self) -> None:
        self.is_live = True
        self.wishes: list[Wish] = []
        self.ringing: dict[str, asyncio.Future[Told]] = {}

    async def ask(self, wish: Wish) -> Told:
        self.wishes.append(wish)
        if isinstance(wish, HangUp):
            ringing = self.ringing.pop(wish.call, None)
            if ringing is not None:
                ringing.set_result(Told(outcome="failed", reason="hung_up"))
            return Told(outcome="done" if ringing is not None or wish.call == "c1" else "unknown_call")
        if isinstance(wish, Transfer | Answer):
            return Told(outcome="done")
        assert isinstance(wish, Dial)
        self.ringing[wish.id] = asyncio.get_running_loop().create_future()
        return await self.ringing[wish.id]

    def ends(self, outcome: str, reason: str = "") -> None:
        """What came of the newest dial."""
        self.ringing.popitem()[1].set_result(Told(outcome=outcome, reason=reason))


def config(**limits: Any) -> Config:
    return msgspec.structs.replace(CONFIG, telephone=TelephoneConfig(line="hotline", **limits), calls=CallsConfig(agents=AGENTS))


def registered() -> Register:
    """The invented register, with a voice number for one device and a number for one station."""
    plain = invented_register()
    devices = [msgspec.structs.replace(one, phone="+8617400000099") if one.id == "w003" else one for one in plain.devices]
    responders = [msgspec.structs.replace(one, phone="+8617400000777") if one.id == "station-1" else one for one in plain.responders.values()]
    return Register(
        district="honggu", name="红古区", persons=plain.persons.values(), areas=plain.areas.values(), devices=devices, responders=responders
    )


def dialling_house(pbx: Pbx, **limits: Any) -> FakeHouse:
    """A house whose telephone is this exchange."""
    house = FakeHouse(registered(), config(**limits))
    house.telephone = Telephone(house.config.telephone, "12349", lambda: pbx if pbx.is_live else None)
    return house
