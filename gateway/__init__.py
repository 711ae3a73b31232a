"""The 12349 gateway: from a cry for help on a wire to a human being who has taken charge.

Read in this order: event (the words), pipeline (the one path), core (the decisions), store (the disk),
dispatch (orders out), console (the operator's page), app (how the parts are put together), cli.
"""

__version__ = "0.1.0"
