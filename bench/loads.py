"""Senders and meters that the benchmarks share: heartbeats and cries at a rate or in one go, what processes have used, and percentiles."""

import json
import multiprocessing
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 120.0


def say(port: int, topics: Sequence[str], kind: str, rate: float, seconds: float) -> None:
    """One sender: the topics in turn, `rate` a second. rate 0: each topic once, as fast as the broker takes them. Returns when all are confirmed."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    begin, sent, info = time.monotonic(), 0, None
    while sent < (round(rate * seconds) if rate else len(topics)):
        while not rate or sent < (time.monotonic() - begin) * rate:
            body = {"kind": kind, "ts": time.time_ns() // 1_000_000, "seq": sent, "battery": 80}
            info = client.publish(topics[sent % len(topics)], json.dumps(body), qos=1)
            sent += 1
            if sent >= (round(rate * seconds) if rate else len(topics)):
                break
        time.sleep(0.002 if rate else 0)
    if info is not None:
        info.wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


def sender(port: int, topics: Sequence[str], kind: str, rate: float, seconds: float) -> "multiprocessing.process.BaseProcess":
    """`say` as a process of its own, started."""
    process = multiprocessing.get_context("spawn").Process(target=say, args=(port, topics, kind, rate, seconds))
    process.start()
    return process


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and all its children, also those that have ended."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            times[int(entry.name)] = sum(int(field) for field in fields[11:15]) / TICK
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += times.get(one, 0.0)
        waiting += children.get(one, [])
    return total


def rss(pid: int) -> int:
    """Resident bytes of one process."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def database_bytes(file: Path) -> int:
    """What an SQLite database takes, its log not counted twice."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
        return int(pages) * int(size)
