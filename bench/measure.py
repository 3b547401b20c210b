"""One measurement each: what was run, how fast, and what it cost the process in between."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from servers import Way, tool


# A statement that nobody expects to be held would wait for its approval: then the run ends and says so.
PATIENCE = 300


def run(way: Way, *command, **how) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, env=way.environment, timeout=PATIENCE, **how)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"bench: no end after {PATIENCE} s through {way.name}: {' '.join(map(str, command))}") from error


def pgbench(way: Way, *arguments: str, folder: str | None = None) -> str:
    done = run(way, tool("pgbench"), "-n", *arguments, cwd=folder or "/", capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: pgbench through {way.name}: {done.stderr.strip()}")
    return done.stdout


def throughput(way: Way, mode: str, clients: int, seconds: int, script: str = "select-only") -> tuple[float, float]:
    """Transactions per second, and CPU seconds of the process in between per 100,000 of them."""
    before = way.cpu_seconds()
    said = pgbench(way, "-b", script, "-M", mode, "-c", str(clients), "-j", "1", "-T", str(seconds))
    cost = way.cpu_seconds() - before
    count = int(re.search(r"actually processed: (\d+)", said).group(1))
    tps = float(re.search(r"tps = ([\d.]+)", said).group(1))
    return tps, cost / count * 100_000


def thread_seconds(pid: int, name: str) -> float:
    """CPU seconds of a process's threads whose names begin so."""
    ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(name):
            ticks += sum(int(field) for field in (task / "stat").read_text().rsplit(")", 1)[1].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]


def latency(way: Way, mode: str, clients: int, seconds: int, rate: float) -> float:
    """The 99th percentile in milliseconds, from when a transaction should have begun. The first second,
    in which all clients begin at once and catch up, does not count."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-b", "select-only", "-M", mode, "-c", str(clients), "-j", "1", "-T", str(seconds + 1)]
        pgbench(way, *arguments, "-R", f"{rate:.0f}", "-l", folder=folder)
        lines = [line.split() for log in Path(folder).glob("pgbench_log.*") for line in log.read_text().splitlines()]
        began = lambda line: int(line[4]) + int(line[5]) / 1e6 - int(line[2]) / 1e6
        first = min(map(began, lines))
        return percentile([int(line[2]) / 1000 for line in lines if began(line) > first + 1], 0.99)


def psql(way: Way, command: str, times: int = 1) -> float:
    """Seconds that a command of psql takes, run `times` in one session; a share of the start is included."""
    began = time.monotonic()
    commands = [word for _ in range(times) for word in ("-c", command)]
    done = run(way, tool("psql"), "-X", "-q", "-A", "-t", *commands, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"bench: psql through {way.name} failed: {command}")
    return (time.monotonic() - began) / times


def log_in(way: Way) -> socket.socket:
    """A session that has logged in and does nothing. Knows trust and a password in clear, no more."""
    client = socket.create_connection(("127.0.0.1", way.port), PATIENCE)
    parameters = b"user\0" + way.user.encode() + b"\0database\0shop\0\0"
    client.sendall(struct.pack("!ii", 8 + len(parameters), 196608) + parameters)
    while True:
        kind, body = message(client)
        if kind == b"R" and body == struct.pack("!i", 3):
            password = way.password.encode() + b"\0"
            client.sendall(b"p" + struct.pack("!i", 4 + len(password)) + password)
        elif kind == b"E":
            raise SystemExit(f"bench: {way.name} refused a session: {body!r}")
        elif kind == b"Z":
            return client


def message(client: socket.socket) -> tuple[bytes, bytes]:
    head = exactly(client, 5)
    return head[:1], exactly(client, struct.unpack("!i", head[1:])[0] - 4)


def exactly(client: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = client.recv(count - len(read))
        if not more:
            raise SystemExit("bench: a session was closed")
        read += more
    return read


def query(client: socket.socket, sql: str):
    text = sql.encode() + b"\0"
    client.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)


@contextlib.contextmanager
def held(way: Way, count: int, sql: str):
    """While this lasts, so many sessions have `sql` held."""
    sessions = []
    try:
        for _ in range(count):
            client = log_in(way)
            sessions.append(client)
            query(client, sql)
            while message(client)[0] != b"N":
                pass
        yield
    finally:
        for client in sessions:
            client.close()
        # Their requests are withdrawn before anything else is measured.
        time.sleep(2)


def per_session(way: Way, count: int, held: str | None = None) -> float:
    """KiB that one more session keeps in memory: idle after a query, or with `held` held."""
    sessions = [log_in(way) for _ in range(8)]
    before = way.resident()
    try:
        for _ in range(count):
            client = log_in(way)
            sessions.append(client)
            query(client, held or "select 1")
            # A notice says that it is held; otherwise the server is ready again.
            while message(client)[0] != (b"N" if held else b"Z"):
                pass
        time.sleep(1)
        return (way.resident() - before) / count / 1024
    finally:
        for client in sessions:
            client.close()
