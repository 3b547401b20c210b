"""psycopg 3: text and binary, pipelines, COPY, cursors, notifications, cancel."""

import re
import threading
import time
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

NAME, VERSION = "psycopg", psycopg.__version__


def connect(way, **more):
    return psycopg.connect(
        host=way.host, port=way.port, user=way.user, password=way.password, dbname=way.database,
        sslmode="disable", **more,
    )


def fill(way, text):
    with connect(way, autocommit=True) as connection:
        connection.execute("set lock_timeout = '20s'")
        connection.execute(text)


def run(check, way):
    return check(lambda **more: connect(way, **more))


def error_of(work):
    """Every field of the error that `work` ends with, but for places in PostgreSQL's source, and the number of the
    session's temporary schema."""
    try:
        work()
    except psycopg.Error as error:
        d = error.diag
        names = ("severity", "severity_nonlocalized", "sqlstate", "message_primary", "message_detail",
                 "message_hint", "statement_position", "context", "schema_name", "table_name", "column_name",
                 "datatype_name", "constraint_name", "source_function")
        plain = lambda field: re.sub(r"^pg_temp_\d+$", "pg_temp", field) if isinstance(field, str) else field
        return type(error).__name__, [plain(getattr(d, name)) for name in names]
    return "no error"


VALUES = [
    1, -(2**40), 2**70, 1.5, float("inf"), Decimal("12.3400"), True, None, "é'\"\\", "", b"\x00\xff", date(2026, 1, 2),
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc), timedelta(days=3, seconds=4),
    uuid.UUID(int=7), [1, 2, None], ["a", "b,c"], Jsonb({"a": [1, None]}),
]


def check_types_text(c):
    with c() as x:
        return [x.execute("select %s", (v,)).fetchone() for v in VALUES]


def check_types_binary(c):
    with c() as x:
        return [x.execute("select %b", (v,), binary=True).fetchone() for v in VALUES]


def check_types_in_text_parameters(c):
    with c() as x:
        return [x.execute("select %t::text", (v,)).fetchone() for v in VALUES]


def check_description(c):
    with c() as x:
        cursor = x.execute("select id, name, price as p, 1::int2 from item limit 0")
        return [(d.name, d.type_code, d.internal_size, d.precision, d.scale) for d in cursor.description]


def check_row_factories(c):
    with c(row_factory=dict_row) as x:
        return x.execute("select * from item order by id limit 3").fetchall()


def check_executemany(c):
    with c() as x:
        cursor = x.cursor()
        cursor.executemany("insert into copied values (%s, %s)", [(n, f"n{n}") for n in range(50)])
        count = cursor.rowcount
        cursor.executemany("update copied set name = %s where id = %s returning id", [("x", 1), ("y", 2)], returning=True)
        sets = []
        while True:
            sets.append(cursor.fetchall())
            if not cursor.nextset():
                return count, sets, x.execute("select count(*) from copied").fetchone()


def check_prepared_statements(c):
    with c(prepare_threshold=0) as x:
        rows = [x.execute("select %s::int * 2", (n,)).fetchone() for n in range(12)]
        x.execute("select 1", prepare=False)
        return rows, x.execute("select statement from pg_prepared_statements order by 1").fetchall()


def check_prepared_statements_after_a_change_of_the_table(c):
    with c(prepare_threshold=0, autocommit=True) as x:
        x.execute("select * from copied where id = %s", (1,))
        x.execute("alter table copied add column more int")
        failed = error_of(lambda: x.execute("select * from copied where id = %s", (1,)))
        return failed, x.execute("select id, more from copied where id = %s", (1,)).fetchall()


def check_pipeline(c):
    with c() as x, x.pipeline() as pipeline:
        cursors = [x.execute("select %s::int", (n,)) for n in range(20)]
        pipeline.sync()
        return [cursor.fetchall() for cursor in cursors]


def check_pipeline_of_writes_and_reads(c):
    with c() as x:
        with x.pipeline():
            x.execute("insert into copied values (1, 'a')")
            x.cursor().executemany("insert into copied values (%s, %s)", [(2, "b"), (3, "c")])
            rows = x.execute("select id from copied order by id")
            return rows.fetchall()


def check_pipeline_with_an_error(c):
    with c(autocommit=True) as x:
        def work():
            with x.pipeline() as pipeline:
                x.execute("select 1")
                x.execute("select 1 / (id - 1) from item where id = %s", (1,))
                x.execute("insert into copied values (9, 'never')")
                pipeline.sync()
        failed = error_of(work)
        return failed, x.info.transaction_status.name, x.execute("select count(*) from copied").fetchone()


def check_pipeline_with_an_error_in_a_transaction(c):
    with c() as x:
        def work():
            with x.pipeline():
                x.execute("insert into copied values (1, 'a')")
                x.execute("insert into item values (1, 'twice', 1)")
                x.execute("insert into copied values (2, 'b')")
        failed = error_of(work)
        status = x.info.transaction_status.name
        x.rollback()
        return failed, status, x.execute("select count(*) from copied").fetchone()


def check_copy_out(c):
    with c() as x, x.cursor() as cursor:
        with cursor.copy("copy (select id, name from item order by id limit 5) to stdout") as copy:
            text = b"".join(bytes(block) for block in copy)
        with cursor.copy("copy (select id, name from item order by id limit 5) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            return text, list(copy.rows())


def check_copy_in(c):
    with c() as x, x.cursor() as cursor:
        with cursor.copy("copy copied from stdin") as copy:
            for n in range(3000):
                copy.write_row((n, f"name {n}\t\\"))
        count = cursor.rowcount
        with cursor.copy("copy copied from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((1, None))
        return count, cursor.rowcount, x.execute("select count(*), max(name) from copied").fetchone()


def check_copy_in_with_errors(c):
    with c(autocommit=True) as x:
        def wrong():
            with x.cursor().copy("copy copied from stdin") as copy:
                copy.write("x\ty\n")
        def given_up():
            with x.cursor().copy("copy copied from stdin") as copy:
                copy.write("1\ty\n")
                raise KeyError("had enough")
        first = error_of(wrong)
        try:
            given_up()
            second = None
        except KeyError:
            second = x.info.transaction_status.name
        return first, second, x.execute("select count(*) from copied").fetchone()


def check_server_side_cursor(c):
    with c() as x, x.cursor("named", scrollable=True) as cursor:
        cursor.itersize = 7
        cursor.execute("select id from item order by id")
        first = cursor.fetchmany(10)
        cursor.scroll(-5)
        some = cursor.fetchmany(3)
        cursor.scroll(100, mode="absolute")
        return first, some, cursor.fetchone(), [r for r in cursor][-1]


def check_stream(c):
    with c() as x:
        return list(x.cursor().stream("select id, name from item where id < %s order by id", (9,)))


def check_transactions_and_savepoints(c):
    with c() as x:
        with x.transaction():
            x.execute("insert into copied values (1, 'kept')")
            inner = error_of(lambda: nested(x))
        return inner, x.execute("select * from copied").fetchall(), x.info.transaction_status.name


def nested(x):
    with x.transaction():
        x.execute("insert into copied values (2, 'lost')")
        x.execute("select 1 / (id - 1) from item where id = 1")


def check_isolation_levels(c):
    with c() as x:
        x.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        x.read_only = True
        level = x.execute("show transaction_isolation").fetchone()
        return level, error_of(lambda: x.execute("insert into copied values (1, 'a')"))


def check_error_fields(c):
    with c(autocommit=True) as x:
        x.execute("create domain pg_temp.small as int check (value < 10)")
        return [error_of(lambda s=s: x.execute(s)) for s in (
            "insert into item values (1, 'twice', 1)", "insert into item values (900, 'cheap', -1)",
            "insert into item values (901, null, 1)", "select nobody from item", "selec 1", "select 'x'::int",
            "select 100::pg_temp.small", "select * from nowhere", "select 1 / 0",
            "do $$ begin raise exception 'e' using errcode = 'P0007', detail = 'd', hint = 'h'; end $$",
        )]


def check_notices(c):
    with c(autocommit=True) as x:
        heard = []
        x.add_notice_handler(lambda d: heard.append((d.severity, d.sqlstate, d.message_primary, d.message_detail)))
        x.execute("do $$ begin raise notice 'one' using detail = 'd'; raise warning 'two'; end $$")
        x.execute("drop table if exists nothing_there")
        return heard


def check_notifications_while_idle(c):
    with c(autocommit=True) as x, c(autocommit=True) as y:
        x.execute("listen news")
        y.execute("select pg_notify('news', 'hello')")
        y.execute("notify news, 'again'")
        return [(n.channel, n.payload, n.pid == y.info.backend_pid) for n in x.notifies(timeout=20, stop_after=2)]


def check_cancel(c):
    with c(autocommit=True) as x:
        threading.Timer(0.5, x.cancel).start()
        failed = error_of(lambda: x.execute("select pg_sleep(60)"))
        return failed, x.execute("select 1").fetchone()


def check_settings(c):
    with c(autocommit=True) as x:
        told = [x.info.parameter_status(n) for n in ("server_version", "client_encoding", "DateStyle", "TimeZone",
                                                     "standard_conforming_strings", "integer_datetimes", "application_name")]
        x.execute("set timezone = 'Europe/Berlin'")
        told.append(x.info.timezone.key)
        x.execute("set application_name = 'mine'")
        told.append(x.info.parameter_status("application_name"))
        with x.transaction():
            x.execute("set local application_name = 'for now'")
            told.append(x.info.parameter_status("application_name"))
        told.append(x.info.parameter_status("application_name"))
        x.execute("reset application_name")
        return told, x.info.parameter_status("application_name")


def check_startup_options(c):
    with c(options="-c statement_timeout=12345 -c datestyle=German", application_name="a b'c") as x:
        return x.execute("show statement_timeout").fetchone(), x.execute("select date '2026-03-01'::text").fetchone(), \
            x.info.parameter_status("application_name")


def check_composed_sql_and_identifiers(c):
    with c() as x:
        x.execute(sql.SQL("create temp table {} ({} int)").format(sql.Identifier('odd "name"'), sql.Identifier("Col")))
        x.execute(sql.SQL("insert into {} values (1)").format(sql.Identifier('odd "name"')))
        return x.execute('select "Col" from "odd ""name"""').fetchall()


def check_two_phase(c):
    with c() as x:
        x.tpc_begin("tpc-check")
        x.execute("insert into copied values (1, 'a')")
        x.tpc_prepare()
        x.tpc_commit()
        return x.execute("select count(*) from copied").fetchone()


def check_large_results(c):
    with c() as x:
        big = x.execute("select repeat('x', 5000000)").fetchone()[0]
        rows = x.execute("select n, md5(n::text) from generate_series(1, 30000) n", binary=True).fetchall()
        return len(big), len(rows), rows[-1]


def check_large_parameters(c):
    with c() as x:
        return x.execute("select length(%s), length(%b)", ("é" * 1000000, b"\0" * 3000000)).fetchone()


def check_a_backend_that_is_ended(c):
    with c(autocommit=True) as y:
        x = c(autocommit=True)
        y.execute("select pg_terminate_backend(%s)", (x.info.backend_pid,))
        time.sleep(0.2)
        failed = error_of(lambda: x.execute("select 1"))
        return failed[0], x.closed
