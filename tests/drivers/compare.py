"""Runs every check of every driver twice, straight and through the gateway, and compares.

Started by `through`, which says in the environment where both are. A check is a function that takes
a way to connect and returns what it saw; it passes where both ways saw the same.
"""

import inspect
import os
import sys
import traceback
from dataclasses import dataclass

import with_asyncpg
import with_pg8000
import with_psycopg

FIXTURE = """
drop table if exists item, copied;
create table item (id int primary key, name text not null, price numeric(8, 2) check (price >= 0));
create table copied (id int, name text);
insert into item select n, 'item ' || n, n * 1.5 from generate_series(1, 200) n;
"""


@dataclass(frozen=True)
class Way:
    """A way into the database."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @staticmethod
    def of(name):
        value = lambda part: os.environ[f"{name}_{part}"]
        return Way(value("HOST"), int(value("PORT")), value("USER"), value("PASSWORD"), os.environ["DATABASE"])


def checks(module):
    """The module's checks, in the order in which they are written."""
    found = [f for n, f in inspect.getmembers(module, inspect.isfunction) if n.startswith("check_")]
    return sorted(found, key=lambda check: check.__code__.co_firstlineno)


def seen(module, check, way):
    """What a check saw; a failure of the check itself is seen too."""
    with_psycopg.fill(Way.of("DIRECT"), FIXTURE)
    try:
        return module.run(check, way)
    except Exception as error:  # noqa: BLE001
        return "failed", type(error).__name__, str(error), traceback.format_exc(limit=-3)


def main():
    direct, through = Way.of("DIRECT"), Way.of("THROUGH")
    failed = 0
    for module in (with_psycopg, with_asyncpg, with_pg8000):
        same = 0
        for check in checks(module):
            expected, got = seen(module, check, direct), seen(module, check, through)
            broken = isinstance(expected, tuple) and expected[:1] == ("failed",)
            if expected == got and not broken:
                same += 1
                continue
            failed += 1
            print(f"{module.NAME}: {check.__name__} differs\n  direct  {expected!r}\n  through {got!r}")
        print(f"{module.NAME} {module.VERSION}: {same} of {len(checks(module))} checks see the same both ways")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
