"""The self-test (canary): synthetic alarms through every line's real wire, seen back or missed; and the quality sentinels (质量哨点).

It reaches its lines from outside, as a device does, and sees what comes out of the pipeline; it can stop nothing (invariant 9).
"""
