"""pg8000: pure Python, unnamed and named statements, text everywhere."""

import datetime
import io
from decimal import Decimal

import pg8000
import pg8000.dbapi
import pg8000.native

NAME, VERSION = "pg8000", pg8000.__version__


def run(check, way):
    opened = []

    def connect(kind=pg8000.native.Connection, **more):
        c = kind(way.user, host=way.host, port=way.port, password=way.password, database=way.database, **more)
        opened.append(c)
        return c

    try:
        return check(connect)
    finally:
        for c in opened:
            try:
                c.close()
            except Exception:  # noqa: BLE001
                pass


def error_of(work):
    try:
        work()
    except (pg8000.native.DatabaseError, pg8000.dbapi.DatabaseError) as error:
        fields = error.args[0]
        # F, L and R are places in PostgreSQL's source.
        return {k: v for k, v in fields.items() if k not in "FLR"} if isinstance(fields, dict) else str(fields)
    return "no error"


def check_types(connect):
    c = connect()
    values = dict(a=1, b=2**40, c=1.5, d=Decimal("1.50"), e="é'", f=b"\0x", g=True, h=datetime.date(2026, 1, 2),
                  i=datetime.timedelta(3), j=[1, 2], k=None)
    return c.run("select " + ", ".join(f":{k}" for k in values), **values), c.columns


def check_simple_and_several(connect):
    c = connect()
    return c.run("select 1 as a; select 'x' as b"), c.columns, c.row_count


def check_prepared(connect):
    c = connect()
    p = c.prepare("select id, name from item where id = cast(:id as int)")
    rows = [p.run(id=n) for n in (1, 2, 999)]
    p.close()
    return rows


def check_dbapi(connect):
    c = connect(pg8000.dbapi.Connection)
    cursor = c.cursor()
    cursor.execute("insert into copied values (%s, %s) returning id", (1, "a"))
    first = cursor.fetchall()
    cursor.executemany("insert into copied values (%s, %s)", [(2, "b"), (3, "c")])
    c.commit()
    cursor.execute("select * from copied where id > %s order by id", (1,))
    return [tuple(f) for f in first], cursor.rowcount, [d[:2] for d in cursor.description], [tuple(r) for r in cursor.fetchall()]


def check_rollback_and_errors(connect):
    c = connect(pg8000.dbapi.Connection)
    cursor = c.cursor()
    cursor.execute("insert into copied values (1, 'a')")
    failed = [error_of(lambda: cursor.execute("insert into item values (1, 'x', 1)")), error_of(lambda: cursor.execute("select 1"))]
    c.rollback()
    cursor.execute("select count(*) from copied")
    return failed, cursor.fetchone()[0]


def check_error_fields(connect):
    c = connect()
    return [error_of(lambda s=s: c.run(s)) for s in (
        "selec 1", "select 1 / 0", "select * from nowhere", "insert into item values (900, 'x', -1)", "select 'x'::int")]


def check_copy(connect):
    c = connect()
    c.run("copy copied from stdin", stream=io.BytesIO(b"1\ta\n2\tb\n"))
    out = io.BytesIO()
    c.run("copy copied to stdout with csv", stream=out)
    return out.getvalue(), error_of(lambda: c.run("copy copied from stdin", stream=io.BytesIO(b"x\n")))


def check_notices_and_notifications(connect):
    c = connect()
    c.run("listen news")
    c.run("notify news, 'hello'")
    c.run("do $$ begin raise notice 'n'; end $$")
    return [n[1:] for n in c.notifications], [n[b"M"] for n in c.notices]


def check_parameter_status(connect):
    c = connect(application_name="mine")
    c.run("set timezone to 'Europe/Rome'")
    return {k: v for k, v in c.parameter_statuses.items() if k not in ("session_authorization",)}


def check_named_cursor_by_sql(connect):
    c = connect()
    c.run("begin")
    c.run("declare x cursor for select id from item order by id")
    rows = c.run("fetch 3 from x"), c.run("move 10 in x"), c.run("fetch 1 from x")
    c.run("commit")
    return rows
