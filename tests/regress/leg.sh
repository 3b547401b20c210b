#!/usr/bin/env bash
# One run of PostgreSQL's own regression suite, straight or through the gateway. Started by
# `through`, which says where both are. Usage: leg.sh DIRECT|THROUGH SOURCE OUTPUT [TEST...]
set -euo pipefail
way=$1 source=$2 output=$3
shift 3

of() { local name=${way}_$1; printf '%s' "${!name}"; }
admin() {
  PGPASSWORD=$DIRECT_PASSWORD "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$DIRECT_HOST" -p "$DIRECT_PORT" \
    -U "$DIRECT_USER" -d "$DATABASE" -c "$1"
}

# What pg_regress does to a database that it makes itself.
for setting in "lc_messages TO 'C'" "lc_monetary TO 'C'" "lc_numeric TO 'C'" "lc_time TO 'C'" \
  "bytea_output TO 'hex'" "timezone_abbreviations TO 'Default'"; do
  admin "ALTER DATABASE \"$DATABASE\" SET $setting"
done

mkdir -p "$output"
# The server, under an account of its own, reads and writes files of the suite.
chmod 777 "$output"
cp -r "$source/expected" "$source/sql" "$source/data" "$output/"
mkdir -p "$output/results" && chmod 777 "$output/results"
if [ $# -eq 0 ]; then
  what=(--schedule="$source/parallel_schedule")
else
  what=("$@")
fi
PGPASSWORD=$(of PASSWORD) "$(dirname "$PG_BIN")/lib/pgxs/src/test/regress/pg_regress" \
  --use-existing --dbname="$DATABASE" --host="$(of HOST)" --port="$(of PORT)" --user="$(of USER)" \
  --bindir="$PG_BIN" --dlpath="$source/lib" --inputdir="$output" --outputdir="$output" --max-connections=20 \
  "${what[@]}" >"$output/summary.txt" 2>&1 || true
cp "$GATEWAY_LOG" "$output/gateway.stderr"
tail -n 5 "$output/summary.txt"
