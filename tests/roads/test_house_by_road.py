"""A whole gateway: it starts without reach sets, has them prepared beside it, and sends by road from then on; a reload takes what is new."""

import asyncio
import contextlib
from pathlib import Path

from house import District, House

from simulators.wearables import Fleet


async def test_a_gateway_prepares_what_it_lacks_and_takes_it_without_a_restart(tiles: Path, tmp_path: Path) -> None:
    async with House(tmp_path, District()) as house:
        with house.config.open("a") as config:
            config.write(f'\n[routing.roads]\ntiles = "{tiles}"\ncell_m = 500\nreach_min = 10\n')
        fleet = Fleet(house.address, prefix="by-road")
        sending = asyncio.create_task(fleet.run())
        house.start()
        await house.lines_live()
        await house.sees(lambda: in_state(house, "in_use"), "the sets were prepared and are in use", 180.0)
        assert house.said('"state": "not_prepared"') == 1, "said once"
        assert house.said('"state": "in_use"') == 1
        fleet.send(house.district.wearable(1), "sos")
        await house.sees(lambda: decisions(house, 1), "the first is decided by road")

        responders = house.folder / "districts" / "chaos" / "responders.csv"
        text = responders.read_text()
        moved = text.replace("36.34,102.86", "36.336,102.87")
        assert moved != text
        responders.write_text(moved)
        house.hang_up()
        await house.sees(lambda: moved_is_known(house), "the station that moved has times of its own")
        fleet.send(house.district.wearable(2), "sos")
        await house.sees(lambda: decisions(house, 2), "decided by the new sets")

        files = sorted((tmp_path / "data" / "roads").glob("*.npz"))
        assert len(files) == 2
        files[0].write_bytes(b"damaged")
        files[1].write_bytes(b"damaged")
        house.hang_up()
        await house.sees(lambda: prepared_again(house), "damaged sets are made anew")
        assert await house.unbalanced() == {}
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        assert await house.stop() == 0


async def in_state(house: House, state: str) -> bool:
    return await house.metric("gateway_roads_state", state=state) == 1


async def moved_is_known(house: House) -> bool:
    return house.said('"state": "partly"') == 1 and house.said('"state": "in_use"') == 2 and await in_state(house, "in_use")


async def prepared_again(house: House) -> bool:
    return house.said('"state": "damaged"') == 1 and house.said('"state": "in_use"') == 3


async def decisions(house: House, number: int) -> bool:
    """So many orders by different sets."""
    found = {str(row["facts"]).partition('"travel":"roads:')[2][:12] for row in house.journal() if '"travel":"roads:' in str(row["facts"])}
    return len(found) == number
