"""Each alert, once firing and once quiet: what Prometheus scraped, and what it makes of it.

Values as promtool writes them: `1x8` is 1, and eight times 1 more; `0+1x8` climbs; `_` is a scrape without this series. One value a `step`.
"""

from dataclasses import dataclass
from typing import Final

Series = dict[str, str]
DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Case:
    """`labels`: of the alert that fires, beside its severity. `at`: when it is looked at, of both."""

    alert: str
    fires: Series
    labels: dict[str, str]
    quiet: Series
    at: str = "6m"
    step: str = "15s"


SELF = 'job="gateway",instance="a"'


def late(metric: str, of: str, bound: str, share: int = 90) -> Series:
    """A histogram in which `share` of 100 stay below `bound`, and the rest is much later."""
    comma = "," if of else ""
    return {
        f'{metric}_bucket{{{of}{comma}le="{bound}"}}': f"0+{share}x80",
        f'{metric}_bucket{{{of}{comma}le="900.0"}}': "0+100x80",
        f'{metric}_bucket{{{of}{comma}le="+Inf"}}': "0+100x80",
    }


def profile(hotline: str, value: str) -> Series:
    return {f'gateway_call_profile_met{{hotline="{hotline}",profile="gbt33358"}}': value}


CASES = [
    # reach
    Case("GatewayDown", {f"up{{{SELF}}}": "1x2 0x40"}, {"job": "gateway", "instance": "a"}, {f"up{{{SELF}}}": "1x20 0 1x20"}),
    Case("GatewayDown", {'up{job="node"}': "1x40"}, {"job": "gateway"}, {f"up{{{SELF}}}": "1x40"}),
    Case(
        "GatewayRestartsOften",
        {f"process_start_time_seconds{{{SELF}}}": "1 2 2 3 4 5x60"},
        {"job": "gateway", "instance": "a"},
        {f"process_start_time_seconds{{{SELF}}}": "1x30 2x30"},
    ),
    Case(
        "GatewayMemoryGrows",
        {f"process_resident_memory_bytes{{{SELF}}}": "100000000+1000000x200", f"process_start_time_seconds{{{SELF}}}": "0x200"},
        {"job": "gateway", "instance": "a"},
        {f"process_resident_memory_bytes{{{SELF}}}": "100000000+100000x200", f"process_start_time_seconds{{{SELF}}}": "0x200"},
        at="9h",
        step="5m",
    ),
    Case(
        "GatewayDescriptorsLow",
        {f"process_open_fds{{{SELF}}}": "800x40", f"process_max_fds{{{SELF}}}": "1000x40"},
        {"job": "gateway", "instance": "a"},
        {f"process_open_fds{{{SELF}}}": "500x40", f"process_max_fds{{{SELF}}}": "1000x40"},
    ),
    Case(
        "GatewayReloadFailed",
        {'gateway_config_reload_total{result="failed"}': "0x4 1x40"},
        {"result": "failed"},
        {'gateway_config_reload_total{result="failed"}': "0x40", 'gateway_config_reload_total{result="ok"}': "0+1x40"},
    ),
    Case(
        "GatewayMetricsFailing",
        {f'gateway_metrics_failed_total{{{SELF},collector="_IncidentCollector"}}': "_x4 1+1x40"},
        {"instance": "a", "collector": "_IncidentCollector"},
        {f'gateway_metrics_failed_total{{{SELF},collector="_IncidentCollector"}}': "0x8 1x5 2x40"},
    ),
    # store
    Case("GatewayStoreDown", {"gateway_store_down": "0x4 1x40"}, {}, {"gateway_store_down": "0x22 1 0x20"}),
    Case(
        "GatewayBooksDoNotBalance",
        {'gateway_unaccounted{line="panel"}': "0x4 1x40"},
        {"line": "panel"},
        {'gateway_unaccounted{line="panel"}': "0x22 1 0x20"},
    ),
    Case("GatewayIncidentsDoNotBalance", {"gateway_incidents_unaccounted": "0x4 -1x40"}, {}, {"gateway_incidents_unaccounted": "0x40"}),
    Case("GatewayCommitSlow", late("gateway_commit_seconds", "", "0.25"), {}, late("gateway_commit_seconds", "", "0.25", 100), at="15m"),
    Case("GatewayDecideSlow", late("gateway_decide_seconds", "", "0.25"), {}, late("gateway_decide_seconds", "", "0.25", 100), at="15m"),
    Case(
        "GatewayAcceptSlow",
        late("gateway_accept_seconds", 'line="panel"', "0.05"),
        {"line": "panel"},
        late("gateway_accept_seconds", 'line="panel"', "0.05", 100),
        at="15m",
    ),
    Case(
        "GatewayBacklog",
        {'gateway_in_flight{line="a"}': "1500x40", 'gateway_in_flight{line="b"}': "600x40"},
        {},
        {'gateway_in_flight{line="a"}': "1500x40"},
    ),
    Case(
        "GatewayDiskLow",
        {"gateway_data_free_bytes": "5e10x80", "gateway_data_size_bytes": "1e12x80"},
        {},
        {"gateway_data_free_bytes": "5e11x80", "gateway_data_size_bytes": "1e12x80"},
        at="18m",
    ),
    Case(  # half is left, and it is going fast
        "GatewayDiskLow",
        {"gateway_data_free_bytes": "5e11-1e9x320", "gateway_data_size_bytes": "1e12x320"},
        {},
        {"gateway_data_free_bytes": "5e11-100x320", "gateway_data_size_bytes": "1e12x320"},
        at="78m",
    ),
    Case(  # it went fast for half an hour, and the gateway has been here for no longer
        "GatewayDiskLow",
        {"gateway_data_free_bytes": "5e11-1e9x320", "gateway_data_size_bytes": "1e12x320"},
        {},
        {"gateway_data_free_bytes": "_x160 5e11-1e9x160", "gateway_data_size_bytes": "1e12x320"},
        at="78m",
    ),
    Case("GatewayDiskNearlyFull", {"gateway_data_free_bytes": "4e8x40"}, {}, {"gateway_data_free_bytes": "6e8x40"}),
    Case("GatewayBackupOld", {"gateway_backup_age_seconds": "95000x80"}, {}, {"gateway_backup_age_seconds": "90000x80"}, at="18m"),
    Case(
        "GatewayNeverBackedUp",
        {"gateway_store_down": "0x70"},
        {},
        {"gateway_store_down": "0x70", "gateway_backup_age_seconds": "_x20 3600x50"},
        at="60h",
        step="1h",
    ),
    Case("GatewaySpareBehind", {"gateway_spare_lag_seconds": "61x80"}, {}, {"gateway_spare_lag_seconds": "1x60 300x8 1x12"}, at="18m"),
    # lines
    Case(
        "GatewayLineLost",
        {'gateway_line_state{line="panel",state="lost"}': "0x4 1x40"},
        {"line": "panel", "state": "lost"},
        {'gateway_line_state{line="panel",state="lost"}': "0x22 1x2 0x20", 'gateway_line_state{line="panel",state="suspect"}': "1x40"},
    ),
    Case(
        "GatewayLineSuspect",
        {'gateway_line_state{line="panel",state="suspect"}': "1x40"},
        {"line": "panel", "state": "suspect"},
        {'gateway_line_state{line="panel",state="suspect"}': "0x10 1x40", 'gateway_line_state{line="panel",state="live"}': "1x40"},
    ),
    Case(
        "GatewayLineRestarts",
        {'gateway_line_restarts_total{line="pbx"}': "0 1 2 3 4 5x40"},
        {"line": "pbx"},
        {'gateway_line_restarts_total{line="pbx"}': "0 1x40"},
    ),
    Case(
        "GatewayLineDrops",
        {'gateway_line_dropped_total{line="pbx"}': "0x20 3x20"},
        {"line": "pbx"},
        {'gateway_line_dropped_total{line="pbx"}': "3x40"},
    ),
    Case(  # the series is born with the flood
        "GatewayLineFlooded",
        {'gateway_line_counted_total{line="watches",what="flooding"}': "_x20 1x20"},
        {"line": "watches"},
        {'gateway_line_counted_total{line="watches",what="flooding"}': "1x40"},
        at="7m",
    ),
    Case(
        "GatewayProfileOff",
        {'gateway_line_counted_total{line="homes",what="profiles_refused"}': "_x60 1x30"},
        {"line": "homes", "what": "profiles_refused"},
        {'gateway_line_counted_total{line="homes",what="profiles_shut_off"}': "1x80"},
        at="20m",
    ),
    Case(
        "GatewayProfileOff",
        {'gateway_line_counted_total{line="homes",what="profiles_shut_off"}': "_x20 1x20"},
        {"line": "homes", "what": "profiles_shut_off"},
        {'gateway_line_counted_total{line="homes",what="profiles_refused"}': "0x80"},
    ),
    Case(
        "GatewayMessagesRejected",
        {'gateway_rejected_total{line="panel",reason="bad_crc"}': "0+1x40"},
        {"line": "panel", "reason": "bad_crc"},
        {'gateway_rejected_total{line="panel",reason="bad_crc"}': "0x20 5x20"},
    ),
    Case(
        "GatewayCaptureAgentSilent",
        {'gateway_line_agent_heard{line="pbx",agent="2001"}': "0x160"},
        {"line": "pbx", "agent": "2001"},
        {'gateway_line_agent_heard{line="pbx",agent="2001"}': "0+15x160"},
        at="35m",
    ),
    # devices
    Case(
        "GatewayClassSilent",
        {'gateway_devices{class="watch",state="overdue"}': "6x80", 'gateway_devices{class="watch",state="alive"}': "14x80"},
        {"class": "watch"},
        {'gateway_devices{class="panel",state="overdue"}': "6x80", 'gateway_devices{class="panel",state="alive"}': "94x80"},
        at="18m",
    ),
    Case(
        "GatewayManyMissed",
        {'gateway_watch_persons{state="missed"}': "21x40"},
        {"state": "missed"},
        {'gateway_watch_persons{state="missed"}': "20x40"},
    ),
    Case("GatewayStrangersMany", {"gateway_strangers": "21x40"}, {}, {"gateway_strangers": "20x40"}, at="2h", step="5m"),
    Case(
        "GatewayRiskWarnings",
        {'gateway_risk_warnings{risk="repeat_faller"}': "2x40"},
        {"risk": "repeat_faller"},
        {'gateway_risk_warnings{risk="repeat_faller"}': "0x40"},
        at="2h",
        step="5m",
    ),
    # desk
    Case(
        "GatewayAlarmsUnwatched",
        {'gateway_incidents{state="raised"}': "2x40", "gateway_consoles": "0x40"},
        {},
        {'gateway_incidents{state="raised"}': "2x40", "gateway_consoles": "1x40"},
    ),
    Case("GatewayNoEars", {'gateway_ears{area="all"}': "0x40"}, {"area": "all"}, {'gateway_ears{area="all"}': "1x22 0 1x20"}),
    Case(
        "GatewayAlarmWaits", {"gateway_incident_longest_waiting_seconds": "0x10 301x40"}, {}, {"gateway_incident_longest_waiting_seconds": "299x40"}
    ),
    Case("GatewayDeskFlooded", {"gateway_flood": "0x4 1x40"}, {}, {"gateway_flood": "0x20 1x2 0x20"}),
    Case(
        "GatewayDeadlinesLate", late("gateway_deadline_late_seconds", "", "1.0"), {}, late("gateway_deadline_late_seconds", "", "1.0", 100), at="15m"
    ),
    Case("GatewayDeadlineForgotten", {"gateway_audit_oldest_overdue_seconds": "0x4 90x40"}, {}, {"gateway_audit_oldest_overdue_seconds": "29x40"}),
    Case(
        "GatewayKeyNodesMissed",
        {'gateway_loop_nodes_missed_total{reason="nobody_agreed"}': "0+1x40"},
        {"reason": "nobody_agreed"},
        {'gateway_loop_nodes_missed_total{reason="nobody_agreed"}': "0 3x40"},
    ),
    Case(
        "GatewayHeartbeatWithheld",
        {'gateway_heartbeats_withheld_total{reason="late"}': "_x20 1x20"},
        {"reason": "late"},
        {'gateway_heartbeats_withheld_total{reason="late"}': "7x40"},
    ),
    Case(
        "GatewayHeartbeatUnheard",
        {'gateway_heartbeats_total{way="url",outcome="failed"}': "0 1 2 3 4 5x40"},
        {"way": "url"},
        {'gateway_heartbeats_total{way="url",outcome="sent"}': "0+1x40", 'gateway_heartbeats_total{way="url",outcome="http_5xx"}': "0 1x40"},
    ),
    # dispatch
    Case(  # the first failure of a channel
        "GatewayOrdersFail",
        {'gateway_orders_total{channel="sms",result="failed"}': "_x20 1x20"},
        {"channel": "sms"},
        {'gateway_orders_total{channel="sms",result="failed"}': "1x40", 'gateway_orders_total{channel="sms",result="sent"}': "0+9x40"},
    ),
    Case(
        "GatewayOrdersFail",
        {'gateway_orders_total{channel="sms",result="failed"}': "7x20 8x20"},
        {"channel": "sms"},
        {'gateway_orders_total{channel="sms",result="retried"}': "0+1x40"},
    ),
    Case("GatewayOrderStuck", {"gateway_orders_oldest_pending_seconds": "0x4 130x40"}, {}, {"gateway_orders_oldest_pending_seconds": "60x40"}),
    Case(
        "GatewayOrdersSlow",
        late("gateway_order_seconds", 'channel="sms"', "60.0"),
        {"channel": "sms"},
        late("gateway_order_seconds", 'channel="sms"', "60.0", 100),
        at="18m",
    ),
    Case(
        "GatewayNoticesFail",
        {'gateway_notices_total{moment="alarm",result="failed"}': "0+1x40"},
        {"moment": "alarm"},
        {'gateway_notices_total{moment="alarm",result="failed"}': "0 3x40", 'gateway_notices_total{moment="alarm",result="sent"}': "0+1x40"},
    ),
    Case(
        "GatewayServiceLevelMissed",
        {'gateway_clock_profile_met{hotline="",area="",profile="tsa_alarm"}': "0x80"},
        {"profile": "tsa_alarm"},
        {
            'gateway_clock_profile_met{hotline="",area="",profile="tsa_alarm"}': "1x80",
            'gateway_clock_profile_met{hotline="",area="yaojie",profile="tsa_alarm"}': "0x80",
        },
        at="18m",
    ),
    Case(
        "GatewayRoadsUnusable",
        {'gateway_roads_state{state="stale"}': "1x40"},
        {"state": "stale"},
        {'gateway_roads_state{state="stale"}': "0x40", 'gateway_roads_state{state="off"}': "1x40"},
        at="2h",
        step="5m",
    ),
    Case(
        "GatewayPageProbed",
        {'gateway_page_requests_total{outcome="not_found"}': "0+10x40"},
        {},
        {'gateway_page_requests_total{outcome="not_found"}': "0+1x40", 'gateway_page_requests_total{outcome="ok"}': "0+99x40"},
    ),
    # calls
    Case("GatewayCallsAnsweredLate", profile("12349", "0x80"), {"hotline": "12349", "profile": "gbt33358"}, profile("12345", "1x80"), at="18m"),
    Case(
        "GatewayCallWaitsLong",
        {'gateway_call_longest_waiting_seconds{hotline="12349"}': "0x4 75x40"},
        {"hotline": "12349"},
        {'gateway_call_longest_waiting_seconds{hotline="12349"}': "45x40"},
    ),
    Case(
        "GatewayCallBeyondProfile",
        {'gateway_calls_beyond{hotline="12349",profile="tsa"}': "1x4 2x40"},
        {"hotline": "12349", "profile": "tsa"},
        {'gateway_calls_beyond{hotline="12349",profile="tsa"}': "2x40"},
    ),
    Case(
        "GatewayCallsLost",
        {'gateway_calls_total{hotline="12349",outcome="missed"}': "0+1x40"},
        {"hotline": "12349"},
        {'gateway_calls_total{hotline="12349",outcome="abandoned"}': "0+9x40", 'gateway_calls_total{hotline="12349",outcome="missed"}': "0 4x40"},
    ),
    Case(
        "GatewayHandOverFails",
        {'gateway_hand_overs_total{hotline="12345",result="failed"}': "_x60 1x30"},
        {"hotline": "12345"},
        {'gateway_hand_overs_total{hotline="12345",result="failed"}': "1x80"},
        at="20m",
    ),
    Case(
        "GatewayDialLimit",
        {'gateway_dials_total{what="dial",outcome="limited"}': "_x60 1x30"},
        {"what": "dial"},
        {'gateway_dials_total{what="dial",outcome="limited"}': "1x80", 'gateway_dials_total{what="dial",outcome="ok"}': "0+1x80"},
        at="20m",
    ),
    # outside
    Case(
        "GatewayReportsWait",
        {'gateway_upward_lag_seconds{to="city"}': "3700x40"},
        {"to": "city"},
        {'gateway_upward_lag_seconds{to="city"}': "3500x40"},
    ),
    Case(
        "GatewayReportsDiffer",
        {'gateway_upward_unequal{to="city",what="missing"}': "1x40"},
        {"to": "city", "what": "missing"},
        {'gateway_upward_unequal{to="city",what="missing"}': "0x40"},
    ),
    Case(
        "GatewayAgreementEnded",
        {'gateway_agreements_ending{when="ended"}': "1x40"},
        {"when": "ended"},
        {'gateway_agreements_ending{when="ended"}': "0x40", 'gateway_agreements_ending{when="soon"}': "2x40"},
        at="2h",
        step="5m",
    ),
    Case(
        "GatewayDemandUnmatched",
        {'gateway_requests_unmatched{service="bath",place="a"}': "1x60", 'gateway_requests_unmatched{service="bath",place="b"}': "1x60"},
        {"service": "bath"},
        {'gateway_requests_unmatched{service="bath",place="a"}': "1x10 0 1x20 0 1x30"},
        at="30h",
        step="1h",
    ),
    Case(
        "GatewaySuspensionProposed",
        {"gateway_providers_proposed": "1x200"},
        {},
        {"gateway_providers_proposed": "1x100 0 1x100"},
        at="180h",
        step="1h",
    ),
    # machine
    Case(
        "GatewayCertificateEnds",
        {'gateway_certificate_not_after_seconds{key="console.tls_certificate"}': f"{20 * DAY}x40"},
        {"key": "console.tls_certificate"},
        {'gateway_certificate_not_after_seconds{key="console.tls_certificate"}': f"{30 * DAY}x40"},
        at="2h",
        step="5m",
    ),
    Case(  # it cannot be read
        "GatewayCertificateEnded",
        {'gateway_certificate_not_after_seconds{key="line.panel.listen"}': "0x80"},
        {"key": "line.panel.listen"},
        {'gateway_certificate_not_after_seconds{key="line.panel.listen"}': f"{4 * DAY}x80"},
        at="18m",
    ),
    Case(  # 15 s a scrape, as the clock of the tests goes
        "GatewayClockWrong",
        {"gateway_clock_seconds": "30+15x40"},
        {},
        {"gateway_clock_seconds": "1+15x40"},
    ),
    Case("GatewayClockUnsynchronised", {"gateway_clock_synchronised": "0x20"}, {}, {"gateway_clock_synchronised": "0x3 1x20"}, at="1h", step="5m"),
    Case("GatewayClockStepped", {"gateway_clock_steps_total": "0x10 1x40"}, {}, {"gateway_clock_steps_total": "1x40"}),
    # self-test
    Case(
        "GatewaySelfTestMissed",
        {'gateway_self_test_up{point="w",line="wearables"}': "1x4 0x40"},
        {"point": "w", "line": "wearables"},
        {'gateway_self_test_up{point="w",line="wearables"}': "1x20 0x3 1x20"},
    ),
    Case(
        "GatewaySelfTestSlow",
        late("gateway_self_test_seconds", 'point="w",line="wearables",stage="committed"', "2.0", 80),
        {"line": "wearables", "stage": "committed"},
        late("gateway_self_test_seconds", 'point="w",line="wearables",stage="committed"', "2.0", 100),
        at="15m",
    ),
    Case(
        "GatewaySelfTestFails",
        {'gateway_self_test_missed_total{point="w",line="wearables",reason="unheard"}': "0+1x40"},
        {"line": "wearables"},
        {'gateway_self_test_missed_total{point="w",line="wearables",reason="unheard"}': "0 2x40"},
    ),
    # cluster
    Case(
        "GatewayShardUnowned",
        {'gateway_shard_owned{shard="3",instance="a"}': "1x4 0x40", 'gateway_shard_owned{shard="3",instance="b"}': "0x44"},
        {"shard": "3"},
        {'gateway_shard_owned{shard="3",instance="a"}': "1x4 0x40", 'gateway_shard_owned{shard="3",instance="b"}': "0x4 1x40"},
    ),
    Case(
        "GatewayShardOwnedTwice",
        {'gateway_shard_owned{shard="3",instance="a"}': "1x40", 'gateway_shard_owned{shard="3",instance="b"}': "1x40"},
        {"shard": "3"},
        {'gateway_shard_owned{shard="3",instance="a"}': "1x40", 'gateway_shard_owned{shard="3",instance="b"}': "0x20 1x2 0x20"},
    ),
    Case(
        "GatewayShardMoves",
        {'gateway_shard_owned{shard="3",instance="a"}': "0 1 0 1 0 1 0 1 0 1x40"},
        {"shard": "3"},
        {'gateway_shard_owned{shard="3",instance="a"}': "0 1x40", 'gateway_shard_owned{shard="3",instance="b"}': "1 0x40"},
    ),
    Case(
        "GatewayBusLag",
        {'gateway_bus_lag_seconds{shard="3",instance="a"}': "11x40"},
        {"shard": "3"},
        {'gateway_bus_lag_seconds{shard="3",instance="a"}': "9x20 20x2 9x20"},
    ),
    Case(
        "GatewayBusDeaf",
        {'gateway_bus_serves{instance="a"}': "1x10 0x30", 'gateway_bus_serves{instance="b"}': "1x40"},
        {"instance": "a"},
        {'gateway_bus_serves{instance="a"}': "1x22 0 1x20"},
    ),
    Case(
        "GatewayBusCopyDiffers",
        {'gateway_bus_rereads_total{shard="3",instance="a"}': "0x10 2x30"},
        {"shard": "3"},
        {'gateway_bus_rereads_total{shard="3",instance="a"}': "2x40"},
    ),
    Case(
        "GatewayBusForgotten",
        {'gateway_bus_forgotten{shard="3",instance="a"}': "0x10 2x30"},
        {"shard": "3"},
        {'gateway_bus_forgotten{shard="3",instance="a"}': "0x40"},
    ),
]
