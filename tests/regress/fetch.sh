#!/usr/bin/env bash
# Gets PostgreSQL's own regression suite, of the version that is installed, from Debian, and builds the
# one library that it needs. Touches no list of the machine's own. Usage: fetch.sh FOLDER
set -euo pipefail
folder=$1
pg_bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
major=$(basename "$(dirname "$pg_bin")")
version=$(dpkg-query --show --showformat '${Version}' "postgresql-$major")
[ "$(cat "$folder/.version" 2>/dev/null || true)" != "$version" ] || exit 0

rm -rf "$folder"
mkdir -p "$folder"/apt/lists/partial "$folder"/apt/cache/archives/partial "$folder/lib"
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
printf 'deb-src http://deb.debian.org/debian %s main\ndeb-src http://deb.debian.org/debian-security %s-security main\n' \
  "$codename" "$codename" >"$folder/apt/sources.list"
folder=$(realpath "$folder")
options=(-o "Dir::Etc::sourcelist=$folder/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root -qq)
apt-get "${options[@]}" update
(cd "$folder/apt" && apt-get "${options[@]}" source --download-only "postgresql-$major=$version" && tar xjf ./*.orig.tar.bz2)
source=$(ls -d "$folder"/apt/postgresql-*/)
(
  cd "$source"
  ./configure --without-readline --without-zlib --without-icu >configure.log 2>&1 || ./configure --without-readline --without-zlib >configure.log 2>&1
  make -C src/backend generated-headers >make.log 2>&1
  gcc -O1 -fPIC -shared -Isrc/include src/test/regress/regress.c -o "$folder/lib/regress.so"
)
cp -r "$source"/src/test/regress/{expected,sql,data,parallel_schedule,resultmap} "$folder/"
ln -sf "$(dirname "$pg_bin")"/lib/{refint,autoinc}.so "$folder/lib/"
chmod -R a+rX "$folder"
rm -rf "$folder/apt"
echo "$version" >"$folder/.version"
