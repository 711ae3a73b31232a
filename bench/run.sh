#!/usr/bin/env bash
# One command: installs what the systems need (outside the repository), compiles the load generator, measures, reports.
#   run.sh [--profile smoke|short|full] [--repeats N] [… options of bench.py] [system …]
# BENCH_DEPS  where programs, the virtual environment and node modules live (default: a folder under the temporary directory)
# Only what the named systems need is installed. Without names: everything, or with BENCH_PEERS=core all but the slow installs
# (Node-RED, ThingsBoard gateway, Home Assistant).
set -euo pipefail
cd "$(dirname "$0")"
deps=${BENCH_DEPS:-${TMPDIR:-$(dirname "$(mktemp -u)")}/bench-deps}
mkdir -p "$deps"

need() { command -v "$1" >/dev/null || PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; }
if ! need mosquitto || [ ! -e /usr/include/sqlite3.h ] || ! need gcc; then
  [ "$(id -u)" = 0 ] || { echo "install mosquitto, libsqlite3-dev and gcc first" >&2; exit 1; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends mosquitto libsqlite3-dev gcc libc6-dev
fi

build() { # source, output, extra arguments: only when it is out of date
  if [ ! "$deps/$2" -nt "$1" ] || [ ! "$deps/$2" -nt load/mqtt.h ]; then gcc -O2 -Wall -o "$deps/$2" "$1" "${@:3}"; fi
}
build load/loadgen.c loadgen -lm
build load/fsyncbench.c fsyncbench -lm
build load/slowsync.c slowsync.so -shared -fPIC -ldl
build systems/floor-b/floor.c floor -lsqlite3 -lm

venv() { # name, requirements file
  if ! cmp -s "$2" "$deps/$1/.installed"; then
    [ -x "$deps/$1/bin/python" ] || python3 -m venv "$deps/$1"
    "$deps/$1/bin/pip" install -q -r "$2"
    cp "$2" "$deps/$1/.installed"
  fi
}
asked() { # is this system measured? A name is what has a folder in systems/ or in BENCH_SYSTEMS_DIR
  local word folder named="" folders=${BENCH_SYSTEMS_DIR:-}
  for word in "${arguments[@]}"; do
    [ "$word" != "$1" ] || return 0
    for folder in systems ${folders//:/ }; do
      [ ! -d "$folder/$word" ] || named=yes
    done
  done
  [ -z "$named" ] && [ "${BENCH_PEERS:-all}" != core ]
}
arguments=("$@")
venv venv config/requirements.txt
if asked node-red && ! cmp -s config/node-red.package.json "$deps/nodered/package.json"; then
  need npm || { echo "node-red needs Node 20 and npm: install them, or name the systems without it" >&2; exit 1; }
  mkdir -p "$deps/nodered"
  (cd "$deps/nodered" && cp "$OLDPWD/config/node-red.package.json" package.json && npm install --no-audit --no-fund --loglevel=error)
fi
! asked thingsboard-gateway || venv venv-tb config/requirements-thingsboard.txt
! asked home-assistant || venv venv-ha config/requirements-home-assistant.txt

nice=()
[ "$(id -u)" != 0 ] || nice=(--nice "${BENCH_NICE:--10}") # other work may share the cores; stated in the result
exec python3 bench.py --deps "$deps" "${nice[@]}" "$@"
