"""What a HEP line says of itself on /metrics; no peer may fill the page."""

from drivers.calls.hep import MAX_AGENTS
from drivers.lines.measures import measures
from tests.sip.sip_wire import START, Dialog, hep3
from tests.sip.test_datagram import a_line
from tests.sip.test_hep3 import chunk

SOURCE = ("192.0.2.10", 9060)


def said(line: object) -> dict[tuple[str, ...], float]:
    return {(one.name, *one.labels.values()): one.value for one in measures(line)}


def test_what_is_counted_is_shown() -> None:
    line = a_line()
    line.counts["dropped"] += 2
    line._receive(hep3(Dialog().request()), SOURCE)
    for packet in (hep3(b"{}", kind=5), hep3(b"{}", kind=5), hep3(b"\r\n"), hep3(Dialog(call_id="tail").request()) + b"!"):
        line._receive(packet, SOURCE)
    shown = said(line)
    assert (shown["dropped",], shown["live_calls",], shown["held",]) == (2, 2, 2)
    assert (shown["counted", "datagrams"], shown["counted", "type_5"], shown["counted", "keepalive"], shown["counted", "tail"]) == (5, 2, 1, 1)
    assert shown["counted", "clock_disagrees"] == 2  # the vectors' time is long past
    assert shown["agent_heard", "228"] > START.timestamp()


def test_agents_are_bounded_and_their_names_made_plain() -> None:
    codec = a_line().codec
    plain = hep3(Dialog().request())
    for number in range(3 * MAX_AGENTS):
        name = chunk(0x13, b'kam"\n\xe6\xb1\x9f{%d}' % number)
        packet = plain + name
        codec.receive_message(SOURCE, packet[:4] + len(packet).to_bytes(2) + packet[6:], 1.0, START)
    line = a_line()
    line.codec = codec
    agents = [name for kind, *labels in said(line) if kind == "agent_heard" for name in labels]
    assert len(agents) == MAX_AGENTS + 1
    assert agents[0] == '228 kam"{0}'
    assert agents[-1] == "others"


def test_lines_that_count_nothing_say_nothing() -> None:
    assert list(measures(object())) == []
