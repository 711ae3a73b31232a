"""What was seen, sent and lost: one line a minute on standard error, and a file for Prometheus' textfile collector."""

import os
from collections.abc import Mapping
from pathlib import Path

LINE_S = 60.0
FILE_S = 10.0

# name of the count → what it means. In this order they are told; those that are absent are 0.
COUNTS = {
    "frames": "frames that the filter let through",
    "messages": "SIP messages found, each once",
    "hep_sent": "HEP packets handed to the network",
    "hep_dropped": "HEP packets that could not leave",
    "hep_refused": "answers of the target's machine that nobody listens there",
    "hep_connections_lost": "TCP connections to the target that failed or ended",
    "kernel_packets": "frames that the kernel took for us",
    "kernel_drops": "frames that the kernel threw away because we were too slow",
    "outgoing": "second sightings on the loopback interface",
    "copies": "datagrams seen twice, as a mirror of both directions shows them",
    "not_sip": "datagrams on the SIP ports without a SIP start line: keep-alives, media, TLS",
    "not_ip": "frames without IP",
    "unusual": "frames of a type that only scapy reads",
    "tunnelled": "frames out of GRE, ERSPAN, VXLAN or TZSP",
    "cut": "fragments cut by a snap length",
    "fragments_bad": "IP fragments that cannot be",
    "fragments_expired": "datagrams given up because a fragment never came",
    "fragments_evicted": "datagrams given up for want of room",
    "tcp_gaps": "holes in a TCP direction that nobody filled",
    "tcp_repeated": "octets of TCP seen again",
    "tcp_evicted": "TCP directions forgotten for want of room",
    "streams_evicted": "TCP directions whose message was given up for want of room",
    "sip_resynchronised": "times that a TCP direction was read on from the next start line",
}
# Said each minute even when they are 0: whoever reads the line looks for these
_ALWAYS = ("frames", "messages", "hep_sent", "hep_dropped", "kernel_drops")


def line(counts: Mapping[str, int]) -> str:
    """`frames 12, messages 5, … kernel_drops 0`"""
    return ", ".join(f"{name} {counts.get(name, 0)}" for name in COUNTS if name in _ALWAYS or counts.get(name, 0))


def write_metrics(path: Path, counts: Mapping[str, int], last_message: float) -> None:
    """Replace the file at once, so that nobody reads half of it. last_message: seconds since 1970, 0 for never. Raises OSError."""
    rows = []
    for name, means in COUNTS.items():
        metric = f"gateway_sniffer_{name}_total"
        rows.append(f"# HELP {metric} {means[0].upper()}{means[1:]}.\n# TYPE {metric} counter\n{metric} {counts.get(name, 0)}\n")
    metric = "gateway_sniffer_last_message_timestamp_seconds"
    rows.append(f"# HELP {metric} Packet time of the last SIP message; 0 before the first.\n# TYPE {metric} gauge\n{metric} {last_message:.6f}\n")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text("".join(rows), encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)
