"""The most memory of `millraced capture` while thousands of connections all have a request under way.

wrk keeps every connection busy, against nginx as the source. Reported is the peak of the resident set as the kernel
notes it (VmHWM) over a proxy of its own for each load and log, beside the bar: 64 MB and the in-flight budget.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import tempfile

from scenario import LOADS, Server, free_port, nginx, wrk

FIXED_BYTES = 64 * 10**6


def peak(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    raise SystemExit(f"the kernel notes no peak for {pid}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--connections", type=int, help="default: 10,000, or what the limit of descriptors allows: the proxy needs two each")
    parser.add_argument("--seconds", type=int, default=10, help="of each load")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--budget-mib", type=int, default=256, help="--in-flight-budget (default: %(default)s)")
    parser.add_argument("--loads", default=",".join(LOADS))
    parser.add_argument("--logs", default="none,file", help="none, file or mock (default: %(default)s)")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH", help="another build to measure")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = options.connections or min(10_000, (hard - 200) // 2)
    folder = tempfile.mkdtemp(prefix="millrace-perf-")
    os.chmod(folder, 0o755)
    programs = {"capture": os.environ["MILLRACED"], **dict(pair.split("=", 1) for pair in options.program)}
    source_port = free_port()
    # Each of nginx's workers takes at most 4096 connections, and they do not get equally many.
    source = Server("source", nginx(folder, source_port, workers=6), source_port)
    bar = FIXED_BYTES + (options.budget_mib << 20)
    rows = []
    print(f"{count} connections, bar {bar / 1e6:.0f} MB", flush=True)
    print(f"{'target':14} {'load':10} {'requests':>9} {'p99':>9} {'failed':>6} {'peak MB':>8}", flush=True)
    try:
        for log in options.logs.split(","):
            for load in options.loads.split(","):
                for build, program in programs.items():
                    address = {"none": "none", "file": f"file://{folder}/log-{build}-{load}", "mock": "mock:traffic"}[log]
                    port = free_port()
                    server = Server(f"{build}-{log}", [
                        program, "capture", "--listen", f"127.0.0.1:{port}", "--source",
                        f"http://127.0.0.1:{source_port}", "--log", address, "--workers", str(options.workers),
                        "--in-flight-budget", f"{options.budget_mib}MiB", "--log-level", "warning"], port)
                    try:
                        requests, p50, p99, failed = wrk(port, load, options.seconds, count, folder)
                        most = peak(server.process.pid)
                    finally:
                        server.stop()
                    shutil.rmtree(f"{folder}/log-{build}-{load}", ignore_errors=True)
                    rows.append({
                        "target": f"{build}-{log}", "load": load, "connections": count, "requests": requests, "p50": p50,
                        "p99": p99, "failed": failed, "peak_bytes": most, "bar_bytes": bar})
                    print(
                        f"{build + '-' + log:14} {load:10} {requests:9} {p99:>9} {failed:6} {most / 1e6:8.1f}", flush=True)
    finally:
        source.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"load average {os.getloadavg()[0]:.1f}")
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    results = os.path.join(options.top, "perf", "results")
    os.makedirs(results, exist_ok=True)
    with open(os.path.join(results, f"capture-active-{stamp}.json"), "w") as file:
        json.dump({"cores": os.cpu_count(), "rows": rows}, file, indent=1)


main()
