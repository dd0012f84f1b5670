"""Captured traffic for the scenario: made once by `millraced capture` in front of a sink and kept in a file log.

wrk drives the proxy, so the records are what a capture writes: of small requests half are GETs and half PUTs of some
300 bytes of JSON, with their responses, on 100 connections at a time; bulks are 1 MiB of short documents each.
"""

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

SMALL = """
local word = string.rep("abcdefghijklmnopqrstuvwxyz ", 6)
local count = 0
function setup(thread) thread:set("seed", %d) end
function init(args) math.randomseed(seed) end
function request()
  count = count + 1
  local id = math.random(1, 1000000)
  if count %% 2 == 0 then
    return wrk.format("GET", "/perf/_doc/" .. id, {["Accept"] = "application/json", ["User-Agent"] = "perf/1"})
  end
  local body = string.format(
    '{"id":%%d,"level":"info","took":%%d,"host":"node-%%d","message":"%%s","time":"2026-11-25T%%02d:%%02d:%%02dZ"}',
    id, math.random(1, 9999), math.random(1, 40), word, id %% 24, id %% 60, id %% 59)
  return wrk.format("PUT", "/perf/_doc/" .. id, {
    ["Content-Type"] = "application/json", ["Accept"] = "application/json", ["User-Agent"] = "perf/1"}, body)
end
"""
BULK = """
local lines, size, number = {}, 0, 0
math.randomseed(%d)
while size < 1048576 do
  number = number + 1
  local line = string.format(
    '{"index":{"_id":"%%d"}}\\n{"id":%%d,"level":"info","took":%%d,"message":"%%s"}\\n', number, number,
    math.random(1, 99999999), string.rep(string.char(97 + math.random(0, 25)) .. math.random(1, 999999), 24))
  lines[number], size = line, size + #line
end
wrk.method = "POST"
wrk.path = "/perf/_bulk"
wrk.headers["Content-Type"] = "application/x-ndjson"
wrk.body = table.concat(lines)
"""


@dataclasses.dataclass
class Traffic:
    name: str
    address: str
    # As the sink counted them.
    requests: int
    # Of records, uncompressed.
    bytes: int = 0


def say(text):
    print(f"replay: {text}", file=sys.stderr, flush=True)


def free_port(wanted):
    """A port of 127.0.0.1; `wanted` is where to look first, 0 for anywhere."""
    for port in range(wanted, wanted + 100) if wanted else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise SystemExit(f"replay: no port is free from {wanted} on")


class Sink:
    """`millrace-bench sink` in a process of its own."""

    def __init__(self, bench, threads, port=0):
        command = [bench, "sink", "--listen", f"127.0.0.1:{free_port(port) if port else 0}", "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def call(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.loads(response.read())

    def requests(self):
        counts = self.call("/_sink/counts")
        return counts["bulk_requests"] + counts["other_requests"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def capture(program, log, source, port, properties=()):
    """`millraced capture` in front of `source`."""
    command = [
        program, "capture", "--listen", f"127.0.0.1:{port}", "--source", source, "--log", log, "--workers", "1",
        "--log-level", "warning"]
    for text in properties:
        command += ["--kafka-property", text]
    process = subprocess.Popen(command)
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise SystemExit("replay: the capture does not listen")


def drive(port, script, connections, seconds):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"(\d+) requests in", text).group(1))


def make(program, bench, cache, kind, wanted, seed, port, kafka=None):
    """The traffic of a kind, `small` or `bulk`, at least `wanted` requests; from the cache when it is there."""
    name = f"replay-{kind}-{wanted}-{seed}-v1"
    folder = os.path.join(cache, name)
    described = os.path.join(folder, "traffic.json")
    topic = None
    if kafka:
        topic = f"kafka://{kafka}/{name}"
        described = os.path.join(folder, f"traffic-{kafka.replace(':', '-')}.json")
    if os.path.exists(described):
        with open(described, encoding="utf-8") as file:
            return Traffic(**json.load(file))
    if not kafka:
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    script = os.path.join(folder, "load.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write((SMALL if kind == "small" else BULK) % seed)
    log = topic or f"file://{folder}/log"
    connections = 100 if kind == "small" else 8
    sink = Sink(bench, 1, port)
    listen = free_port(port + 100 if port else 0)
    proxy = capture(program, log, sink.url, listen)
    try:
        sink.call("/_sink/reset")
        while sink.requests() < wanted:
            answered = drive(listen, script, connections, 10)
            say(f"{name}: {answered} requests were answered in 10 s, {sink.requests()} of {wanted} reached the source")
    finally:
        proxy.send_signal(signal.SIGTERM)
        proxy.wait()
        requests = sink.requests()
        sink.stop()
    traffic = Traffic(name + ("-kafka" if kafka else "-file"), log, requests)
    with open(described, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(traffic), file)
    return traffic
