"""Idle connections through `millraced capture`: memory of each, and how long others wait when all close at once.

A crowd (crowd.py, a process of its own) opens connections that send one GET each and idle. Memory is the resident set
of the proxy when it has come to rest: the growth over a proxy that has served a few connections before, divided by the
connections ("a connection"), and the growth from the half to the whole crowd ("slope", without what does not grow).
The crowd's source is a program of ours; before the probe comes, nginx takes its place on the port, so that the probe does
not wait for a source that is ending thousands of connections. Then the crowd is killed, so the kernel closes everything at once, while a probe on a connection of its own asks without
a pause; the longest wait is reported beside the longest one in as many seconds of rest before.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from scenario import Server, free_port, nginx, stat


class Program:
    """One of the Python programs beside this one; takes orders by lines and answers each with a line."""

    def __init__(self, name, *arguments):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), name), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise SystemExit(f"{self.name} has failed, see above")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Probe(threading.Thread):
    """Asks on one connection, again and again, and keeps every wait in seconds."""

    def __init__(self, port):
        super().__init__()
        self.client = socket.create_connection(("127.0.0.1", port))
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.isEnded = False
        self.waits = []

    def run(self):
        while not self.isEnded:
            start = time.perf_counter()
            self.client.sendall(b"GET /small HTTP/1.1\r\nHost: probe\r\n\r\n")
            if not self.client.recv(4096):
                raise SystemExit("the probe's connection has ended")
            self.waits.append(time.perf_counter() - start)
            time.sleep(0.0005)

    def end(self):
        self.isEnded = True
        self.join()
        self.client.close()
        return self.waits


def resident(pid):
    """At rest: when it has not changed for three seconds."""
    last, calm = stat(pid)[1], 0
    for _ in range(20):
        time.sleep(1)
        now = stat(pid)[1]
        calm = calm + 1 if abs(now - last) < 64 << 10 else 0
        if calm == 3:
            break
        last = now
    return now


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def observed(port, action, seconds):
    probe = Probe(port)
    probe.start()
    action()
    time.sleep(seconds)
    return sorted(probe.end())


def listens(port):
    for _ in range(400):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def measure(name, log, program, count, folder, options):
    port, source = free_port(), free_port()
    crowd_source = Program("crowd_source.py", source)
    listens(source)
    probe_source = None
    server = Server(name, [
        program, "capture", "--listen", f"127.0.0.1:{port}", "--source", f"http://127.0.0.1:{source}", "--log", log,
        "--workers", str(options.workers), "--log-level", "warning", *options.option], port)
    pid = server.process.pid
    try:
        first = Program("crowd.py", port, "/small")
        first.order("open 64")
        first.kill()
        before = resident(pid)
        crowd = Program("crowd.py", port, "/small")
        start = time.perf_counter()
        crowd.order(f"open {count // 2}")
        half = resident(pid)
        crowd.order(f"open {count}")
        if options.again:
            crowd.order("again")
        took = time.perf_counter() - start
        full = resident(pid)
        held = descriptors(pid)
        crowd_source.order("stop")
        probe_source = Server("source", nginx(folder, source), source)
        rest = observed(port, lambda: None, options.seconds)
        closing = observed(port, crowd.kill, options.seconds)
        deadline = time.monotonic() + 30
        while descriptors(pid) > held - 2 * count + 20 and time.monotonic() < deadline:
            time.sleep(0.1)
        left = descriptors(pid) - (held - 2 * count)
        return {
            "target": name, "connections": count, "before_bytes": before, "full_bytes": full,
            "connection_bytes": (full - before) / count, "slope_bytes": (full - half) / (count - count // 2),
            "opening_seconds": took, "after_bytes": resident(pid), "left_descriptors": left,
            "rest_max_ms": rest[-1] * 1e3, "rest_p99_ms": rest[len(rest) * 99 // 100] * 1e3,
            "close_max_ms": closing[-1] * 1e3, "close_p99_ms": closing[len(closing) * 99 // 100] * 1e3}
    finally:
        server.stop()
        crowd_source.kill()
        if probe_source:
            probe_source.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--connections", type=int, help="default: 50,000, or what the limit of descriptors allows: the proxy needs two each")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3, help="how long the probe watches")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="every connection sends a second request")
    parser.add_argument("--logs", default="none,file,mock", help="none, file, mock or kafka (default: %(default)s)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="of the log kafka")
    parser.add_argument("--topic", default="millrace-perf", help="of --kafka; has to exist (default: %(default)s)")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH", help="another build to measure")
    parser.add_argument("--option", action="append", default=[], metavar="FLAG", help="another flag for the proxy")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = options.connections or min(50_000, (hard - 200) // 2)
    folder = tempfile.mkdtemp(prefix="millrace-perf-")
    os.chmod(folder, 0o755)
    programs = {"capture": os.environ["MILLRACED"], **dict(pair.split("=", 1) for pair in options.program)}
    rows = []
    try:
        for round_number in range(options.rounds):
            for log in options.logs.split(","):
                for build, program in programs.items():
                    address = {
                        "none": "none", "file": f"file://{folder}/log-{build}-{round_number}", "mock": "mock:traffic",
                        "kafka": f"kafka://{options.kafka}/{options.topic}"}[log]
                    row = measure(f"{build}-{log}", address, program, count, folder, options)
                    rows.append({"round": round_number, **row})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{count} connections, load average {os.getloadavg()[0]:.1f}; waits of the probe in ms")
    print(
        f"{'target':14} {'RSS MB before':>13} {'full':>6} {'after':>6} {'a connection':>12} {'slope':>6} "
        f"{'rest p99':>8} {'max':>6} {'closing p99':>11} {'max':>6} {'left':>5}")
    for row in rows:
        print(
            f"{row['target']:14} {row['before_bytes'] / 1e6:13.1f} {row['full_bytes'] / 1e6:6.1f} "
            f"{row['after_bytes'] / 1e6:6.1f} {row['connection_bytes']:12.0f} {row['slope_bytes']:6.0f} "
            f"{row['rest_p99_ms']:8.1f} {row['rest_max_ms']:6.1f} {row['close_p99_ms']:11.1f} "
            f"{row['close_max_ms']:6.1f} {row['left_descriptors']:5}")
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    results = os.path.join(options.top, "perf", "results")
    os.makedirs(results, exist_ok=True)
    with open(os.path.join(results, f"capture-connections-{stamp}.json"), "w") as file:
        json.dump({"cores": os.cpu_count(), "rows": rows}, file, indent=1)


main()
