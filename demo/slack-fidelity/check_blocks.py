"""Checks messages and views with the models of slack_sdk.

Reads JSON lines from stdin: {"name": …, "text": …, "blocks": […]} or {"name": …, "view": {…}}.
Names every bad line on stderr and exits with 1 if there is one.
"""

import json
import logging
import sys

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View


class Skipped(logging.Handler):
    """slack_sdk skips what it doesn't know and says so in its log only; here that is an error."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())

    def take(self):
        taken, self.messages = self.messages, []
        return taken


def lost(given, kept, path):
    """What was given but isn't in what slack_sdk made of it: a field that it does not know."""
    if isinstance(given, dict):
        if not isinstance(kept, dict):
            yield f"{path}: not understood"
            return
        for key, value in given.items():
            if value in (None, "", [], {}):
                continue
            if key not in kept:
                yield f"{path}.{key}: not a known field"
            else:
                yield from lost(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        if not isinstance(kept, list) or len(kept) != len(given):
            yield f"{path}: an item was not understood"
            return
        for index, (one, other) in enumerate(zip(given, kept)):
            yield from lost(one, other, f"{path}[{index}]")
    elif given != kept:
        yield f"{path}: became {kept!r}"


def check_block(block, path):
    parsed = Block.parse(block)
    if parsed is None:
        yield f"{path}: not a known block"
        return
    parsed.validate_json()
    # to_dict validates what is inside, too.
    yield from lost(block, parsed.to_dict(), path)


def check(line):
    if "view" in line:
        view = View(**line["view"])
        view.validate_json()
        yield from lost(line["view"], view.to_dict(), "view")
        blocks, most = line["view"].get("blocks"), 100
    else:
        blocks, most = line.get("blocks", []), 50
        if not line.get("text"):
            yield "text: a message without text says nothing in a notification"
        if len(line.get("text") or "") > 40000:
            yield "text: longer than 40000 characters"
    if not isinstance(blocks, list):
        yield "blocks: not a list"
        return
    if len(blocks) > most:
        yield f"blocks: more than {most}"
    for index, block in enumerate(blocks):
        try:
            yield from check_block(block, f"blocks[{index}]")
        except (SlackObjectFormationError, TypeError, AttributeError, KeyError) as error:
            yield f"blocks[{index}]: {error}"


def main():
    skipped = Skipped()
    logging.getLogger().addHandler(skipped)
    seen, bad = 0, 0
    for number, text in enumerate(sys.stdin, 1):
        if not text.strip():
            continue
        seen += 1
        name = f"line {number}"
        try:
            line = json.loads(text)
            name = line.get("name", name)
            problems = list(check(line))
        except (ValueError, SlackObjectFormationError, TypeError, AttributeError, KeyError) as error:
            problems = [str(error)]
        problems += skipped.take()
        if problems:
            bad += 1
            for problem in problems:
                print(f"{name}: {problem}", file=sys.stderr)
    if seen == 0:
        print("nothing to check: no line on stdin", file=sys.stderr)
        return 1
    print(f"{seen} checked, {bad} bad", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
