"""One list of services: every word of the three governments' lists finds its code, in both scripts, and a district may add its own."""

from datetime import UTC, datetime

import pytest

from gateway.check_territory import territory_doubts
from gateway.config.providers import ServiceConfig
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.services import SERVICES, Services
from gateway.core.territory import Provider

# Domain 1.4 (Honggu; rescue is no ordinary service), 1.5 and 5.11 (Gongshu), 5.11 (Beijing, written in Traditional characters).
LISTS = {
    "honggu": {"生活照料": "life_care", "家政服务": "housekeeping", "健康管理": "health"},
    "gongshu": {"膳养": "meals", "健养": "health", "休养": "bed", "乐养": "comfort", "助养": "assistance"},
    "gongshu, 1+N": {"生活照料": "life_care", "家政服务": "housekeeping", "健康管理": "health", "精神慰籍": "comfort"},
    "beijing": {"床": "bed", "護": "nursing", "助": "assistance", "餐": "meals", "醫": "medical", "康": "rehabilitation"},
}


@pytest.mark.parametrize(("word", "code"), [pair for words in LISTS.values() for pair in words.items()])
def test_each_governments_word_finds_its_code(word: str, code: str) -> None:
    assert Services().code_of(word) == code


def test_emergency_rescue_is_no_ordinary_service() -> None:
    assert Services().code_of("应急救援") == ""
    assert Services().code_of("助急") == ""


def test_no_word_means_two_services() -> None:
    words = [word for one in SERVICES for word in {one.code, one.name, one.name_en, *one.aliases}]
    assert sorted(words) == sorted(set(words))


def test_typing_makes_no_difference() -> None:
    assert Services().code_of(" Ｍeals ") == "meals"
    assert Services().code_of("家庭医生 签约") == "health"
    assert Services().code_of("") == ""


def test_a_district_has_names_words_and_services_of_its_own() -> None:
    services = Services(
        [
            ServiceConfig(code="meals", name="膳养", aliases=("幸福厨房",)),
            ServiceConfig(code="bath", name="助浴", aliases=("洗澡",)),
        ]
    )
    assert services.name_of("meals") == "膳养"
    assert {services.code_of(word) for word in ("膳养", "餐饮服务", "幸福厨房", "餐")} == {"meals"}
    assert (services.code_of("助浴"), services.code_of("洗澡")) == ("bath", "bath")
    assert services.name_of("gone") == "gone"


def test_a_provider_whose_service_nobody_can_ask_for_is_told() -> None:
    rows = [Provider(id="a", services=("meals", "meal")), Provider(id="b", services=("bath",))]
    register = Register(district="d", responders=[Responder(id=row.id, name=row.id, kind=ResponderKind.PROVIDER) for row in rows], providers=rows)

    def doubts(*own: ServiceConfig) -> list[tuple[str, tuple[str, ...]]]:
        now = datetime(2026, 3, 14, tzinfo=UTC)
        return [(one.of, one.ids) for one in territory_doubts(register, "d", now, Services(own)) if one.what == "unknown_service"]

    assert doubts() == [("bath", ("b",)), ("meal", ("a",))]
    assert doubts(ServiceConfig(code="bath", name="助浴")) == [("meal", ("a",))]
