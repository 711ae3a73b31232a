"""The decisions, pure: no I/O, no clock, no logging. `now` is an argument, effects are returned and performed by others.

register (who is who), incident (states and legs, one table each), state (the working set and a draft of it),
correlation (which incident an event belongs to), routing (who is sent), decide (what each input changes).
"""
