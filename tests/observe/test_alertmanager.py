"""The example for an Alertmanager: read by its own amtool, each severity goes where it should, and every name in it is an alert."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from servers import program

from tests.observe.rules import ALERTS
from tests.observe.servers_of_watch import ALERTMANAGER

CONFIG = ALERTMANAGER / "alertmanager.yml"
ROUTES = {"critical": "on_call", "warning": "by_day"}


def amtool(*arguments: str) -> str:
    done = subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_reads_it() -> None:
    assert "1 templates" in amtool("check-config", str(CONFIG))


@pytest.mark.parametrize("severity", sorted({alert.severity for alert in ALERTS}))
def test_each_severity_goes_where_it_should(severity: str) -> None:
    alert = next(alert for alert in ALERTS if alert.severity == severity)
    labels = (f"severity={severity}", f"alertname={alert.name}", "line=panel")
    amtool("config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={ROUTES[severity]}", *labels)


def test_a_wrong_route_would_be_seen(tmp_path: Path) -> None:
    """The judge can say no."""
    wrong = tmp_path / "alertmanager.yml"
    wrong.write_text(CONFIG.read_text(encoding="utf-8").replace('severity = "critical"', 'severity = "urgent"'), encoding="utf-8")
    shutil.copy(ALERTMANAGER / "gateway.tmpl", tmp_path)
    with pytest.raises(AssertionError):
        amtool("config", "routes", "test", f"--config.file={wrong}", "--verify.receivers=on_call", "severity=critical", "alertname=GatewayDown")


def test_every_alert_that_is_named_exists() -> None:
    names = {alert.name for alert in ALERTS}
    rules = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"]
    patterns = [
        re.sub(r'^alertname (=~|=) "|"$', "", one) for rule in rules for one in rule["source_matchers"] + rule["target_matchers"] if "!=" not in one
    ]
    assert patterns
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in names)] == []


def test_a_gateway_that_is_down_silences_the_rest_and_not_itself() -> None:
    rule = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"][0]
    assert rule["source_matchers"] == ['alertname = "GatewayDown"']
    assert 'alertname != "GatewayDown"' in rule["target_matchers"]
