"""`python small_tables.py run …`: the gateway with a hundredth of the bounds of its large tables, which a soak has filled when it begins to weigh.

A table that fills cannot be told from a leak: at full size it takes 20,000 closed incidents and more, weeks of a district.
"""

import sys

from gateway import incident_clocks
from gateway.console import idempotency, live
from gateway.core import risk, state

PART = 100

state.KNOWN_LIMIT //= PART
risk.CASES_LIMIT //= PART
incident_clocks.KNOWN_LIMIT //= PART
live.GONE_LIMIT //= PART
idempotency.MEMORY_LIMIT //= PART

if __name__ == "__main__":
    from gateway.cli import main

    sys.exit(main())
