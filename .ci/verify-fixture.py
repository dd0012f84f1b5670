#!/usr/bin/env python3
"""Runs ../shared/fixtures/verify.py over the snapshots of one fixture, with what is expected of this program today.

    verify-fixture.py FIXTURE-FOLDER [verify.py options] -- COMMAND...

Documents that are stored as SMILE, CBOR or YAML are reported and not sent: they are taken out of the comparison, and
the program must then end with exit status 3, as for documents without a stored source and for missing shards. A
snapshot without any of those must end with 0.
"""
import asyncio
import importlib.util
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPECIFICATION = importlib.util.spec_from_file_location(
    "verify", os.path.join(ROOT, "..", "shared", "fixtures", "verify.py"))
verify = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(verify)

everything = verify.expected_of
verify.expected_of = lambda fixture, snapshot: [
    row for row in everything(fixture, snapshot) if row.get("source_format", "json") == "json"]


def must_leave_something_out(fixture, snapshot, about):
    rows = everything(fixture, snapshot)
    if any(row["sha256"] is None or row.get("source_format", "json") != "json" for row in rows):
        return True
    for entry in about["snapshots"]:
        if isinstance(entry, dict) and entry.get("name", entry.get("snapshot")) == snapshot:
            return entry.get("state") == "PARTIAL"
    return False


def main():
    split = sys.argv.index("--")
    fixture, options, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
    with open(os.path.join(fixture, "about.json"), encoding="utf-8") as file:
        about = json.load(file)
    worst = 0
    for entry in about["snapshots"]:
        snapshot = entry if isinstance(entry, str) else entry.get("name", entry.get("snapshot"))
        if str(entry.get("version") if isinstance(entry, dict) else "").split(".")[0] in ("1", "2", "5"):
            continue  # an older engine's snapshot in the same repository
        status = "3" if must_leave_something_out(fixture, snapshot, about) else "0"
        sys.argv = ["verify.py", fixture, "--snapshot", snapshot, "--exit", status, *options, "--", *command]
        worst = max(worst, asyncio.run(verify.main()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
