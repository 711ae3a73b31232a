"""A family contact's link: announces an absence, sees how it is, belongs to one device, and ends with consent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from playwright.async_api import expect

from tests.responder_page.page_house import Families, PageHouse, page_house
from tests.responder_page.test_page_browser import look, telephone


def link_of(place: PageHouse, person: str = "pw-1", contact: int = 1) -> str:
    done = place.house.run("link", "absence", person, str(contact))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_an_operator_on_duty_makes_the_link_and_it_is_on_record(tmp_path: Path) -> None:
    """A supervisor sees in the journal who made which contact's link; the link itself is in no record and no log."""
    async with page_house(tmp_path, families=True) as place:
        refused = await place.post("/api/v1/watch/pw-1/family_link", contact=2)
        assert (refused.status_code, refused.json()["reason"]) == (409, "no_consent"), "the neighbour never agreed to anything"
        made = await place.post("/api/v1/watch/pw-1/family_link", contact=1)
        assert made.status_code == 200
        assert timedelta(days=29.9) < datetime.fromisoformat(made.json()["until"]) - datetime.now(UTC) <= timedelta(days=30)
        link = made.json()["link"]
        phone = place.telephone()
        await phone.open(link)
        await phone.press("open")
        assert "某人" in phone.text
        (entry,) = [row for row in place.house.journal() if row["kind"] == "reveal"]
        facts = msgspec.json.decode(str(entry["facts"]))
        assert (facts["field"], facts["contact"]) == ("family_link", 1)
        assert any('"kind":"reveal"' in line and '"actor":"Li Na"' in line for line in place.house.run("journal", "show").stdout.splitlines())
        token = link.rsplit("/", 1)[1]
        assert token not in str(entry)
        assert place.house.said(token) == 0


async def watched(place: PageHouse, person: str = "pw-1") -> dict[str, Any]:
    answer = await place.house.get("/api/v1/watch")
    assert answer is not None
    return next(row for row in answer.json()["watched"] if row["person"]["id"] == person)


async def test_a_daughter_announces_an_absence_and_takes_it_back(tmp_path: Path) -> None:
    async with page_house(tmp_path, families=True) as place:
        link = link_of(place)
        assert "某" not in link
        assert "17400" not in link
        phone = place.telephone("zh-CN")
        await phone.open(link)
        assert "某人" not in phone.text
        await phone.press("open")
        assert "某人" in phone.text
        assert "目前没有警情" in phone.text
        announce = phone.form("away")
        await phone.press("away", days="3", note="在女儿家")
        assert "已登记外出，到" in phone.text
        absence = (await watched(place))["absent"]
        until = datetime.fromisoformat(absence["until"])
        assert timedelta(days=2.9) < until - datetime.now(UTC) <= timedelta(days=3)
        await phone.send({**announce, "days": "3"}, link)  # the same press again
        entries = [row["facts"] for row in place.house.journal() if row["kind"] == "absence"]
        assert len(entries) == 1
        assert "family" in str(entries[0])
        assert "在女儿家" in str(entries[0])
        await phone.press("back")
        assert (await watched(place))["absent"] is None
        assert (await phone.send({**announce, "days": "999"}, link)).status_code == 409
        token = link.rsplit("/", 1)[1]
        assert place.house.said(token) == place.house.said("17400") == 0


async def test_how_it_is_in_the_moments_agreed(tmp_path: Path) -> None:
    async with page_house(tmp_path, families=True) as place:
        phone = place.telephone("en")
        await phone.open(link_of(place))
        await phone.press("open")
        order = await place.ordered(1)
        link = str(phone.page.url) if phone.page is not None else ""
        assert "An alarm was received" in (await phone.open(link)).text
        reply = '{"delivery":"%s","answer":"%s","by":"Wang"}'
        topic = f"stations/{next(topic for topic, _ in place.witness.received if topic.endswith('/dispatch')).split('/')[1]}/reply"
        for answer, said in (("accept", "Help is on the way"), ("arrived", "Help has arrived")):
            await place.witness.publish(topic, reply % (order["delivery"], answer))

            async def is_said(said: str = said) -> bool:
                return said in (await phone.open(link)).text

            await place.house.sees(is_said, said)
        assert order["delivery"] not in phone.text


async def test_it_belongs_to_one_device_outlives_a_kill_and_ends_with_consent(tmp_path: Path) -> None:
    async with page_house(tmp_path, families=True) as place:
        link = link_of(place)
        mine, theirs = place.telephone(), place.telephone()
        await theirs.open(link)
        held = theirs.form("open")
        await mine.open(link)
        await mine.press("open")
        place.house.kill()
        await place.start()
        for attempt in (await theirs.send(held, link), await theirs.open(link)):
            assert attempt.status_code == 403
            assert "某人" not in attempt.text
        assert "某人" in (await mine.open(link)).text
        district = place.house.district
        assert isinstance(district, Families)
        district.write_contacts(tmp_path / "districts" / "chaos", "")
        place.house.hang_up()

        async def has_ended() -> bool:
            return (await mine.open(link)).status_code == 410

        await place.house.sees(has_ended, "the link ends with consent")
        assert "某人" not in mine.text
        refused = place.house.run("link", "absence", "pw-1", "1")
        assert refused.returncode == 1
        assert "consent_on" in refused.stderr


async def test_a_link_is_made_only_for_whom_it_may_be(tmp_path: Path) -> None:
    async with page_house(tmp_path, families=True) as place:
        for arguments, why in ((("pw-1", "2"), "consent_on"), (("pw-1", "3"), "has 2 contacts"), (("pw-99", "1"), "no person")):
            done = place.house.run("link", "absence", *arguments)
            assert done.returncode == 1
            assert why in done.stderr
            assert done.stdout == ""


async def test_it_looks_right_in_both_languages(tmp_path: Path) -> None:
    async with page_house(tmp_path, families=True) as place:
        for number, (language, button, summary) in enumerate((("zh-CN", "打开", "登记外出"), ("en-GB", "Open", "Announce an absence"))):
            link = link_of(place, f"pw-{number + 1}")
            async with telephone(place, language) as page:
                await page.goto(link)
                await look(page, f"family-{language}-cover")
                await page.get_by_role("button", name=button).tap()
                await page.locator("summary", has_text=summary).tap()
                await look(page, f"family-{language}-announce")
                await page.locator("details button").tap()
                await expect(page.locator(".due")).to_be_visible()
                await look(page, f"family-{language}-away")
