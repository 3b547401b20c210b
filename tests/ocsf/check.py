"""Whether each event on stdin is valid against the Open Cybersecurity Schema Framework, as PyPI's
ocsf-json-schema ships it:

    countersign audit export --format ocsf | python3 tests/ocsf/check.py

Needs tests/ocsf/requirements.txt.
"""

import json
import sys
from collections import Counter

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.5.0"
CLASSES = {
    0: "base_event",
    3002: "authentication",
    3005: "user_access",
    6002: "application_lifecycle",
    6005: "datastore_activity",
}

embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
validators = {uid: Draft202012Validator(embedded.get_class_schema(name)) for uid, name in CLASSES.items()}
counted, wrong = Counter(), 0
for number, line in enumerate(sys.stdin, 1):
    event = json.loads(line)
    counted[CLASSES[event["class_uid"]]] += 1
    for error in validators[event["class_uid"]].iter_errors(event):
        wrong += 1
        print(f"event {number}, {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}", file=sys.stderr)
print(dict(counted), "errors:", wrong)
sys.exit(1 if wrong or not counted else 0)
