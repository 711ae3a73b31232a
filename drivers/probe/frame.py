"""A probe out of the configuration, for protocols whose words only the place knows: `frame`, `topic` and `receipt` with $ placeholders."""

from string import Template

from drivers.probe.contract import Moment, Probe, Step

NAMES = ("device", "seq", "seq2", "seq3", "seq4", "ts", "time")


def faults_of(text: str) -> str:
    """What is wrong with a template, "" for nothing."""
    template = Template(text)
    if not template.is_valid():
        return "has a $ that begins no placeholder; write $$ for a dollar"
    strange = sorted(set(template.get_identifiers()) - set(NAMES))
    return f"${strange[0]} is not known; write {', '.join(f'${name}' for name in NAMES)}" if strange else ""


def filled(text: str, device: str, moment: Moment) -> str:
    """The template with this probe's values. seq2 to seq4: the number with so many digits; ts: ms since 1970; time: ISO 8601, UTC."""
    number = moment.number
    values = {"device": device, "seq": number, "seq2": f"{number % 100:02}", "seq3": f"{number % 1000:03}", "seq4": f"{number % 10_000:04}"}
    return Template(text).substitute(values, ts=moment.ms, time=f"{moment.at:%Y-%m-%dT%H:%M:%SZ}")


def from_config(device: str, moment: Moment, frame: str, receipt: str, topic: str) -> Probe:
    """`frame` on a wire: one octet a character (\\u0006 is ACK); with a topic: UTF-8."""
    data = filled(frame, device, moment).encode("utf-8" if topic else "latin-1", "replace")
    wanted = filled(receipt, device, moment).encode("latin-1", "replace")
    return Probe(device=device, steps=(Step(data, (lambda answer: wanted in answer) if wanted else None),), topic=filled(topic, device, moment))
