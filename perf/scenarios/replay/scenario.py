"""Replays captured traffic to a sink in interleaved rounds and reports what a request, or a megabyte, cost.

CPU-seconds are user + system of the millraced process by wait4(2), from its start to its end. MB are 10^6 bytes: of
bulk bodies as the sink counted them. Threads are sampled from /proc/PID/task/*/schedstat while the process runs, so
their shares lack its last 50 ms.
"""

import argparse
import collections
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import traffic

BARS = {"small": (20_000, 40_000), "bulk": (250, 500)}


class ThreadWatch(threading.Thread):
    """CPU seconds of a process's threads by their name, the numbers at its end left out."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.seconds = {}
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.05):
            try:
                for thread in os.listdir(f"/proc/{self.pid}/task"):
                    folder = f"/proc/{self.pid}/task/{thread}"
                    with open(f"{folder}/comm") as file:
                        name = re.sub(r"[-:]?\d+$", "", file.read().strip())
                    with open(f"{folder}/schedstat") as file:
                        self.seconds[thread] = (name, int(file.read().split()[0]) / 1e9)
            except OSError:
                continue

    def stop(self):
        self.done.set()
        self.join()
        found = collections.Counter()
        for name, seconds in self.seconds.values():
            found[name] += seconds
        return {name: round(seconds, 3) for name, seconds in found.most_common()}


def measure(program, kind, captured, compression, sink, extra):
    """One run in a process; a dictionary of what was measured."""
    folder = tempfile.mkdtemp(prefix="millrace-perf-")
    tuples = os.path.join(folder, "tuples")
    command = [program, "replay", "--log", captured.address, "--target", sink.url, "--speed", "max", "--until", "end"]
    if captured.address.startswith("kafka:"):
        command[command.index("--log") + 1] += f"?group=perf-{os.getpid()}-{time.monotonic_ns()}"
    command += ["--dead-letters", os.path.join(folder, "dead"), "--log-level", "warning"]
    command += ["--tuples", "none"] if compression == "off" else ["--tuples", tuples]
    if compression != "off":
        command += ["--tuple-compression", compression]
    sink.call("/_sink/reset")
    try:
        with tempfile.TemporaryFile() as errors:
            started = time.monotonic()
            child = subprocess.Popen(command + extra, stdout=subprocess.DEVNULL, stderr=errors)
            watch = ThreadWatch(child.pid)
            watch.start()
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - started
            child.returncode = os.waitstatus_to_exitcode(status)
            threads = watch.stop()
            errors.seek(0)
            complaint = errors.read().decode()
        cpu = usage.ru_utime + usage.ru_stime
        counts = sink.call("/_sink/counts")
        requests = counts["bulk_requests"] + counts["other_requests"]
        megabytes = counts["bulk_body_bytes"] / 1e6
        written = sum(os.path.getsize(os.path.join(tuples, name)) for name in os.listdir(tuples)) \
            if os.path.isdir(tuples) else 0
        problem = None
        if child.returncode != 0:
            problem = f"exit status {child.returncode}: {complaint.strip()[-500:]}"
        elif requests < captured.requests * 0.98:
            # wrk leaves what was under way at its end, which is no whole exchange.
            problem = f"{requests} requests arrived, {captured.requests} were captured"
        return {
            "kind": kind, "log": captured.address.split(":")[0], "tuples": compression, "exit": child.returncode,
            "requests": requests, "megabytes": megabytes, "wall_s": wall, "cpu_s": cpu, "user_s": usage.ru_utime,
            "system_s": usage.ru_stime, "peak_rss_mb": usage.ru_maxrss / 1024, "tuple_bytes": written,
            "requests_per_cpu_s": requests / cpu, "mb_per_cpu_s": megabytes / cpu, "threads": threads,
            "load": os.getloadavg()[0], "problem": problem,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def machine_rates(bench):
    return json.loads(subprocess.run([bench, "machine", "--json"], check=True, stdout=subprocess.PIPE).stdout)


def table(rows):
    lines = ["traffic  log    tuples   per CPU-s        bar (goal)   us/request  wall s  peak RSS MB  tuple MB  runs"]
    for key in dict.fromkeys((row["kind"], row["log"], row["tuples"]) for row in rows):
        runs = [row for row in rows if (row["kind"], row["log"], row["tuples"]) == key]
        good = [row for row in runs if row["problem"] is None]
        if not good:
            lines.append(f"{key[0]:<8} {key[1]:<6} {key[2]:<7} FAILED: {runs[0]['problem']}")
            continue
        median = lambda name: statistics.median(row[name] for row in good)
        rate = median("requests_per_cpu_s") if key[0] == "small" else median("mb_per_cpu_s")
        bar, goal = BARS[key[0]]
        unit = "requests" if key[0] == "small" else "MB"
        lines.append(
            f"{key[0]:<8} {key[1]:<6} {key[2]:<7} {rate:7.0f} {unit:<8} {bar:>7} ({goal})   "
            f"{1e6 / median('requests_per_cpu_s'):8.1f}  {median('wall_s'):6.1f}  "
            f"{max(row['peak_rss_mb'] for row in good):11.0f}  {median('tuple_bytes') / 1e6:8.1f}  "
            f"{len(good)}/{len(runs)}")
        threads = good[len(good) // 2]["threads"]
        total = sum(threads.values()) or 1
        lines.append("         " + ", ".join(
            f"{name} {seconds / total:.0%}" for name, seconds in threads.items() if seconds / total >= 0.01))
    return lines


def arguments():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(prog="perf/scenarios/replay/run")
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="small,bulk")
    parser.add_argument("--small", type=int, default=1_000_000, help="small requests at least")
    parser.add_argument("--bulks", type=int, default=2000, help="bulks of 1 MiB at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--kafka", metavar="HOST:PORT", help="a broker to replay from too; its topics are made by capturing once more")
    parser.add_argument("--kafka-small", type=int, default=1_000_000, help="the same for the topics")
    parser.add_argument("--kafka-bulks", type=int, default=2000)
    parser.add_argument("--tuples", default="gzip", help="of gzip, zstd, none (not packed), off; separated by commas")
    parser.add_argument("--port", type=int, default=0, help="where to look for free ports, 0 for anywhere")
    parser.add_argument("--sink-threads", type=int, default=1)
    parser.add_argument("--cache", default=os.path.join(cache, "millrace-perf"))
    parser.add_argument("--results", help="folder for the JSON, default perf/results")
    parser.add_argument("--flag", action="append", default=[], help="a further argument for millraced; repeatable")
    return parser.parse_args()


def main():
    options = arguments()
    program, bench = os.environ["MILLRACED"], os.environ["MILLRACE_BENCH"]
    os.makedirs(options.cache, exist_ok=True)
    inputs = []
    for kind in options.kinds.split(","):
        wanted = options.small if kind == "small" else options.bulks
        inputs.append(
            (kind, traffic.make(program, bench, options.cache, kind, wanted, options.seed, options.port)))
        if options.kafka:
            wanted = options.kafka_small if kind == "small" else options.kafka_bulks
            inputs.append((kind, traffic.make(
                program, bench, options.cache, kind, wanted, options.seed, options.port, options.kafka)))
    rows = []
    machine = [machine_rates(bench)]
    sink = traffic.Sink(bench, options.sink_threads, options.port)
    try:
        for number in range(options.rounds):
            for kind, captured in inputs:
                for compression in options.tuples.split(","):
                    row = measure(program, kind, captured, compression, sink, options.flag)
                    row["round"] = number + 1
                    rows.append(row)
                    rate = f"{row['requests_per_cpu_s']:.0f} requests, {row['mb_per_cpu_s']:.0f} MB per CPU-s"
                    traffic.say(
                        f"round {number + 1}: {kind} from {row['log']}, {compression}: {row['problem'] or rate}, "
                        f"{row['peak_rss_mb']:.0f} MB, load {row['load']:.0f}")
    finally:
        sink.stop()
    machine.append(machine_rates(bench))
    best = {name: max(rates[name] for rates in machine) for name in machine[0]}
    print("this machine, GB of plain bytes per CPU-second (the better of before and after):")
    print("  " + "  ".join(f"{name.removesuffix('_gb_s')} {rate:.2f}" for name, rate in best.items()))
    print("\n".join(table(rows)))
    loads = [row["load"] for row in rows]
    print(f"load average {min(loads):.1f} to {max(loads):.1f}")
    folder = options.results or os.path.join(options.top, "perf", "results")
    os.makedirs(folder, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    path = os.path.join(folder, f"replay-{now:%Y%m%dT%H%M%SZ}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "time": now.isoformat(), "kernel": platform.release(), "cores": os.cpu_count(),
                "flags": options.flag, "machine": machine, "runs": rows,
            },
            file, indent=1)
    print(f"wrote {os.path.relpath(path)}")
    return 0 if all(row["problem"] is None for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
