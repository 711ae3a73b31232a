"""Routing: who is sent, and why (docs/decisions/0016).

decision    what comes out, by value            ground   what follows from the register, prepared once
search      one pass: filter, reach, rank       router   the ways of asking
"""

from gateway.core.duty import CHINA as CHINA
from gateway.core.routing.decision import NAMED as NAMED
from gateway.core.routing.decision import RULES as RULES
from gateway.core.routing.decision import SHOWN as SHOWN
from gateway.core.routing.decision import VERDICTS as VERDICTS
from gateway.core.routing.decision import Candidate as Candidate
from gateway.core.routing.decision import Decision as Decision
from gateway.core.routing.router import DESK as DESK
from gateway.core.routing.router import PASS as PASS
from gateway.core.routing.router import Router as Router
