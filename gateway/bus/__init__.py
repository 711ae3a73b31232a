"""How what edges hear reaches the cores that decide, when they are several processes: through NATS JetStream.

In one process there is nothing of this: lines hand their events to the pipeline itself (`drivers.contract.Emit`). An edge has the same face
(gateway.edge.Edge.receive), so lines know no difference: give events, get one verdict each when they are safe.
"""
