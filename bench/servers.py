"""The servers that are compared: a private PostgreSQL, PgBouncer and the gateway in front of it.

All listen on loopback, on ports that were free, and end with the `with` block that started them.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "bench"
# What a database on a machine of this size is given; the same for all three ways to it.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "2300",
    "max_wal_size": "2GB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
}
POLICY = """// What the benchmark does passes without approvals, as daily work would.
@id("bench-daily-work")
permit (principal in Group::"engineering", action in [Action::"read", Action::"write"], resource in Connection::"shop");
"""


@dataclass
class Way:
    """One way to the database, as a client sees it."""

    name: str
    port: int
    user: str
    password: str
    pid: int | None = None
    environment: dict = field(default_factory=dict)

    def __post_init__(self):
        self.environment = {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": "shop",
            "PGSSLMODE": "disable",
        }

    def cpu_seconds(self) -> float:
        """User and system time of the process in between; 0 where there is none."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Bytes of the process in between that are in memory."""
        if self.pid is None:
            return 0
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_for(ready, what: str, process: subprocess.Popen, seconds: float = 60):
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise SystemExit(f"bench: {what} ended with {process.returncode} before it was ready")
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what} was not ready after {seconds:.0f} s")
        time.sleep(0.05)


def end(process: subprocess.Popen, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    if process.poll() is None:
        process.kill()
        process.wait()


def unprivileged() -> list[str]:
    """PostgreSQL and PgBouncer refuse to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def owned(folder: Path):
    if os.geteuid() == 0:
        of = pwd.getpwnam("postgres")
        os.chown(folder, of.pw_uid, of.pw_gid)


def tool(name: str) -> str:
    found = os.environ.get("COUNTERSIGN_PG_BIN")
    candidates = [Path(found) / name] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    for candidate in candidates:
        if candidate.exists():
            return str(candidate)
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        raise SystemExit(f"bench: there is no {name} here; `make bench` installs what is missing")
    return path


@contextlib.contextmanager
def postgres(folder: Path):
    data = folder / "data"
    data.mkdir()
    owned(data)
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    run = unprivileged()
    subprocess.run(
        [*run, tool("initdb"), "-D", data, "-U", "app", "--pwfile", password, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )
    port = free_port()
    options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    log = open(folder / "postgres.log", "wb")
    server = subprocess.Popen([*run, tool("postgres"), "-D", data, "-p", str(port), *options], stdout=log, stderr=log, cwd="/")
    try:
        ready = [tool("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_for(lambda: subprocess.run(ready).returncode == 0, "PostgreSQL", server)
        yield Way("direct", port, "app", PASSWORD)
    finally:
        end(server, signal.SIGINT)


@contextlib.contextmanager
def pgbouncer(folder: Path, upstream: int):
    port = free_port()
    folder = Path(tempfile.mkdtemp(dir=folder))
    owned(folder)
    folder.chmod(0o755)
    (folder / "users").write_text(f'"app" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(f"""[databases]
shop = host=127.0.0.1 port={upstream} dbname=shop user=app password={PASSWORD}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = session
default_pool_size = 2200
max_client_conn = 2300
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
""")
    server = subprocess.Popen([*unprivileged(), tool("pgbouncer"), "-q", folder / "pgbouncer.ini"], cwd="/")
    try:
        wait_for(lambda: answers(port), "PgBouncer", server)
        yield Way("pgbouncer", port, "app", PASSWORD, int((folder / "pid").read_text()))
    finally:
        end(server)


@contextlib.contextmanager
def gateway(folder: Path, binary: Path, upstream: int, durability: str = "relaxed"):
    """An identity provider from the demo, and a gateway of its own process that trusts it."""
    world = folder / "world"
    out = open(folder / "demo.log", "w+b")
    url = f"postgres://app:{PASSWORD}@127.0.0.1:{upstream}/shop"
    demo = subprocess.Popen([binary, "demo", "--dir", world, "--database-url", url], stdout=out, stderr=out)
    said = lambda: (folder / "demo.log").read_text()
    server = None
    try:
        wait_for(lambda: "Ctrl-C ends everything" in said(), "the demo", demo)
        token = re.search(r"PGPASSWORD='([^']+)'", said()).group(1)
        (world / "policy" / "90-bench.cedar").write_text(POLICY)
        port, control = free_port(), free_port()
        config = (world / "countersign.toml").read_text()
        config = re.sub(r'(?m)^listen .*$', f'listen = "127.0.0.1:{port}"', config)
        config = re.sub(r'(?m)^control .*$', f'control = "127.0.0.1:{control}"', config)
        config = config.replace("sqlite://countersign.db", "sqlite://bench.db").replace("file://./records", "file://./bench-records")
        classify = 'classify = [ { column = "public.masked_mails.mail", as = "pii", mask = "email" } ]'
        config = re.sub(r'(?m)^(name +=  ?"shop")$', rf'\1\n{classify}\ndurability = "{durability}"', config)
        config = config.replace('policy  = "policy"', 'policy  = "policy"\nbot_key = { file = "bench-bot.key" }\nlog_key = { file = "bench-log.key" }')
        file = world / "bench.toml"
        file.write_text(config)
        log = open(folder / "gateway.log", "wb")
        server = subprocess.Popen([binary, "--config", file, "gateway"], stdout=log, stderr=log)
        try:
            wait_for(lambda: answers(port), "the gateway", server)
        except SystemExit as error:
            raise SystemExit(f"{error}\n{(folder / 'gateway.log').read_text()}") from error
        yield Way("gateway", port, "ana@acme.dev", token, server.pid)
    finally:
        if server:
            end(server)
        end(demo, signal.SIGINT)
