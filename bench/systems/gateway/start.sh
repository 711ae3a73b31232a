root=$(cd ../../.. && pwd)
# Once per data directory: after the kill -9 of the crash phase the gateway finds the same configuration and port.
[ -e "$BENCH_DATA/gateway.toml" ] || "$root/.venv/bin/python" make_config.py
exec "$root/.venv/bin/gateway" run --config "$BENCH_DATA/gateway.toml"
