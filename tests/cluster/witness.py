"""Who judges a cluster from outside: wearables that keep every cry until the broker has confirmed it, and stations that keep every order."""

import json
import random
import threading
import time
from collections import Counter, defaultdict

import paho.mqtt.client as paho
from cluster.cluster import Plan
from paho.mqtt.enums import CallbackAPIVersion


class Wearables:
    """Cries of one edge's devices over one kept session. What the broker has not confirmed is sent again by paho, in order."""

    def __init__(self, port: int, plan: Plan, edge: int, seed: int) -> None:
        self.confirmed: list[tuple[str, int]] = []
        self.sent = 0
        self._devices = [number for number in range(plan.wearables) if number % plan.edges == edge]
        self._plan = plan
        self._chance = random.Random(f"cries:{seed}:{edge}")
        self._ts: dict[int, int] = {}
        self._waiting: dict[int, tuple[str, int]] = {}
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"crowd-{edge}", clean_session=False)
        self._client.max_inflight_messages_set(200)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._published
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def cry(self) -> None:
        """One of them, with a device time of its own that only goes up."""
        number = self._chance.choice(self._devices)
        ts = self._ts[number] = max(self._ts.get(number, 0) + 1, int(time.time() * 1000))
        body = json.dumps({"kind": "sos", "ts": ts, "seq": ts % 1_000_000_000})
        info = self._client.publish(self._plan.topic(number), body, qos=1)
        self.sent += 1
        with self._lock:
            if info.mid in self._early:
                self._early.discard(info.mid)
                self.confirmed.append((self._plan.device(number), ts))
            else:
                self._waiting[info.mid] = (self._plan.device(number), ts)

    @property
    def unconfirmed(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _published(self, _client: object, _data: object, mid: int, *_: object) -> None:
        with self._lock:
            cry = self._waiting.pop(mid, None)
            if cry is None:
                self._early.add(mid)
            else:
                self.confirmed.append(cry)


class Broker:
    """What the broker passed on, and in which order: it numbers the cries of a device for us."""

    def __init__(self, port: int) -> None:
        self.ready = threading.Event()
        self._cries: dict[str, dict[int, int]] = defaultdict(dict)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="onlooker", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._heard
        self._client.on_connect = lambda client, *_: client.subscribe("+/wearables/+/event", 1)
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def place(self, device: str, ts: int) -> int:
        """The how-manieth cry of its device this was when it first came by. KeyError: it never did."""
        return self._cries[device][ts]

    def _heard(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        cries = self._cries[message.topic.split("/")[2]]
        cries.setdefault(json.loads(message.payload)["ts"], len(cries) + 1)


class Stations:
    """All stations over one kept session: every order they got, in order."""

    def __init__(self, port: int) -> None:
        self.orders: list[dict[str, object]] = []
        self.ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="all-stations", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = lambda _client, _data, message: self.orders.append(
            json.loads(message.payload) | {"responder": message.topic.split("/")[1]}
        )
        self._client.on_connect = lambda client, *_: client.subscribe("stations/+/dispatch", 1)
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def under_two_ids(self) -> list[str]:
        """Incidents for which one responder was ordered under more than one delivery id."""
        ids: dict[tuple[object, object], set[object]] = defaultdict(set)
        for order in self.orders:
            ids[order["incident"], order["responder"]].add(order["delivery"])
        return [f"{incident} at {responder}: {found}" for (incident, responder), found in ids.items() if len(found) > 1]

    def newest(self) -> dict[str, int]:
        """Device → the newest cry of it that a station was told of."""
        found: dict[str, int] = {}
        for order in self.orders:
            if isinstance(order.get("ts"), int):
                found[str(order["device"])] = max(found.get(str(order["device"]), 0), int(str(order["ts"])))
        return found


def contradictions(journal: dict[int, list[tuple[str, int]]], confirmed: set[tuple[str, int]], broker: Broker) -> list[str]:
    """What the books of the senders and the journals of the shards disagree about: lost, doubled, out of order.

    The order is that of the broker: when it was away, a sender's own library may send an older cry after a newer one."""
    faults: list[str] = []
    written = Counter(cry for cries in journal.values() for cry in cries)
    faults += [f"lost: {device} {ts}" for device, ts in sorted(confirmed) if (device, ts) not in written]
    faults += [f"doubled: {device} {ts} {count} times" for (device, ts), count in written.items() if count > 1]
    homes: dict[str, set[int]] = defaultdict(set)
    for shard, cries in journal.items():
        last: dict[str, int] = {}
        for device, ts in cries:
            homes[device].add(shard)
            place = broker.place(device, ts)
            if place < last.get(device, 0):
                faults.append(f"out of order in shard {shard}: {device} {ts}, its cry {place}, after its cry {last[device]}")
            last[device] = max(place, last.get(device, 0))
    faults += [f"in two shards: {device} {sorted(shards)}" for device, shards in homes.items() if len(shards) > 1]
    return faults
