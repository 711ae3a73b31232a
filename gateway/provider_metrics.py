"""What `/metrics` says of ordinary services and providers, counted when somebody scrapes: requests by state, demand nobody meets, agreements."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.clock import utc_now
from gateway.config.providers import ProvidersConfig
from gateway.console.request_views import unmatched_of
from gateway.core.incident import State
from gateway.core.provider_matters import PROPOSED
from gateway.core.providers import expiring, look_up, state_of
from gateway.core.service_need import is_request
from gateway.core.state import WorkingSet
from gateway.core.territory import ProviderState


class ServiceCollector(Collector):
    """Labels are bounded: ten services and the district's own, its towns and streets. 5 ms for 5,000 requests and 4,000 providers."""

    def __init__(self, working: WorkingSet, config: ProvidersConfig) -> None:
        self._working = working
        self._config = config

    def collect(self) -> Iterator[Metric]:
        working, now = self._working, utc_now()
        register = working.register
        requests = [incident for incident in list(working.incidents.values()) if is_request(incident) and incident.is_open]
        states = Counter(request.state for request in requests)
        family = GaugeMetricFamily("gateway_requests", "Requests for ordinary services that are not closed, by state", labels=["state"])
        for state in (State.RAISED, State.ACKNOWLEDGED, State.RESOLVED):
            family.add_metric([state.value], states[state])
        unmatched = GaugeMetricFamily("gateway_requests_unmatched", "Requests that no provider can take at present", labels=["service", "place"])
        for (service, place), count in unmatched_of(register, requests).items():
            unmatched.add_metric([service, place], count)
        find = look_up(working.standings, now)
        lives = Counter(state_of(register, find, name) for name in register.providers)
        providers = GaugeMetricFamily("gateway_providers", "Providers, by the state of their life", labels=["state"])
        for one in ProviderState:
            providers.add_metric([one.value], lives[one])
        left = [days for _, days in expiring(register, find, now, self._config.warn_days)]
        ending = GaugeMetricFamily("gateway_agreements_ending", "Agreements of working providers that end soon, or have ended", labels=["when"])
        ending.add_metric(["soon"], sum(days >= 0 for days in left))
        ending.add_metric(["ended"], sum(days < 0 for days in left))
        proposals = sum(1 for name in register.providers if (known := find(f"proposal:{name}")) is not None and known.value == PROPOSED)
        yield from (family, unmatched, providers, ending)
        yield GaugeMetricFamily("gateway_providers_proposed", "Providers whose suspension is proposed and not yet decided", value=proposals)
