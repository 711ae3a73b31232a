#!/usr/bin/env python3
"""Side-by-side benchmark of alarm gateways against a real Mosquitto. Standard library only. See README.md."""
import argparse
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
# systems/ here, and the folders named in BENCH_SYSTEMS_DIR (colon-separated): a project keeps its own start.sh in its own tree
SYSTEM_DIRS = [HERE / "systems", *(pathlib.Path(d).resolve() for d in os.environ.get("BENCH_SYSTEMS_DIR", "").split(":") if d)]
PROFILES = {
    # seconds idle, rates, seconds per rate, burst size, crash phase
    "full": dict(idle=30, rates=[100, 500, 1000, 2000, 5000], seconds=20, burst=5000, crash=True),
    "short": dict(idle=10, rates=[100, 500, 1000, 2000, 5000], seconds=8, burst=5000, crash=False),
    "crash": dict(idle=0, rates=[100, 500], seconds=6, burst=2000, crash=True),
    "smoke": dict(idle=3, rates=[100], seconds=3, burst=200, crash=False),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    try:
        out = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                out += [int(c) for c in f.read().split()]
        return out
    except OSError:
        return []


def tree(pid):
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += children(p)
    return out


def cpu_of(pid):
    """(total s in ns resolution, user s, sys s, peak RSS MiB) of one process; zeros when it is gone."""
    try:
        total = time.clock_gettime((~pid << 3) | 2)  # the process's CPU-time clock
        with open(f"/proc/{pid}/stat") as f:
            v = f.read().rsplit(")", 1)[1].split()
        hwm = 0.0
        with open(f"/proc/{pid}/status") as f:
            for line in f:
                if line.startswith("VmHWM"):
                    hwm = int(line.split()[1]) / 1024
        return total, int(v[11]) / TICK, int(v[12]) / TICK, hwm
    except OSError:
        return 0.0, 0.0, 0.0, 0.0


class Meter:
    """CPU of a process tree between start() and stop()."""

    def __init__(self, pid):
        self.pid = pid

    def start(self):
        self.before = {p: cpu_of(p) for p in tree(self.pid)}

    def stop(self):
        now = {p: cpu_of(p) for p in tree(self.pid)}
        zero = (0.0, 0.0, 0.0, 0.0)
        d = [sum(max(0.0, v[i] - self.before.get(p, zero)[i]) for p, v in now.items()) for i in range(3)]
        return {"cpu_s": d[0], "user_s": d[1], "sys_s": d[2], "peak_rss_mib": sum(v[3] for v in now.values()), "processes": len(now)}


def machine():
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return {"busy": (sum(v) - v[3] - v[4]) / TICK, "steal": v[7] / TICK, "total": sum(v) / TICK}


def stop(proc, grace=10):
    """TERM, then KILL, the process and what it started; each by pid."""
    if proc is None:
        return
    pids = tree(proc.pid)
    if proc.poll() is None:
        proc.terminate()
        try:
            proc.wait(grace)
        except subprocess.TimeoutExpired:
            pass
    kill(pids)
    try:
        proc.wait(5)
    except subprocess.TimeoutExpired:
        pass


def kill(pids):
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass


def dataset(work, cfg):
    rnd = random.Random(20)
    la0, lo0, la1, lo1 = cfg["box"]
    with open(work / "stations.csv", "w") as f:
        for i in range(cfg["stations"]):
            f.write(f"s-{i:04d},{rnd.uniform(la0, la1):.6f},{rnd.uniform(lo0, lo1):.6f}\n")
    with open(work / "devices.csv", "w") as f:
        for i in range(cfg["devices"]):
            f.write(f"{cfg['device_format'] % i},e-{i:06d},Elder {i}\n")


class Run:
    """One system, one fresh broker, one fresh data directory."""

    def __init__(self, name, args, cfg_over=None):
        self.name, self.args = name, args
        self.dir = next((d / name for d in SYSTEM_DIRS if (d / name / "system.json").exists()), HERE / "systems" / name)
        self.meta = json.loads((self.dir / "system.json").read_text())
        self.cfg = json.loads((HERE / "config" / "workload.json").read_text())
        self.cfg.update(self.meta.get("workload", {}))
        self.work = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=args.tmp))
        self.port = free_port()
        self.broker = self.sut = None
        self.sent_total = self.next_device = 0

    def __enter__(self):
        try:
            dataset(self.work, self.cfg)
            (self.work / "data").mkdir()
            conf = (HERE / "config" / "mosquitto.conf").read_text()
            import getpass
            conf = conf.replace("{port}", str(self.port)).replace("{user}", getpass.getuser())
            conf = conf.replace("{inflight}", str(self.args.inflight)).replace("{nodelay}", self.args.nodelay)
            (self.work / "mosquitto.conf").write_text(conf)
            log = open(self.work / "broker.log", "w")
            exe = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
            self.broker = subprocess.Popen([exe, "-c", self.work / "mosquitto.conf"], stdout=log, stderr=log)
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                raise RuntimeError("broker did not start")
            if not self.meta.get("no_system"):
                self.start_system()
                self.ready_s = self.wait_ready()
                time.sleep(0.5)
            self.sent_total, self.stored_before = 0, self.stored() if self.sut else None
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_system(self):
        env = dict(os.environ, BENCH_HOST="127.0.0.1", BENCH_PORT=str(self.port), BENCH_DATA=str(self.work / "data"),
                   BENCH_STATIONS=str(self.work / "stations.csv"), BENCH_DEVICES=str(self.work / "devices.csv"),
                   BENCH_BIN=str(self.args.deps), BENCH_PYTHON=str(self.args.deps / "venv/bin/python"),
                   BENCH_NODE=str(self.args.deps / "nodered"), BENCH_DEPS=str(self.args.deps))
        env.update(self.meta.get("env", {}))
        if self.args.sync_delay_us:
            env.update(LD_PRELOAD=str(self.args.deps / "slowsync.so"), BENCH_SYNC_DELAY_US=str(self.args.sync_delay_us))
        log = open(self.work / "system.log", "a")
        self.sut = subprocess.Popen(["bash", str(self.dir / "start.sh")], cwd=self.dir, env=env, stdout=log, stderr=log)

    def window(self, opts):
        """(first device, devices) of one load. `fresh_devices`: each load has devices that have not cried before, while they last;
        for a system in which a second cry of a person repeats the open order instead of making a new one."""
        total = self.cfg["devices"]
        if not self.cfg.get("fresh_devices"):
            return 0, total
        o = dict(zip(opts[::2], opts[1::2]))
        n = min(total, int(o.get("--burst") or o["--rate"] * o["--duration"]) + 1)
        first = self.next_device if self.next_device + n <= total else 0
        self.next_device = first + n
        return first, n

    def load(self, *opts, silence=3, drain=30):
        c = self.cfg
        first, devices = self.window(opts)
        cmd = [str(self.args.deps / "loadgen"), "--port", str(self.port), "--stations", str(self.work / "stations.csv"),
               "--first-device", str(first), "--devices", str(devices), "--pubs", str(c["publishers"]), "--in-topic", c["in_topic"],
               "--payload", c["payload"], "--out-filter", c["out_filter"], "--device-format", c["device_format"],
               "--device-key", c["device_key"], "--ts-key", c["ts_key"], "--ts-scale", str(c["ts_scale"]),
               "--drain-silence", str(silence), "--drain-max", str(drain), *map(str, opts)]
        if not c["route_check"]:
            cmd.append("--no-route-check")
        return subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, proc):
        out, err = proc.communicate(timeout=600)
        if proc.returncode:
            raise RuntimeError(f"loadgen: rc {proc.returncode} {err.strip()}")
        r = json.loads(out)
        self.sent_total += r["sent"]
        return r

    def wait_ready(self):
        t = time.monotonic()
        limit = self.meta.get("ready_timeout", 60)
        while time.monotonic() - t < limit:
            if self.sut.poll() is not None:
                raise RuntimeError(f"{self.name} exited {self.sut.returncode}: {self.tail()}")
            if self.finish(self.load("--burst", 1, "--seed", 99, silence=0.5, drain=1))["received"]:
                return round(time.monotonic() - t, 2)
        raise RuntimeError(f"{self.name} not ready after {limit}s: {self.tail()}")

    def tail(self):
        return (self.work / "system.log").read_text(errors="replace")[-1500:]

    def phase(self, label, *opts, **kw):
        meters = {"broker": Meter(self.broker.pid)}
        if self.sut:
            meters["system"] = Meter(self.sut.pid)
        for m in meters.values():
            m.start()
        m0, t0 = machine(), time.monotonic()
        r = self.finish(self.load(*opts, **kw))
        wall, m1 = time.monotonic() - t0, machine()
        r["label"], r["wall_s"] = label, round(wall, 3)
        r["cpu"] = {k: m.stop() for k, m in meters.items()}
        n = max(1, r["received"])
        for k, v in r["cpu"].items():
            r[f"{k}_cpu_us_per_alarm"] = round(v["cpu_s"] * 1e6 / n, 1)
        r["loadgen_cpu_us_per_alarm"] = round(r["loadgen_cpu_s"] * 1e6 / n, 1)
        ours = sum(v["cpu_s"] for v in r["cpu"].values()) + r["loadgen_cpu_s"]
        cores = os.cpu_count()
        r["machine_busy_pct"] = round(100 * (m1["busy"] - m0["busy"]) / (wall * cores), 1)
        r["others_busy_pct"] = round(max(0.0, 100 * (m1["busy"] - m0["busy"] - ours) / (wall * cores)), 1)
        r["steal_pct"] = round(100 * (m1["steal"] - m0["steal"]) / (wall * cores), 2)
        l = r["latency_ms"]
        say(f"  {label:>10}: sent {r['sent']:>6} got {r['received']:>6} lost {r['lost']} dup {r['duplicates']} misrouted {r['misrouted']}"
            f" | p50 {l.get('p50', float('nan')):.2f} p99 {l.get('p99', float('nan')):.2f} max {l.get('max', float('nan')):.1f} ms"
            f" | last {r['last_dispatch_s']:.2f}s | cpu us/alarm sys {r.get('system_cpu_us_per_alarm')} broker {r['broker_cpu_us_per_alarm']}"
            f" gen {r['loadgen_cpu_us_per_alarm']} | others {r['others_busy_pct']}%")
        return r

    def crash(self, label, after, *opts):
        """kill -9 `after` seconds into the load, start again: what was acknowledged to the wearables and never dispatched?"""
        silence = 6 + 2 * self.ready_s
        proc = self.load(*opts, silence=silence, drain=60 + silence)
        proc.stderr.readline()  # START
        time.sleep(0.05 + after)
        kill(tree(self.sut.pid))
        self.sut.wait()
        time.sleep(0.5)
        self.start_system()
        r = self.finish(proc)
        r["label"] = label
        say(f"  {label:>10}: sent {r['sent']} got {r['received']} lost {r['lost']} dup {r['duplicates']}")
        return r

    def stored(self):
        s = self.meta.get("store")
        if not s:
            return None
        path = self.work / "data" / s["file"]
        if not path.exists():
            return 0
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return db.execute(s["count"]).fetchone()[0]
        finally:
            db.close()

    def __exit__(self, *_):
        stop(self.sut)
        stop(self.broker)
        if not self.args.keep:
            shutil.rmtree(self.work, ignore_errors=True)


def kept_up(r):
    return (not r["aborted"] and r["lost"] == 0 and r["latency_ms"].get("p99", 1e9) <= 1000
            and r["backlog_at_end"] <= max(5, r["rate"]))


def measure(name, args, profile, seed):
    say(f"[{name}]")
    out = {"system": name, "phases": []}
    with Run(name, args) as run:
        out["title"], out["durability"] = run.meta["title"], run.meta.get("durability", "")
        out["ready_s"] = getattr(run, "ready_s", None)
        run.phase("warmup", "--rate", 50, "--duration", 2, "--seed", seed + 50)
        ph = out["phases"]
        limits = run.meta.get("limits", {})
        if profile["idle"]:
            ph.append(run.phase("idle", "--rate", 5, "--duration", profile["idle"], "--seed", seed + 1))
        for rate in limits.get("extra_rates", []) + profile["rates"]:
            if rate > limits.get("max_rate", 1e9):
                break
            r = run.phase(f"{rate}/s", "--rate", rate, "--duration", profile["seconds"], "--abort-backlog-s", 6,
                          "--seed", seed + 2, silence=10, drain=45)
            r["kept_up"] = kept_up(r)
            ph.append(r)
            if not r["kept_up"]:
                if r["undrained"]:
                    out["stopped"] = "backlog never drained"
                break
        if profile["burst"] and "stopped" not in out:
            n = min(profile["burst"], limits.get("max_burst", 10**9))
            ph.append(run.phase("burst", "--burst", n, "--seed", seed + 3, silence=15, drain=90))
        if profile["crash"] and run.sut and "stopped" not in out:
            fine = [p["rate"] for p in ph if p.get("kept_up")]  # a backlog must not pass for a loss
            rate = min(args.crash_rate, max(fine, default=50) / 2)
            ph.append(run.crash("crash", 3.5, "--rate", rate, "--duration", 8, "--seed", 77))
            took = [p["last_dispatch_s"] for p in ph if p["label"] == "burst" and not p["lost"]]
            if took:
                ph.append(run.crash("burst crash", took[0] * 0.4, "--burst", n, "--seed", 78))
        out["sent_total"] = run.sent_total
        stop(run.sut)
        stored = run.stored()
        out["stored_total"] = None if stored is None else stored - run.stored_before
        say(f"  stored {out['stored_total']} of {out['sent_total']} sent in all")
    return out


def say(*a):
    print(*a, file=sys.stderr, flush=True)


def med(v):
    v = [x for x in v if x is not None and x == x]
    return statistics.median(v) if v else None


def fmt(v, digits=2):
    if v is None:
        return "–"
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, r)) + " |" for r in rows])


def phases(result, system, label):
    """That phase of that system in every repeat: [(repeat, phase), …]."""
    return [(i, p) for i, rep in enumerate(result["repeats"]) for s in rep if s["system"] == system
            for p in s["phases"] if p["label"] == label]


def report(result):
    names = []
    for rep in result["repeats"]:
        names += [s["system"] for s in rep if s["system"] not in names]
    base = "floor-b"
    env = result["environment"]
    out = [f"# Benchmark {result['started']}", "",
           f"{env['cores']} cores ({env['cpu']}), kernel {env['kernel']}, {env['mosquitto']}, SQLite {env['sqlite']}; profile `{result['profile']}`, "
           f"{len(result['repeats'])} repeat(s), broker max_inflight_messages {result['inflight']}, set_tcp_nodelay {result['nodelay']}, "
           f"added fsync delay {result['sync_delay_us']} µs, niceness {result.get('nice', 0)}.",
           "Medians over repeats. `×` = ratio to FLOOR-B of the same repeat. CPU = user+sys of the whole process tree of the system, per dispatched alarm.", ""]
    if result.get("fsync"):
        f = result["fsync"]
        out += ["Raw 4 KiB durability cost of this disk, µs: " + "; ".join(f"{k[:-3]} p50 {v['p50']} p99 {v['p99']} max {v['max']}" for k, v in f.items()), ""]

    def ratio(name, label, get):
        ref = {i: get(p) for i, p in phases(result, base, label)}
        v = [get(p) / ref[i] for i, p in phases(result, name, label) if ref.get(i) and get(p) is not None]
        m = med(v)
        return f" ({fmt(m)}×)" if m is not None and name != base else ""

    def cell(name, label, get, digits=2):
        m = med([get(p) for _, p in phases(result, name, label)])
        return fmt(m, digits) + (ratio(name, label, get) if m is not None else "")

    lat = lambda k: (lambda p: p["latency_ms"].get(k))
    out += ["## Idle: 5 alarms/s, end-to-end latency in ms", "",
            table(["system", "min", "p50", "p90", "p99", "max", "CPU µs/alarm"],
                  [[n] + [cell(n, "idle", lat(k)) if k == "p50" else fmt(med([lat(k)(p) for _, p in phases(result, n, "idle")])) for k in ("min", "p50", "p90", "p99", "max")]
                   + [cell(n, "idle", lambda p: p.get("system_cpu_us_per_alarm"), 0)] for n in names]), ""]
    labels = []
    for n in names:
        for rep in result["repeats"]:
            labels += [p["label"] for s in rep for p in s["phases"] if p["label"].endswith("/s") and p["label"] not in labels]
    labels = sorted(set(labels), key=lambda x: int(x[:-2]))
    for label in labels:
        rows = []
        for n in names:
            ps = [p for _, p in phases(result, n, label)]
            if not ps:
                continue
            keep = sum(p["kept_up"] for p in ps)
            rows.append([n, f"{keep}/{len(ps)}"] + [fmt(med([lat(k)(p) for p in ps])) + (ratio(n, label, lat(k)) if k in ("p50", "p99") else "")
                        for k in ("min", "p50", "p90", "p99", "p999", "max")]
                        + [fmt(med([p["throughput_in_window"] for p in ps])), sum(p["lost"] for p in ps), sum(p["duplicates"] for p in ps), sum(p["misrouted"] for p in ps),
                           cell(n, label, lambda p: p.get("system_cpu_us_per_alarm"), 0), fmt(med([p["broker_cpu_us_per_alarm"] for p in ps]), 0),
                           fmt(med([p["loadgen_cpu_us_per_alarm"] for p in ps]), 0), fmt(med([p["send_lag_ms"].get("p99") for p in ps])), fmt(med([p["others_busy_pct"] for p in ps]), 0)])
        out += [f"## Sustained {label}, open loop", "",
                table(["system", "kept up", "min", "p50 ms", "p90", "p99 ms", "p99.9", "max", "alarms/s", "lost/backlog", "dup", "misrouted", "CPU µs/alarm", "broker µs", "load gen µs", "gen lag p99 ms", "others %"], rows), ""]
    rows = []
    for n in names:
        ps = [p for _, p in phases(result, n, "burst")]
        if ps:
            rows.append([n, ps[0]["sent"], cell(n, "burst", lambda p: p["last_dispatch_s"]), fmt(med([p["throughput_total"] for p in ps])), fmt(med([lat("p50")(p) for p in ps])),
                         sum(p["lost"] for p in ps), sum(p["duplicates"] for p in ps), cell(n, "burst", lambda p: p.get("system_cpu_us_per_alarm"), 0)])
    if rows:
        out += ["## Burst, as fast as possible", "", table(["system", "alarms", "s until last dispatch", "alarms/s", "p50 ms", "lost", "dup", "CPU µs/alarm"], rows), ""]
    rows = []
    for n in names:
        ps = [p for _, p in phases(result, n, "crash")]
        bs = [p for _, p in phases(result, n, "burst crash")]
        if ps or bs:
            total = lambda v, k: sum(p[k] for p in v) if v else "–"
            rows.append([n, fmt(med([p["rate"] for p in ps]), 0), *(total(ps, k) for k in ("sent", "lost", "duplicates")), *(total(bs, k) for k in ("sent", "lost", "duplicates"))])
    if rows:
        out += ["## kill -9 in mid-load, then restart", "",
                f"Steady: at half the highest rate it kept up with, {result['crash_rate']}/s at most. Burst: killed when 40% of its burst time had passed. "
                "Sums over repeats; every alarm had been acknowledged to the wearable by the broker.", "",
                table(["system", "alarms/s", "steady: alarms", "never dispatched", "dispatched twice", "burst: alarms", "never dispatched", "dispatched twice"], rows), ""]
    rows = []
    for n in names:
        ss = [s for rep in result["repeats"] for s in rep if s["system"] == n]
        rss = [p["cpu"]["system"]["peak_rss_mib"] for s in ss for p in s["phases"] if "cpu" in p and "system" in p["cpu"]]
        stored = ", ".join(f"{s['stored_total']}/{s['sent_total']}" for s in ss if s.get("stored_total") is not None) or "no store"
        rows.append([n, ss[0].get("title", ""), ss[0].get("durability", ""), stored, fmt(max(rss) if rss else None, 0), fmt(med([s.get("ready_s") for s in ss])),
                     "; ".join(s["error"][:80].replace("\n", " ") for s in ss if s.get("error"))])
    out += ["## Systems", "", table(["system", "what", "durability", "rows stored/sent", "peak RSS MiB", "start s", "error"], rows), ""]
    return "\n".join(out)


def environment():
    def first(cmd):
        try:
            return (subprocess.run(cmd, capture_output=True, text=True).stdout.splitlines() or ["?"])[0]
        except OSError:
            return "?"
    cpu = "?"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.split(":")[1].strip()
    return {"cores": os.cpu_count(), "cpu": cpu, "kernel": os.uname().release.split("-")[0], "python": sys.version.split()[0],
            "mosquitto": first([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-h"]), "sqlite": sqlite3.sqlite_version,
            "node": first(["node", "--version"])}


def render(target, sources):
    """One report over the repeats of several result files of the same machine."""
    results = [json.loads(pathlib.Path(f).read_text()) for f in sources]
    merged = dict(results[0], repeats=[rep for r in results for rep in r["repeats"]], profile=" + ".join(r["profile"] for r in results))
    pathlib.Path(target).write_text(report(merged))


def main():
    if sys.argv[1:2] == ["render"]:  # bench.py render OUT.md RESULT.json…
        return render(sys.argv[2], sys.argv[3:])
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("systems", nargs="*", help="folders of systems/ (default: all that are not marked optional)")
    ap.add_argument("--profile", choices=PROFILES, default="full")
    ap.add_argument("--repeats", type=int, default=1)
    ap.add_argument("--rates", help="override, comma-separated alarms/s ('' = none)")
    ap.add_argument("--seconds", type=float)
    ap.add_argument("--idle", type=float)
    ap.add_argument("--burst", type=int)
    ap.add_argument("--crash", choices=["yes", "no"])
    ap.add_argument("--crash-rate", type=int, default=500)
    ap.add_argument("--inflight", type=int, default=1000, help="broker max_inflight_messages (Debian's default: 20)")
    ap.add_argument("--nodelay", default="true", help="broker set_tcp_nodelay (Debian's default: false)")
    ap.add_argument("--sync-delay-us", type=int, default=0, help="make every fsync of the systems slower by this")
    ap.add_argument("--nice", type=int, default=0, help="niceness of broker, load generator and systems alike (negative needs root)")
    ap.add_argument("--deps", type=pathlib.Path, required=True, help="where run.sh put the programs, venv and node modules")
    ap.add_argument("--tmp", help="parent of the data directories (a real disk, not tmpfs)")
    ap.add_argument("--out", type=pathlib.Path, default=HERE / "results")
    ap.add_argument("--name", help="base name of the result files")
    ap.add_argument("--keep", action="store_true", help="keep the data directories and logs")
    args = ap.parse_args()
    args.deps = args.deps.resolve()
    if args.nice:
        os.nice(args.nice)
    profile = dict(PROFILES[args.profile])
    if args.rates is not None:
        profile["rates"] = [int(x) for x in args.rates.split(",") if x]
    for k in ("seconds", "idle", "burst"):
        if getattr(args, k) is not None:
            profile[k] = getattr(args, k)
    if args.crash:
        profile["crash"] = args.crash == "yes"
    names = args.systems or sorted(p.parent.name for folder in SYSTEM_DIRS for p in folder.glob("*/system.json") if not json.loads(p.read_text()).get("optional"))
    started = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%MZ")
    result = {"started": started, "profile": args.profile, "parameters": profile, "inflight": args.inflight, "nodelay": args.nodelay, "sync_delay_us": args.sync_delay_us,
              "crash_rate": args.crash_rate, "nice": args.nice, "environment": environment(), "repeats": []}
    fs = subprocess.run([str(args.deps / "fsyncbench"), args.tmp or tempfile.gettempdir(), "300"], capture_output=True, text=True)
    result["fsync"] = json.loads(fs.stdout) if fs.returncode == 0 else None
    args.out.mkdir(parents=True, exist_ok=True)
    base = args.out / (args.name or f"{started}-{args.profile}")
    failed = False
    for rep in range(args.repeats):
        result["repeats"].append([])
        order = names if rep % 2 == 0 else names[::-1]  # drift of the machine should not favour a place in the row
        for name in order:
            try:
                r = measure(name, args, profile, seed=1000 * (rep + 1))
            except Exception as e:
                say(f"  FAILED: {e}")
                r = {"system": name, "phases": [], "error": str(e)}
                failed = True
            result["repeats"][-1].append(r)
            base.with_suffix(".json").write_text(json.dumps(result, indent=1))
            base.with_suffix(".md").write_text(report(result))
    say(f"wrote {base}.json and .md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
