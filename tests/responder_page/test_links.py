"""Tokens: only what we signed is read, nothing else ever raises, and a device's secret is good for its link alone."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event import new_id
from gateway.responder_page.links import Links, What, device_mark, fingerprint

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
OLD, NEW = b"old key, thirty-two bytes long!!", b"new key, thirty-two bytes long!!"
LINKS = Links("https://help.example.org/", [NEW])
DELIVERY = "0195d0f3a1b27c3d8e4f5a6b7c8d9e0f"


def token_of(links: Links = LINKS, delivery: str = DELIVERY, responder: str = "station-7", expires: datetime = NOW) -> str:
    link = links.link_for(delivery, responder, expires)
    assert link is not None
    return link.rsplit("/", 1)[1]


def test_a_link_says_which_order_whose_and_until_when() -> None:
    link = LINKS.link_for(DELIVERY, "station-7", NOW + timedelta(seconds=90))
    assert link is not None
    assert link.startswith("https://help.example.org/")
    assert len(token_of()) == 52
    reading = LINKS.read(link.rsplit("/", 1)[1])
    assert reading is not None
    assert (reading.what, reading.delivery, reading.fingerprint) == (What.ORDER, DELIVERY, fingerprint("station-7"))
    assert NOW + timedelta(seconds=90) <= reading.expires < NOW + timedelta(seconds=90 + 60)  # whole minutes, never too short


def test_the_same_order_has_the_same_link_and_a_strange_id_none() -> None:
    assert token_of() == token_of()
    assert token_of() != token_of(delivery=new_id())
    assert token_of() != token_of(responder="station-8")
    for strange in ("", "d1", "x" * 32, str(uuid4())):
        assert LINKS.link_for(strange, "station-7", NOW) is None


@given(st.integers(0, 38), st.integers(1, 255))
def test_no_byte_may_differ(place: int, change: int) -> None:
    data = bytearray(base64.urlsafe_b64decode(token_of()))
    data[place] ^= change
    assert LINKS.read(base64.urlsafe_b64encode(data).rstrip(b"=").decode()) is None


@given(st.text(max_size=220) | st.text("ABCDEFGHIJabcdefghij0123456789-_", min_size=40, max_size=210))
def test_any_text_is_read_without_raising_and_as_nothing(text: str) -> None:
    assert LINKS.read(text) is None
    assert not LINKS.is_device(token_of(), text)
    assert not LINKS.is_nonce("secret", text)


def test_one_link_has_one_spelling() -> None:
    short = LINKS.family_link("p-1", 0, "n", "", NOW)  # a length that leaves spare bits in its last character
    assert short is not None
    token = short.rsplit("/", 1)[1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [one for one in alphabet if LINKS.read(token[:-1] + one) is not None] == [token[-1]]
    assert LINKS.read(token + "=") is None


def test_after_a_change_of_keys_old_links_are_read_and_new_ones_signed_anew() -> None:
    before, during, after = Links("https://x", [OLD]), Links("https://x", [NEW, OLD]), Links("https://x", [NEW])
    old, secret = token_of(before), before.new_device("t")
    assert during.read(old) is not None
    assert during.is_device("t", secret)
    assert token_of(during) == token_of(after) != old
    assert after.read(old) is None
    assert not after.is_device("t", secret)


def test_a_secret_is_good_for_its_link_and_a_nonce_for_its_device() -> None:
    mine, other = token_of(), token_of(delivery=new_id())
    secret = LINKS.new_device(mine)
    assert LINKS.is_device(mine, secret)
    assert not LINKS.is_device(other, secret)
    nonce = LINKS.new_nonce(secret)
    assert LINKS.is_nonce(secret, nonce)
    assert not LINKS.is_nonce(LINKS.new_device(mine), nonce)
    assert not LINKS.is_device(mine, nonce)
    assert device_mark(secret) == device_mark(secret) != device_mark(nonce)
    assert LINKS.new_device(mine) != secret


def test_a_family_link_names_its_contact() -> None:
    link = LINKS.family_link("p-0042", 1, "王某", "+8617400000001", NOW)
    assert link is not None
    assert "%" not in link
    reading = LINKS.read(link.rsplit("/", 1)[1])
    assert reading is not None
    assert (reading.what, reading.contact) == (What.FAMILY, ("p-0042", 1))
    assert reading.fingerprint == fingerprint("王某", "+8617400000001") != fingerprint("王某", "+8617400000002")
    assert LINKS.family_link("p" * 200, 1, "n", "", NOW) is None


@pytest.mark.parametrize("when", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
def test_times_out_of_range_are_the_first_or_the_last(when: datetime) -> None:
    reading = LINKS.read(token_of(expires=when))
    assert reading is not None
    assert 2025 <= reading.expires.year <= 2056
