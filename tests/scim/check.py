"""Runs scim2-tester's checks, and `scim test` of scim2-cli, on the gateway that `through` started.

`SCIM_URL` and `SCIM_TOKEN` say where it is. Ends with 1 where a check failed, or where none ran.
"""

import collections
import os
import pathlib
import subprocess
import sys

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

URL, TOKEN = os.environ["SCIM_URL"], os.environ["SCIM_TOKEN"]
BEARER = f"Bearer {TOKEN}"

http = httpx2.Client(base_url=URL, headers={"Authorization": BEARER}, trust_env=False)
results = check_server(SyncSCIMClient(http))
for result in results:
    print(f"{result.status.name:9} {result.resource_type or '':5} {result.title}: {result.reason or ''}")
    if result.status not in (Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE):
        print(f"          {result.data}")
counts = collections.Counter(result.status.name for result in results)
print(f"==> scim2-tester: {dict(counts)}")
bad = {Status.ERROR, Status.CRITICAL, Status.DEVIATION}
failed = any(result.status in bad for result in results) or not results

scim = pathlib.Path(sys.executable).with_name("scim")
done = subprocess.run(
    [scim, "--url", URL, "test"],
    capture_output=True,
    text=True,
    env={**os.environ, "SCIM_CLI_HEADERS": f"Authorization: {BEARER}", "NO_PROXY": "*"},
)
print(f"==> scim2-cli: exit {done.returncode}")
if done.returncode:
    print(done.stdout, done.stderr)
sys.exit(failed or done.returncode != 0)
