"""`gateway doctor`, part by part: addresses, servers, words in both languages, what machines read, how long it may take."""

import ast
import errno
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Formatter

import pytest
from clinic import quick
from servers import START_S, program
from waiting import free_port

import gateway.doctor
from gateway.config import Config, ConsoleConfig, GatewayConfig, LineConfig
from gateway.doctor import TOPICS, Finding, Level, clock, examine
from gateway.doctor.finding import bad
from gateway.doctor.limits import swap_on_cards
from gateway.doctor.patient import read_metrics
from gateway.doctor.storage import commit_ms
from gateway.doctor.words import REMEDIES, TEXTS
from gateway.doctor.words import TOPICS as TOPIC_WORDS

__all__ = ["quick"]  # a fixture


def found(config: Config, *only: str) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(config, only=only)}


def house(folder: Path, *lines: LineConfig, port: int = 0) -> Config:
    console = ConsoleConfig(listen=f"127.0.0.1:{port}") if port else ConsoleConfig(enabled=False)
    return Config(gateway=GatewayConfig(data="not/yet/made"), console=console, line=lines, path=str(folder / "gateway.toml"))


# --- words -------------------------------------------------------------------------------------------------------------


def test_both_languages_say_the_same_with_the_same_facts() -> None:
    def facts(sentence: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(sentence) if name}

    for table in (TEXTS, REMEDIES):
        assert set(table["en"]) == set(table["zh-CN"])
        for word, sentence in table["en"].items():
            assert facts(sentence) == facts(table["zh-CN"][word]), word
    assert {topic: set(names) for topic, names in TOPIC_WORDS.items()} == {"en": set(TOPICS), "zh-CN": set(TOPICS)}


def test_every_word_that_is_said_is_in_the_table_and_faults_have_a_remedy() -> None:
    said, bad_ones = set(), set()
    for file in Path(gateway.doctor.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text()) if file.name != "words.py" else ast.parse("")):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[a-z]+(_[a-z]+)+", node.value):
                said.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "bad" and len(node.args) > 2:
                words = (one.value for one in ast.walk(node.args[2]) if isinstance(one, ast.Constant))
                bad_ones |= {word for word in words if isinstance(word, str) and "_" in word}
    assert len(bad_ones) > 40
    assert bad_ones <= set(REMEDIES["en"])
    assert set(TEXTS["en"]) <= said, "words that nobody says"


def test_the_guide_tells_of_every_topic_and_of_every_word_that_has_a_remedy() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "guide" / "doctor.md").read_text(encoding="utf-8")
    assert [topic for topic in TOPICS if f"### {topic}\n" not in guide] == []
    assert [word for word in REMEDIES["en"] if f"| `{word}` |" not in guide] == []
    assert [word for word in re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE) if word not in REMEDIES["en"]] == []


def test_numbers_of_people_in_others_words_are_masked_and_our_own_figures_are_not() -> None:
    finding = bad("lines", "line x", "line_lost", reason="device +8617400000001 is gone", restart="kill 12345678")
    assert "1740" not in finding.text()
    assert "kill 12345678" in finding.remedy()


# --- addresses -----------------------------------------------------------------------------------------------------------


def test_a_server_that_a_line_connects_to_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as manager:
        port, free = manager.getsockname()[1], free_port()
        lines = [("here", f"tcp:127.0.0.1:{port}"), ("gone", f"tls:127.0.0.1:{free}"), ("odd", "tcp:nothing")]
        findings = found(house(tmp_path, *(LineConfig(name=name, codec="ami", connect=connect) for name, connect in lines)), "lines")
    assert [findings[f"line {name}"].word for name in ("here", "gone", "odd")] == ["server_answers", "server_away", "server_no_address"]
    assert f"line[2].connect: tls:127.0.0.1:{free} cannot be reached" in findings["line gone"].text()
    assert "write tcp:HOST:PORT" in findings["line odd"].remedy()


def test_ports_of_lines_are_tried_and_what_is_wrong_names_file_key_and_remedy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.create_server(("127.0.0.1", 0)) as server:
        taken.bind(("127.0.0.1", 0))
        udp, tcp, free = taken.getsockname()[1], server.getsockname()[1], free_port()
        lines = (
            LineConfig(name="calls", codec="hep", listen=f"udp:{udp}:interface=127.0.0.1"),
            LineConfig(name="panel", codec="espa444", listen=f"tcp:{free}:interface=127.0.0.1"),
            LineConfig(name="twice", codec="espa444", listen=f"tcp:{free}:interface=127.0.0.1"),
            LineConfig(
                name="units",
                codec="sip",
                listen="udp:0:interface=192.0.2.7",  # TEST-NET-1: nobody's
                options={"also": [f"tcp:{tcp}:interface=127.0.0.1", "udp:0:interface=\\:\\:1"]},
            ),
            LineConfig(name="odd", codec="sip", listen="udp:many"),
        )
        findings = found(house(tmp_path, *lines), "lines")
        told = {what: one.word for what, one in findings.items()}
        assert told == {
            "line calls": "port_taken_by",
            "line panel": "port_free",
            "line twice": "port_taken_by",
            "line units": "port_foreign_address",
            "line units, also 1": "port_taken_by",
            "line units, also 2": "port_free",
            "line odd": "port_no_address",
        }
    text = findings["line calls"].text()
    assert text.startswith(f"{tmp_path}/gateway.toml: line[1].listen: udp:{udp}:interface=127.0.0.1 is taken by")
    assert f"(process {os.getpid()})" in text
    assert findings["line units, also 1"].text().startswith(f"{tmp_path}/gateway.toml: line[4].options.also: tcp:{tcp}")


def test_a_privileged_port_comes_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket, __: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # whoever runs this test may have the capability

    monkeypatch.setattr(socket.socket, "bind", refuse)
    finding = found(house(tmp_path, LineConfig(name="units", codec="sip", listen="udp:506")), "lines")["line units"]
    assert finding.level is Level.BAD
    assert "AmbientCapabilities" in finding.remedy()


# --- a gateway that answers ------------------------------------------------------------------------------------------------

STATES = ["live", "lost", "suspect", "connecting"]
LINES = [{"type": "line", "id": state, "state": state, "reason": f"why {state}", "profiles": []} for state in STATES]
LINES.append({"type": "line", "id": "hub", "state": "live", "profiles": [{"name": "own", "state": "shut_off", "fault": "battery: not a number"}]})


class _Answers(BaseHTTPRequestHandler):
    """As the console of a gateway answers."""

    metrics = 'gateway_build_info{python="3.11",version="0.0.9"} 1.0\nprocess_max_fds 256.0\n'

    def do_GET(self) -> None:
        told = {"/healthz": "ok", "/api/v1/lines": json.dumps({"lines": LINES}), "/metrics": self.metrics, "/api/v1/ops": "{}"}.get(self.path)
        self.send_response(200 if told else 404)
        self.end_headers()
        self.wfile.write((told or "").encode())

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def answering() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


def test_a_running_gateway_is_asked_how_its_lines_and_profiles_stand(tmp_path: Path) -> None:
    lines = [LineConfig(name=name, codec="hep", listen="udp:0:interface=127.0.0.1", silence_s=60) for name in (*STATES, "hub", "new")]
    with answering() as port:
        findings = found(house(tmp_path, *lines, port=port), "lines", "gateway", "console")
    assert {what: one.word for what, one in findings.items() if what.startswith("line")} == {
        "line live": "line_live",
        "line lost": "line_lost",
        "line suspect": "line_silent",
        "line connecting": "line_connecting",
        "line hub": "line_live",
        "line hub, own": "profile_off",
        "line new": "port_free",
    }
    assert findings["line lost"].text() == "is lost: why lost"
    assert "longer than 60 s" in findings["line suspect"].text()
    assert findings["line hub, own"].text() == "mapping profile own is shut off: battery: not a number"
    assert findings["console"].word == "console_good", "its port is no fault"
    assert findings["gateway"].word == "gateway_other_version"


def test_metrics_are_read_as_prometheus_writes_them() -> None:
    samples = read_metrics('# HELP x y\nx{b="2",a="1"} 3.0\nx{a="o\\"dd"} 1e3\nbare 5\nnonsense\n')
    assert samples == {("x", frozenset({("a", "1"), ("b", "2")})): 3.0, ("x", frozenset({("a", 'o\\"dd')})): 1000.0, ("bare", frozenset()): 5.0}


# --- disk and clock ----------------------------------------------------------------------------------------------------------


def test_the_disk_is_measured_and_left_clean(tmp_path: Path) -> None:
    took = commit_ms(tmp_path, 5)
    assert len(took) == 5
    assert min(took) > 0
    assert list(tmp_path.iterdir()) == []


SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
/* A disk that takes 8 ms for a sync below the folder SLOW_FOLDER; any other is as it is. */
static int later(int fd, const char *name) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size > 0 && !strncmp(path, getenv("SLOW_FOLDER"), strlen(getenv("SLOW_FOLDER")))) usleep(8000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return later(fd, "fsync"); }
int fdatasync(int fd) { return later(fd, "fdatasync"); }
"""


def doctor(config: Path, *words: str, before: tuple[str, ...] = (), **environment: str) -> tuple[int, dict[str, object]]:
    """The command itself: (exit code, what it tells machines)."""
    command = [*before, sys.executable, "-m", "gateway.cli", "doctor", "--json", "--language", "en", "--config", str(config), *words]
    told = subprocess.run(command, capture_output=True, text=True, timeout=2 * START_S, env={**os.environ, **environment}, check=False)
    assert told.stderr == ""
    return told.returncode, json.loads(told.stdout)


def written(folder: Path) -> Path:
    (folder / "districts" / "honggu").mkdir(parents=True)
    config = folder / "gateway.toml"
    config.write_text('[gateway]\ndata = "slow"\n')
    return config


def test_8_a_slow_disk_is_found_and_another_folder_cures_it(quick: Path) -> None:
    source, library = quick / "slow.c", quick / "slow.so"
    source.write_text(SLOW)
    subprocess.run([program("gcc"), "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    config = written(quick)
    slow, fast = quick / "slow", quick / "fast"
    slow.mkdir(mode=0o700)
    fast.mkdir(mode=0o700)
    code, told = doctor(config, "--only", "disk", LD_PRELOAD=str(library), SLOW_FOLDER=str(slow))
    (finding,) = [one for one in told["findings"] if one["level"] == "bad"]  # type: ignore[attr-defined]
    assert (code, finding["word"]) == (1, "commit_slow")
    assert "set gateway.data to a folder on a disk" in finding["remedy"]
    config.write_text('[gateway]\ndata = "fast"\n')
    code, told = doctor(config, "--only", "disk", LD_PRELOAD=str(library), SLOW_FOLDER=str(slow))
    assert (code, told["well"]) == (0, True)


@contextmanager
def time_server() -> Iterator[str]:
    """Answers NTP with the right time (RFC 4330)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                asked, peer = server.recvfrom(512)
                if not asked:
                    return
                now = time.time() + clock.NTP_EPOCH
                stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
                server.sendto(b"\x24\x02\x00\xec" + bytes(20) + asked[40:48] + stamp + stamp, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


def test_9_a_clock_that_is_off_is_found_and_setting_it_cures_it(tmp_path: Path) -> None:
    config = written(tmp_path)
    with time_server() as server:
        code, told = doctor(config, "--only", "clock", "--ntp", server, before=(program("faketime"), "-f", "+90s"))
        (finding,) = told["findings"]  # type: ignore[misc]
        assert (code, finding["word"]) == (1, "clock_off")
        assert re.search(r"\+(89\.[5-9]|90\.[0-5]) s beside NTP 127\.0\.0\.1", finding["text"]), "half a second: as long as the answer may take"
        assert "timedatectl set-ntp true" in finding["remedy"]
        code, told = doctor(config, "--only", "clock", "--ntp", server)  # as after that command: the clock is right
        assert code == 0
        assert all(one["level"] != "bad" for one in told["findings"])  # type: ignore[attr-defined]


def test_the_clock_of_a_web_server_is_read_from_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "ASK_S", START_S)
    with answering() as port:
        began = time.monotonic()
        offset = clock.ask_web_server(f"http://127.0.0.1:{port}")
        took = time.monotonic() - began
    assert offset is not None
    assert abs(offset) <= 0.5 + took / 2, "it tells whole seconds, at some time while it was asked"
    assert clock.ask_web_server(f"http://127.0.0.1:{free_port()}") is None


def test_swap_on_a_memory_card_is_noted(tmp_path: Path) -> None:
    table = tmp_path / "swaps"
    table.write_text("Filename\tType\tSize\tUsed\tPriority\n/dev/mmcblk0p2 partition 1 0 -2\n/dev/sda2 partition 1 0 -3\n")
    assert list(swap_on_cards(table)) == ["/dev/mmcblk0p2"]


# --- the command ---------------------------------------------------------------------------------------------------------------


def test_the_command_groups_signs_and_says_the_remedy_in_both_languages(tmp_path: Path) -> None:
    config = written(tmp_path)
    (tmp_path / "slow").mkdir(mode=0o755)
    command = [sys.executable, "-m", "gateway.cli", "doctor", "--config", str(config), "--only", "rights", "--only", "configuration"]
    chinese = subprocess.run(command, capture_output=True, text=True, timeout=2 * START_S, check=False)
    assert chinese.returncode == 1
    assert chinese.stdout.splitlines() == [
        "配置",
        f"  ✓ {config} 没有错误",
        "",
        "文件权限",
        f"  ✗ gateway.data：{tmp_path}/slow 的权限为 0755：本机任何人都能接触个人数据",
        f"      → chmod 700 {tmp_path}/slow",
        "",
        "1 处故障（检查了 2 项，提醒 0 项，未能检查 0 项）。",
    ]
    (tmp_path / "slow").chmod(0o700)
    english = subprocess.run([*command, "--language", "en"], capture_output=True, text=True, timeout=2 * START_S, check=False)
    assert english.returncode == 0
    assert english.stdout.endswith("All is well (2 things looked at, 0 to note, 0 not looked at).\n")


def test_a_bug_in_one_check_leaves_the_others_standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.doctor import checks

    def broken(_: object) -> Iterator[Finding]:
        raise ZeroDivisionError("of ours")
        yield

    monkeypatch.setattr(checks, "CHECKS", (checks.Check("clock", broken), *(one for one in checks.CHECKS if one.topic == "rights")))
    findings = found(house(tmp_path))
    assert findings["clock"].text() == "this check ended by a fault of its own (ZeroDivisionError: of ours); please report it"
    assert findings["gateway.data"].good
