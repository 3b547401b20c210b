"""asyncpg: binary everywhere, answers asked for with Flush, portals with row limits."""

import asyncio
import datetime
import decimal
import uuid

import asyncpg

NAME, VERSION = "asyncpg", asyncpg.__version__


def run(check, way):
    async def whole():
        opened = []

        async def connect(**more):
            c = await asyncpg.connect(host=way.host, port=way.port, user=way.user, password=way.password,
                                      database=way.database, ssl=False, **more)
            opened.append(c)
            return c

        try:
            return await asyncio.wait_for(check(connect), 60)
        finally:
            for c in opened:
                c.terminate()

    return asyncio.run(whole())


async def error_of(work):
    try:
        await work
    except asyncpg.PostgresError as error:
        return type(error).__name__, {k: v for k, v in error.as_dict().items() if not k.startswith("server_source")}
    return "no error"


async def check_types(connect):
    c = await connect()
    query = """select $1::int2, $2::int8, $3::float8, $4::numeric, $5::text, $6::bytea, $7::bool, $8::date,
               $9::timestamptz, $10::interval, $11::uuid, $12::int[], $13::text[][], $14::jsonb, $15::point, $16::int4range"""
    row = await c.fetchrow(query, -3, 2**60, 1.25, decimal.Decimal("1.500"), "é", b"\0\1", True, datetime.date(2026, 1, 2),
                           datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), datetime.timedelta(1, 2, 3),
                           uuid.UUID(int=5), [1, None], [["a"], ["b"]], '{"a": 1}', asyncpg.Point(1, 2), asyncpg.Range(1, 5))
    return repr(row)


async def check_nulls_and_composites(connect):
    c = await connect()
    return repr(await c.fetchrow("select null::int, row(1, 'x'::text), array[row(1, 2.5::numeric)], 'a'::\"char\", '1'::xid"))


async def check_prepared_statement(connect):
    c = await connect()
    s = await c.prepare("select id, name from item where id < $1 order by id")
    about = [str(a) for a in s.get_attributes()], [p.name for p in s.get_parameters()]
    return about, [tuple(r) for r in await s.fetch(4)], await s.fetchval(3, column=1), s.get_statusmsg()


async def check_description_of_a_write(connect):
    c = await connect()
    s = await c.prepare("insert into copied values ($1, $2) returning id")
    return [str(a) for a in s.get_attributes()], await s.fetchval(7, "x"), await c.fetchval("select count(*) from copied")


async def check_many_statements_fill_the_cache(connect):
    c = await connect(statement_cache_size=5)
    return [await c.fetchval(f"select {n} + $1::int", n) for n in range(40)]


async def check_no_statement_cache(connect):
    c = await connect(statement_cache_size=0)
    return [await c.fetchval("select $1::int", n) for n in range(5)]


async def check_cursor(connect):
    c = await connect()
    async with c.transaction():
        seen = [r[0] async for r in c.cursor("select id from item order by id", prefetch=7)]
        cursor = await c.cursor("select id from item where id > $1 order by id", 50)
        one, some = await cursor.fetchrow(), await cursor.fetch(3)
        await cursor.forward(5)
        return sum(seen), one[0], [r[0] for r in some], (await cursor.fetchrow())[0]


async def check_two_cursors_at_once(connect):
    c = await connect()
    async with c.transaction():
        a = await c.cursor("select id from item order by id")
        b = await c.cursor("select id from item order by id desc")
        return [((await a.fetchrow())[0], (await b.fetchrow())[0]) for _ in range(4)]


async def check_row_limit(connect):
    c = await connect()
    s = await c.prepare("select id from item order by id")
    return await s.fetchval(), (await s.fetchrow())[0], len(await s.fetch())


async def check_executemany(connect):
    c = await connect()
    await c.executemany("insert into copied values ($1, $2)", [(n, str(n)) for n in range(500)])
    failed = await error_of(c.executemany("insert into item values ($1, $2, 1)", [(1000, "new"), (1, "twice")]))
    return await c.fetchval("select count(*) from copied"), failed, await c.fetchval("select count(*) from item")


async def check_fetchmany(connect):
    c = await connect()
    return [tuple(r) for r in await c.fetchmany("insert into copied values ($1, $2) returning *", [(1, "a"), (2, "b")])]


async def check_script(connect):
    c = await connect()
    return await c.execute("select 1; insert into copied values (1, 'a'); update copied set name = 'b'"), \
        await error_of(c.execute("insert into copied values (2, 'x'); select 1 / 0")), \
        await c.fetchval("select count(*) from copied")


async def check_transactions(connect):
    c = await connect()
    states = []
    async with c.transaction(isolation="repeatable_read"):
        await c.execute("insert into copied values (1, 'a')")
        try:
            async with c.transaction():
                await c.execute("insert into copied values (2, 'b')")
                await c.fetch("select 1 / (id - 1) from item")
        except asyncpg.DivisionByZeroError:
            states.append(c.is_in_transaction())
        states.append(await c.fetchval("show transaction_isolation"))
    return states, c.is_in_transaction(), await c.fetch("select id from copied") == [(1,)]


async def check_errors(connect):
    c = await connect()
    return [await error_of(c.fetch(q, *a)) for q, a in (
        ("select 1 / (id - $1) from item", (1,)), ("insert into item values (1, 'x', 1)", ()), ("selec 1", ()),
        ("select * from nowhere where id = $1", (1,)), ("insert into item values ($1, 'x', -1)", (900,)),
    )], await c.fetchval("select 1")


async def check_values_that_do_not_fit(connect):
    c = await connect()
    try:
        await c.fetch("select $1::int", "x")
    except asyncpg.DataError as error:
        return str(error), await c.fetchval("select $1::int", 3)


async def check_copy_out_and_in(connect):
    c = await connect()
    out = bytearray()

    async def sink(data):
        out.extend(data)

    tags = [await c.copy_from_query("select id, name from item where id < $1 order by id", 5, output=sink),
            await c.copy_records_to_table("copied", records=[(n, "r") for n in range(2000)]),
            await c.copy_from_table("copied", output=sink, format="csv")]
    return tags, len(out), bytes(out[:30]), await c.fetchval("select count(*) from copied")


async def check_copy_that_fails(connect):
    c = await connect()

    async def source():
        yield b"1\ta\n"
        yield b"x\tb\n"

    async def broken():
        yield b"1\ta\n"
        raise KeyError("had enough")

    failed = await error_of(c.copy_to_table("copied", source=source()))
    try:
        await c.copy_to_table("copied", source=broken())
    except KeyError:
        pass
    return failed, await c.fetchval("select count(*) from copied")


async def check_notifications_and_notices(connect):
    c, other = await connect(), await connect()
    heard, told = asyncio.Queue(), []
    await c.add_listener("news", lambda _, pid, channel, payload: heard.put_nowait((pid == other.get_server_pid(), channel, payload)))
    c.add_log_listener(lambda _, message: told.append((message.severity, message.message, message.detail)))
    await other.execute("notify news, 'one'")
    first = await heard.get()
    await c.execute("do $$ begin raise notice 'n' using detail = 'd'; end $$")
    async with other.transaction():
        await other.execute("select pg_notify('news', 'two')")
    return first, await heard.get(), told


async def check_timeout_cancels(connect):
    c = await connect()
    try:
        await c.fetch("select pg_sleep(60)", timeout=0.5)
    except asyncio.TimeoutError:
        return await c.fetchval("select 'goes on'")


async def check_changed_table_is_prepared_again(connect):
    c = await connect()
    await c.fetch("select * from copied")
    await c.execute("alter table copied add column more int")
    return len((await c.prepare("select * from copied")).get_attributes()), await c.fetch("select * from copied")


async def check_enum_made_on_the_way(connect):
    c = await connect()
    await c.execute("drop type if exists mood; create type mood as enum ('sad', 'ok')")
    return await c.fetchval("select $1::mood", "ok"), await c.fetchval("select array['sad', 'ok']::mood[]")


async def check_reset_and_settings(connect):
    c = await connect(server_settings={"application_name": "mine", "search_path": "pg_temp, public"})
    before = c.get_settings().application_name, await c.fetchval("show search_path")
    await c.execute("set application_name = 'other'")
    changed = c.get_settings().application_name
    await c.reset()
    return before, changed, c.get_settings().application_name, c.get_settings().TimeZone


async def check_pool(connect):
    c = await connect()
    host, port = c._addr  # asyncpg keeps no public way to open a pool like a connection
    p = c._params
    async with asyncpg.create_pool(host=host, port=port, user=p.user, password=p.password, database=p.database,
                                   ssl=False, min_size=2, max_size=4) as pool:
        return sorted(await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(30))))
