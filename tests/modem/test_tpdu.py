"""Short messages as octets, against PDUs of others: dreamfabric's published examples, the test suite of python-gsmmodem, captures in it, and the
reader of the simulated modem, which shares nothing with ours."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modem.gsm_alphabet import pack, septets_of, text_of, unpack
from drivers.modem.tpdu import Deliver, StatusReport, read_incoming, submits
from simulators.gsm_modem import read_submit

LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipisicing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.Ut enim ad minim "
    "veniam, quinostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat.Duis aute irure dolor in reprehenderit in voluptate "
    "velit esse cillum doloe eu fugiat nulla pariatur.Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim "
    "id est laborum"
)
SUBMITS = [  # number, text, validity, PDU without the service centre's octets
    ("+46708251358", "hellohello", 0xAA, "11000B916407281553F80000AA0AE8329BFD4697D9EC37"),
    ("+27820001111", "Hello World!", None, "01000B917228001011F100000CC8329BFD065DDF72363904"),
    ("+123456789", "世界您好！", 0xF4, "1100099121436587F90008F40A4E16754C60A8597DFF01"),
]


@pytest.mark.parametrize(("number", "text", "validity", "pdu"), SUBMITS, ids=["hellohello", "gsm7", "ucs2"])
def test_submit(number: str, text: str, validity: int | None, pdu: str) -> None:
    (made,) = submits(number, text, 0, report=False, validity=validity)
    assert (made.hex, made.length) == ("00" + pdu, len(pdu) // 2)


def test_long_submit() -> None:
    """python-gsmmodem's vector has TP-RD set (45), which we leave out (41): the rest is the same, octet for octet."""
    parts = [
        "0B915121551532F40000A0050003000301986F79B90D4AC3E7F53688FC66BFE5A0799A0E0AB7CB741668FC76CFCB637A995E9783C2E4343C3D4F8FD3EE33A8CC4ED359A079990C22"
        "BF41E5747DDE7E9341F4721BFE9683D2EE719A9C26D7DD74509D0E6287C56F791954A683C86FF65B5E06B5C36777181466A7E3F5B0AB4A0795DDE936284C06B5D3EE741B642FBBD3"
        "E1360B14AFA7DD",
        "0B915121551532F40000A0050003000302DE73BABC4E0695F165F9384D0FD3D36F37A8CE6687DBE337881D16BFE5E939C89D9EA741753A28CC4EC7EB6938A88C0795C3A0F1BBDD7E"
        "93DFA0F1DB3D2FC7EB61BA8B584FCF41E13ABD0C4ACBEBF23288FC66BFE5A0B41B242FC3E56574D94D2ECBD37450DA0DB2BFD975383D4C2F83EC65769A0E2ACFE765D038CD66D7DB"
        "20F29BFD2E83CA",
        "0B915121551532F400008C050003000303EA2073FD9C0ED341EE3A9B1D06C1C3F274985E97BB8AF871194E2FD7E5A079DA4D07BDC7E370791CA683C675789A1CA687E920F7DB0D82"
        "CBDF6972D94D6781E675371D947683C675363C0C8AD7D3A0B7D99C1EA7C32072795E96D7DD7450FBCD66A7E9A0B03BDD06A5C9A0F29C0E6287C56F79BD0D",
    ]
    assert [made.hex for made in submits("+15125551234", LOREM, 0, report=False, validity=None)] == ["004100" + part for part in parts]


DELIVERS = [
    ("07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37", "27838890001", "hellohello", 1),
    ("06917228195339040B917228214365F700003130805120618005D4F29C2E03", "+27821234567", "Test2", 1),
    (
        "07915892000000F0040B915892214365F700007040213252242331493A283D0795C3F33C88FE06C9CB6132885EC6D341EDF27C1E3E97E7207B3A0C0A5241E377BB1D7693E72E",
        "+85291234567", "It is easy to read text messages via AT commands.", 1,
    ),
    ("06917228195339040B917228214365F70000313062315352800A800D8A5E98D337A910", "+27821234567", "@{tést}!", 1),
    (
        "0591721891F1400781721881F800003160526104848059050003C30101916536FB1DCABEEB2074D85E064941B19CAB060319A5C522289C96D3D3ED32286C0FA7D96131BBEC024941"
        "B19CAB0603DDD36C36A88C87A7E565D0DB0D82C55EB0DB4B068BCD5C20",
        "2781188", "Hello!You have R 19.50 FREE airtime available. R 19.50 will expire on 01/07/2013. ", 1,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("pdu", "sender", "text", "parts"), DELIVERS)
def test_deliver(pdu: str, sender: str, text: str, parts: int) -> None:
    read = read_incoming(pdu.encode())
    assert isinstance(read, Deliver)
    assert (read.sender, read.text, read.parts) == (sender, text, parts)


def test_the_time_of_the_service_centre() -> None:
    read = read_incoming(DELIVERS[2][0].encode())
    assert isinstance(read, Deliver)
    assert read.sent_at == datetime(2007, 4, 12, 15, 25, 42, tzinfo=UTC)  # 23:25:42 eight hours east


def test_status_reports() -> None:
    assert read_incoming(b"0006D60B911326880736F4111011719551401110117195714000") == StatusReport(214, "+31628870634", 0)
    assert StatusReport(1, "", 0x45).has_failed
    assert not StatusReport(1, "", 0x30).is_over


@pytest.mark.parametrize(
    ("text", "packed"),  # python-gsmmodem's table of septets
    [
        ("123", "31D90C"),
        ("12345678", "31D98C56B3DD70"),
        ("Hello World!", "C8329BFD065DDF72363904"),
        ("[{abc}]~", "1BDE0615168F37A98D6FD303"),
        ("a[]{}€", "E10D6FE3DBA036A94D19"),
    ],
)
def test_septets(text: str, packed: str) -> None:
    septets = septets_of(text)
    assert septets is not None
    assert pack(septets).hex().upper() == packed
    assert text_of(unpack(bytes.fromhex(packed), len(septets))) == text


@given(st.text(min_size=1, max_size=400).filter(lambda text: text.isprintable()), st.integers(0, 255))
def test_what_we_send_others_read(text: str, reference: int) -> None:
    """An independent decoder reads the same text, and every part fits into one message of the network."""
    made = submits("+8617400123456", text, reference)
    read = []
    for part in made:
        assert part.length == len(part.hex) // 2 - 1
        assert len(part.hex) // 2 <= 1 + 155 + 9  # TS 23.040: at most 140 octets of user data behind the head
        fields = read_submit(part.hex)
        assert fields is not None
        assert (fields.number, fields.parts, fields.reference) == ("+8617400123456", len(made), reference if len(made) > 1 else 0)
        read.append(fields.text if fields.coding == 8 else text_of(fields.text.encode("latin-1")))
    if len(made) < 10:
        assert "".join(read) == text


@given(st.binary(max_size=200))
def test_no_octets_raise(octets: bytes) -> None:
    read_incoming(octets)
    read_incoming(octets.hex().encode())


@pytest.mark.parametrize("pdu", [pdu for pdu, *_ in DELIVERS])
def test_no_prefix_and_no_flipped_octet_raises(pdu: str) -> None:
    octets = bytes.fromhex(pdu)
    for at in range(len(octets)):
        read_incoming(octets[:at].hex().encode())
        for bit in (0x01, 0x80, 0xFF):
            read_incoming((octets[:at] + bytes((octets[at] ^ bit,)) + octets[at + 1 :]).hex().encode())
