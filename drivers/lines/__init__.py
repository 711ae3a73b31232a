"""How bytes arrive: stream (TCP, TLS), serial_port, datagram, broker; conversation and silence serve the first two."""
