"""Runs `millraced backfill` over corpora and targets in interleaved rounds and reports what it cost.

CPU-seconds are user + system of the millraced process by wait4(2), from its start to its end; so start-up, checking of
checksums and the checkpoint are in. MB are 10^6 bytes of `_source`.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import corpora


class Sink:
    """`millrace-bench sink` in a process of its own."""

    def __init__(self, bench, threads):
        command = [bench, "sink", "--listen", "127.0.0.1:0", "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def call(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.loads(response.read())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def measure(program, corpus, target, sink, extra):
    """One run in a process; a dictionary of what was measured."""
    state = tempfile.mkdtemp(prefix="millrace-perf-")
    command = [program, "backfill", "--repository", corpus.repository, "--snapshot", corpus.snapshot]
    command += ["--target", sink.url if target == "sink" else "null:", "--coordinator", f"file://{state}", *extra]
    if target == "sink":
        sink.call("/_sink/reset")
    try:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            started = time.monotonic_ns()
            child = subprocess.Popen(command, stdout=output, stderr=errors)
            _, status, usage = os.wait4(child.pid, 0)
            wall = (time.monotonic_ns() - started) / 1e9
            child.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            errors.seek(0)
            report, complaint = output.read().decode(), errors.read().decode()
        cpu = usage.ru_utime + usage.ru_stime
        row = {
            "corpus": corpus.name, "target": target, "exit": child.returncode, "wall_s": wall, "cpu_s": cpu,
            "user_s": usage.ru_utime, "system_s": usage.ru_stime, "peak_rss_mb": usage.ru_maxrss / 1024,
            "mb_per_cpu_s": corpus.source_bytes / 1e6 / cpu, "cpu_s_per_gb": cpu / (corpus.source_bytes / 1e9),
            "mb_per_wall_s": corpus.source_bytes / 1e6 / wall, "report": report.strip(),
        }
        problem = None if child.returncode == 0 else f"exit status {child.returncode}: {complaint.strip()[-500:]}"
        if target == "sink":
            counts = sink.call("/_sink/counts")
            row["sink"] = counts
            row["first_document_s"] = (counts["first_bulk_ns"] - started) / 1e9 if counts["first_bulk_ns"] else None
            if problem is None and counts["documents"] != corpus.documents:
                problem = f"{counts['documents']} documents arrived, not {corpus.documents}"
        row["problem"] = problem
        return row
    finally:
        shutil.rmtree(state, ignore_errors=True)


def bound(machine, corpus, target):
    """MB a CPU-second if only the unavoidable steps were done: CRC-32 over what is stored, decode, send."""
    stored = corpus.stored_bytes / corpus.source_bytes
    decode = machine["lz4_decode_gb_s" if corpus.codec == "lz4" else "inflate_gb_s"]
    seconds = stored / machine["crc32_gb_s"] + 1 / decode
    if target == "sink":
        seconds += 1 / machine["loopback_send_gb_s"]
    return 1000 / seconds


def table(rows, corpora_by_name, machine):
    lines = ["corpus             target  MB/CPU-s  CPU-s/GB  of bound  MB/s wall  peak RSS MB  first doc s  runs"]
    for key in dict.fromkeys((row["corpus"], row["target"]) for row in rows):
        runs = [row for row in rows if (row["corpus"], row["target"]) == key]
        good = [row for row in runs if row["problem"] is None]
        if not good:
            lines.append(f"{key[0]:<18} {key[1]:<7} FAILED: {runs[0]['problem']}")
            continue
        median = lambda name: statistics.median(row[name] for row in good)
        speed = median("mb_per_cpu_s")
        share = speed / bound(machine, corpora_by_name[key[0]], key[1])
        first = f"{median('first_document_s'):11.2f}" if key[1] == "sink" else " " * 11
        peak = max(row["peak_rss_mb"] for row in good)
        lines.append(
            f"{key[0]:<18} {key[1]:<7} {speed:8.0f}  {median('cpu_s_per_gb'):8.2f}  {share:7.0%}  "
            f"{median('mb_per_wall_s'):9.0f}  {peak:11.0f}  {first}  {len(good)}/{len(runs)}"
        )
    return lines


def arguments():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(prog="perf/scenarios/backfill/run")
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", default="1.5GB", help="_source bytes of each corpus")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--segments", type=int, default=4, help="segments of the synthetic shard")
    parser.add_argument("--codecs", default="lz4,deflate")
    parser.add_argument("--targets", default="null,sink")
    parser.add_argument("--real", action="store_true", help="also corpora that a real OpenSearch indexes (once)")
    parser.add_argument("--no-synthetic", action="store_true")
    parser.add_argument("--services", help="folder of the real services, default ../shared/services beside the project")
    parser.add_argument("--engine-port", type=int, default=25271)
    parser.add_argument("--sink-threads", type=int, default=1)
    parser.add_argument("--cache", default=os.path.join(cache, "millrace-perf"))
    parser.add_argument("--results", help="folder for the JSON, default perf/results")
    parser.add_argument("--corpora-only", action="store_true")
    parser.add_argument("--flag", action="append", default=[], help="a further argument for millraced; repeatable")
    return parser.parse_args()


def main():
    options = arguments()
    program, bench = os.environ["MILLRACED"], os.environ["MILLRACE_BENCH"]
    os.makedirs(options.cache, exist_ok=True)
    codecs = options.codecs.split(",")
    chosen = []
    if not options.no_synthetic:
        for codec in codecs:
            chosen.append(
                corpora.synthetic(bench, options.cache, codec, options.bytes, options.seed, options.segments))
    if options.real:
        services = options.services or os.path.join(options.top, "..", "shared", "services")
        made = corpora.real(bench, options.cache, options.bytes, options.seed, services, options.engine_port)
        chosen += [corpus for corpus in made if corpus.codec in codecs]
    if options.corpora_only:
        return 0
    if not os.access(program, os.X_OK):
        print(f"backfill: no program at {program}; make build", file=sys.stderr)
        return 69

    rows = []
    sink = Sink(bench, options.sink_threads)
    try:
        machine = [machine_rates(bench)]
        for number in range(options.rounds):
            for corpus in chosen:
                for target in options.targets.split(","):
                    row = measure(program, corpus, target, sink, options.flag)
                    row["round"] = number + 1
                    rows.append(row)
                    state = row["problem"] or f"{row['mb_per_cpu_s']:.0f} MB/CPU-s"
                    corpora.say(f"round {number + 1}: {corpus.name} to {target}: {state}")
        machine.append(machine_rates(bench))
    finally:
        sink.stop()
    best = {name: max(rates[name] for rates in machine) for name in machine[0]}
    report(options, chosen, rows, best, machine)
    return 0 if all(row["problem"] is None for row in rows) else 1


def machine_rates(bench):
    return json.loads(subprocess.run([bench, "machine", "--json"], check=True, stdout=subprocess.PIPE).stdout)


def report(options, chosen, rows, best, machine):
    by_name = {corpus.name: corpus for corpus in chosen}
    print("this machine, GB of plain bytes per CPU-second (the better of before and after):")
    print("  " + "  ".join(f"{name.removesuffix('_gb_s')} {rate:.2f}" for name, rate in best.items()))
    for corpus in chosen:
        print(
            f"{corpus.name}: {corpus.documents} documents, {corpus.source_bytes / 1e6:.0f} MB of _source in "
            f"{corpus.stored_bytes / 1e6:.0f} MB of snapshot")
    print("\n".join(table(rows, by_name, best)))
    folder = options.results or os.path.join(options.top, "perf", "results")
    os.makedirs(folder, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    path = os.path.join(folder, f"backfill-{now:%Y%m%dT%H%M%SZ}.json")
    described = {name: vars(corpus) for name, corpus in by_name.items()}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "time": now.isoformat(), "kernel": platform.release(), "cores": os.cpu_count(),
                "load": os.getloadavg(), "flags": options.flag, "machine": machine, "corpora": described, "runs": rows,
            },
            file, indent=1)
    print(f"wrote {os.path.relpath(path)}")


if __name__ == "__main__":
    sys.exit(main())
