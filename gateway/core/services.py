"""The ordinary services (the N of 1+N): one list of codes, and every word by which a region asks for one of them.

Three lists were written by three governments (domain 1.4, 1.5, 5.11): the four of Honggu (生活照料 家政服务 健康管理, and rescue, which is no
ordinary service), the five of Gongshu (膳养 健养 休养 乐养 助养), the six of Beijing (床护助餐医康). Here they are ten codes.
"""

import unicodedata
from collections.abc import Iterable

import msgspec

from gateway.config.providers import ServiceConfig


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service. name: as this place says it; name_en: English; aliases: all other words, Simplified and Traditional."""

    code: str
    name: str
    name_en: str = ""
    aliases: tuple[str, ...] = ()


def _service(code: str, name: str, name_en: str, words: str) -> Service:
    return Service(code=code, name=name, name_en=name_en, aliases=tuple(words.split()))


SERVICES = (
    _service("life_care", "生活照料", "daily living", "生活照顧 生活照护 生活照護 日常照料 助浴 助洁 助潔"),
    _service("housekeeping", "家政服务", "housekeeping", "家政服務 家政 保洁 保潔"),
    _service("health", "健康管理", "health management", "健养 健養 健康 家庭医师签约 家庭醫師簽約 家庭医生签约 家庭醫生簽約"),
    _service("comfort", "精神慰藉", "emotional comfort", "精神慰籍 乐养 樂養 陪聊 心理慰藉 心理疏导 心理疏導 文化娱乐 文化娛樂"),
    _service("meals", "餐饮服务", "meals", "餐飲服務 餐 膳养 膳養 助餐 送餐 配餐 老年餐"),
    _service("bed", "床位服务", "beds and respite", "床位服務 床 床位 休养 休養 家庭养老床位 家庭養老床位 喘息服务 喘息服務"),
    _service("nursing", "护理服务", "nursing", "護理服務 护 護 护理 護理 上门照护 上門照護 上门护理 上門護理"),
    _service("assistance", "助老服务", "assistance", "助老服務 助 助养 助養 助行 助医 助醫 陪诊 陪診 送药 送藥 代办 代辦"),
    _service("medical", "医疗服务", "medical", "醫療服務 医 醫 医疗 醫療 上门诊疗 上門診療 巡诊 巡診"),
    _service("rehabilitation", "康复服务", "rehabilitation", "康復服務 康 康复 康復 康复训练 康復訓練 康复辅具 康復輔具"),
)


class Services:
    """The list of this district: ours, with its own names, words and services. Raises nothing: `gateway.config` has checked the sections."""

    def __init__(self, own: Iterable[ServiceConfig] = ()) -> None:
        self.by_code = {one.code: one for one in SERVICES}
        for more in own:
            known = self.by_code.get(more.code) or Service(code=more.code, name=more.code)
            former = (known.name,) if more.name and known.name != more.code else ()
            aliases = dict.fromkeys((*known.aliases, *former, *more.aliases))
            self.by_code[more.code] = msgspec.structs.replace(known, name=more.name or known.name, aliases=tuple(aliases))
        self._by_word: dict[str, str] = {}
        for one in (*SERVICES, *self.by_code.values()):  # what the district says goes before what others say
            for word in (*one.aliases, one.name_en, one.name, one.code):
                if word:
                    self._by_word[_plain(word)] = one.code

    def code_of(self, word: str) -> str:
        """The code of a service asked for by its code, name or any other word; "" when nobody calls a service so."""
        return self._by_word.get(_plain(word), "")

    def name_of(self, code: str) -> str:
        """What this place calls it."""
        known = self.by_code.get(code)
        return known.name if known is not None else code


def _plain(word: str) -> str:
    """Without the differences that typing makes: width, case, spaces."""
    return "".join(unicodedata.normalize("NFKC", word).casefold().split())
