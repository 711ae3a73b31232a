"""How bytes arrive: stream (TCP, TLS), serial_port, datagram, broker, sip_port (UDP, TCP and TLS together).

conversation and silence serve the first two.
"""
