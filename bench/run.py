#!/usr/bin/env python3
"""The same work directly, through PgBouncer and through the gateway, side by side.

Every round takes the three in turn, so that what else the machine does meets all of them. What
counts are ratios of medians within one run.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import measure
import report
from servers import gateway, pgbouncer, postgres, tool

HERE = Path(__file__).resolve().parent
ROWS = 1_000_000
# Held by the demo's policies: who changes the schema needs two people.
HELD = "alter table pgbench_history set (fillfactor = 90)"
# So many that what the first ones make for all (connections to the state, caches) is a small share of each.
HELD_SESSIONS = 500


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", type=Path, default=HERE.parent / "target/release/countersign", help="the binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="for each measurement")
    parser.add_argument("--scale", type=int, default=10, help="pgbench's")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--sessions", type=int, default=2000, help="idle ones, for the memory of each")
    parser.add_argument("--holds", type=int, default=1000, help="statements held at once, for what they cost others")
    parser.add_argument("--only", nargs="*", choices=["simple", "extended", "prepared", "tpcb", "transfer", "latency", "memory", "holds", "log"])
    parser.add_argument("--unlogged", type=Path, help="with --only log: a build that writes down no statement, to compare with (README)")
    parser.add_argument("--keep", action="store_true", help="write results.json, README.md and the picture")
    return parser.parse_args()


def say(text: str):
    print(f"{datetime.datetime.now():%H:%M:%S}  {text}", flush=True)


def in_turn(ways, rounds, work, once):
    """Each way once a round; the results by way."""
    results = {way.name: [] for way in ways}
    for number in range(rounds):
        # Another one begins each round: none is always the one after a rest.
        for way in ways[number % len(ways):] + ways[:number % len(ways)]:
            results[way.name].append(once(way))
        say(f"{work}: round {number + 1} of {rounds}")
    return results


def throughput(ways, options):
    rows = []
    wanted = [(mode, clients, "select-only", f"select, {mode}, {clients}") for mode in ("simple", "extended", "prepared")
              for clients in options.clients if not options.only or mode in options.only]
    if not options.only or "tpcb" in options.only:
        wanted.append(("simple", 16, "tpcb-like", "TPC-B, simple, 16"))
    for mode, clients, script, work in wanted:
        got = in_turn(ways, options.rounds, work, lambda way: measure.throughput(way, mode, clients, options.seconds, script))
        rows.append({
            "work": work,
            "tps": {way: [one[0] for one in all] for way, all in got.items()},
            "cpu": {way: [one[1] for one in all] for way, all in got.items()},
        })
    return rows


def transfer(ways, options, folder):
    file = folder / "rows.csv"
    measure.psql(ways[0], f"\\copy (select i, i * 2, md5(i::text) from generate_series(1, {ROWS}) i) to '{file}'")
    measure.psql(ways[0], "create table if not exists copied (a int, b int, c text)")
    for table in ("mails", "masked_mails"):
        made = f"select i as id, 'somebody' || i || '@example.com' as mail, md5(i::text) as note from generate_series(1, {ROWS}) i"
        measure.psql(ways[0], f"create table if not exists {table} as {made}")
    works = [
        ("SELECT, 1M rows with e-mail addresses", "select id, mail, note from mails"),
        ("the same, masked by the gateway", "select id, mail, note from masked_mails"),
        ("SELECT, 1M rows", f"select aid, bid, abalance from pgbench_accounts limit {ROWS}"),
        ("COPY out, 1M rows", f"\\copy (select aid, bid, abalance from pgbench_accounts limit {ROWS}) to '/dev/null'"),
        ("COPY in, 1M rows", f"\\copy copied from '{file}'"),
    ]
    rows = []
    for work, command in works:
        def once(way):
            # PgBouncer has its server's connection already; one login in five is little of what is measured.
            seconds = measure.psql(way, command, times=5)
            if "copied" in command:
                measure.psql(ways[0], "truncate copied")
            return seconds
        rows.append({"work": work, "seconds": in_turn(ways, min(options.rounds, 5), work, once)})
    return rows


def latency(ways, options):
    rows = []
    for mode in ("simple", "prepared"):
        most = {way.name: measure.throughput(way, mode, 16, options.seconds)[0] for way in ways}
        rate = min(most.values()) / 2
        work = f"p99, {mode}, 16, {rate:,.0f} tps"
        got = in_turn(ways, options.rounds, work, lambda way: measure.latency(way, mode, 16, options.seconds, rate))
        rows.append({"work": f"p99 at half load, {mode}, 16", "p99": got, "rate": rate})
    return rows


def memory(folder, options, upstream):
    """Each on a process of its own: one that had sessions before would put new ones into memory it
    already has, and PgBouncer keeps its connections to the server when its clients have left."""
    def alone(name, start, count, held=None):
        place = folder / name
        place.mkdir(mode=0o755)
        with start(place) as way:
            kib = measure.per_session(way, count, held)
        say(f"memory, {name}: {kib:.1f} KiB")
        return f"{kib:.1f} KiB"

    bouncer = lambda place: pgbouncer(place, upstream)
    ours = lambda place: gateway(place, options.gateway.resolve(), upstream)
    return [
        {
            "work": f"memory of an idle session, {options.sessions:,} of them",
            "pgbouncer": alone("idle-pgbouncer", bouncer, options.sessions),
            "gateway": alone("idle-gateway", ours, options.sessions),
        },
        {"work": "memory of a session with a held statement", "pgbouncer": "", "gateway": alone("held-gateway", ours, HELD_SESSIONS, HELD)},
    ]


def holds(folder, options, upstream):
    """What statements that wait cost everybody else: the same selects with none of them and with many."""
    place = folder / "holds-gateway"
    place.mkdir(mode=0o755)
    tps = {"none": [], "held": []}
    with gateway(place, options.gateway.resolve(), upstream) as way:
        measure.throughput(way, "simple", 16, 2)
        for number in range(options.rounds):
            tps["none"].append(measure.throughput(way, "simple", 16, options.seconds)[0])
            with measure.held(way, options.holds, HELD):
                tps["held"].append(measure.throughput(way, "simple", 16, options.seconds)[0])
            say(f"{options.holds:,} held: round {number + 1} of {options.rounds}")
    return [{"work": f"select, simple, 16, while {options.holds:,} statements are held", "tps": tps}]


def log_cost(folder, options, upstream):
    """Reads with entries that are fsynced within 50 ms and with such that are before each, in turn; and the share of the
    machine that the log's own threads (fsync, hashes, signatures) take. What appending takes is in the sessions'
    threads: `make evidence` has it, for each of a statement's two entries; and beside a build that writes down no
    statement, the throughput has all of it."""
    binaries = {"relaxed": options.gateway, "strict": options.gateway}
    if options.unlogged:
        binaries["none"] = options.unlogged
    tps, share = {name: [] for name in binaries}, {name: [] for name in binaries}
    with ExitStack() as stack:
        ways = {}
        for name, binary in binaries.items():
            place = folder / f"log-{name}"
            place.mkdir(mode=0o755)
            durability = "strict" if name == "strict" else "relaxed"
            ways[name] = stack.enter_context(gateway(place, binary.resolve(), upstream, durability))
            measure.throughput(ways[name], "simple", 16, 2)
        for number in range(options.rounds):
            # As in `in_turn`.
            for name, way in (list(ways.items()) * 2)[number % len(ways):][:len(ways)]:
                before = measure.thread_seconds(way.pid, "log-")
                tps[name].append(measure.throughput(way, "simple", 16, options.seconds)[0])
                used = measure.thread_seconds(way.pid, "log-") - before
                share[name].append(used / options.seconds / os.cpu_count())
            say(f"log: round {number + 1} of {options.rounds}")
    for name in binaries:
        beside = f", {median(tps[name]) / median(tps['none']):.3f} of none" if "none" in binaries else ""
        say(f"log, {name}: {median(tps[name]):,.0f} tps{beside}, its threads {median(share[name]):.1%} of the machine")


def more_files():
    """Two thousand sessions are four thousand sockets of the process in between."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def version(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]


def main():
    options = arguments()
    if not options.gateway.exists():
        sys.exit(f"bench: there is no {options.gateway}; build it: cargo build --release -p countersign-cli")
    more_files()
    wants = lambda part: not options.only or part in options.only
    # Open to others, since PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        direct = stack.enter_context(postgres(folder))
        subprocess.run([tool("createdb"), "shop"], env=direct.environment, check=True)
        say(f"pgbench makes its tables, scale {options.scale}")
        subprocess.run([tool("pgbench"), "-i", "-q", "-s", str(options.scale)], env=direct.environment, check=True, stderr=subprocess.DEVNULL)
        bouncer = stack.enter_context(pgbouncer(folder, direct.port))
        through = stack.enter_context(gateway(folder, options.gateway.resolve(), direct.port))
        ways = [direct, bouncer, through]
        for way in ways:
            measure.throughput(way, "simple", 16, 2)
        results = {
            "date": f"{datetime.date.today()}",
            "machine": report.machine(),
            "versions": ", ".join([version(tool("postgres"), "--version"), version(tool("pgbouncer"), "--version"), version(str(options.gateway), "--version")]),
            "rounds": options.rounds,
            "throughput": throughput(ways, options),
            "transfer": transfer(ways, options, folder) if wants("transfer") else [],
            "latency": latency(ways, options) if wants("latency") else [],
            "memory": memory(folder, options, direct.port) if wants("memory") else [],
            "holds": holds(folder, options, direct.port) if wants("holds") else [],
        }
        if options.only and "log" in options.only:
            log_cost(folder, options, direct.port)
    print(report.table(results))
    if options.keep:
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        report.write(HERE / "README.md", results)
        report.picture(HERE.parent / "docs/images/bench.svg", results)


if __name__ == "__main__":
    main()
