"""Counts the allocations of `millraced capture` while wrk sends requests on connections that are open already.

A library (count_allocations.c, compiled here) stands before the allocator and counts by calling object: the program
itself, with Swift's runtime and Dispatch linked in, librdkafka, OpenSSL. Figures are allocations a request, warmed up;
the flush timer and records are shared by many requests, so they need not be whole. --sites shows where they come from.
"""

import argparse
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

from scenario import LOADS, Server, free_port, nginx, wrk

OBJECTS, THREADS, SITES, FRAMES = 64, 64, 4096, 8  # as in count_allocations.c


class Table:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        (count,) = struct.unpack_from("Q", data)
        self.objects = []
        for index in range(count):
            name, start, end, base = struct.unpack_from("96sQQQ", data, 8 + index * 120)
            self.objects.append((name.split(b"\0")[0].decode(), start, end, base))
        position = 8 + OBJECTS * 120
        (threads,) = struct.unpack_from("Q", data, position)
        self.counts = {}
        for thread in range(min(threads, THREADS)):
            counts = struct.unpack_from(f"{OBJECTS + 1}Q", data, position + 16 + thread * 8 * (OBJECTS + 2))
            for index, number in enumerate(counts):
                name = self.objects[index][0] if index < count else "unknown"
                self.counts[name] = self.counts.get(name, 0) + number
        position += 8 + THREADS * 8 * (OBJECTS + 2)
        self.sites = {}
        for index in range(SITES):
            number, size, *frames = struct.unpack_from(f"{2 + FRAMES}Q", data, position + index * 8 * (2 + FRAMES))
            if number:
                self.sites[tuple(frames)] = (number, size)

    def place(self, address):
        for name, start, end, base in self.objects:
            if start <= address < end:
                return name, address - base
        return None


def name_sites(table, sites, program):
    """The frames of each site as function names."""
    wanted = sorted({
        place[1] - 1 for frames in sites for address in frames
        if (place := table.place(address)) and place[0] == "program"})
    text = subprocess.run(
        ["addr2line", "-f", "-e", program, *map(hex, wanted)], capture_output=True, text=True).stdout.splitlines()
    names = dict(zip(wanted, text[::2]))
    lines = dict(zip(wanted, text[1::2]))
    for frames in sites:
        described = []
        for address in frames:
            place = table.place(address)
            if place and place[0] == "program":
                short = re.sub(r".*/", "", lines.get(place[1] - 1, ""))
                described.append(f"{names.get(place[1] - 1, '?')[:60]} {short}")
            elif place:
                described.append(place[0])
        yield described


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--loads", default="get-small,post-4k")
    parser.add_argument("--logs", default="none,file,mock", help="none, file, mock or kafka (default: %(default)s)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="of the log kafka")
    parser.add_argument("--topic", default="millrace-perf", help="of --kafka; has to exist (default: %(default)s)")
    parser.add_argument("--sites", type=int, default=0, metavar="COUNT", help="show so many places for each row")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="millrace-perf-")
    os.chmod(folder, 0o755)
    program = os.environ["MILLRACED"]
    library, counts = f"{folder}/count.so", f"{folder}/counts"
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(
        ["cc", "-O2", "-fno-omit-frame-pointer", "-fPIC", "-shared", "-o", library, f"{here}/count_allocations.c"],
        check=True)
    source_port = free_port()
    source = Server("source", nginx(folder, source_port), source_port)
    print(f"{'load':10} {'log':6} {'requests':>9} {'allocations a request':>22}  of whom")
    try:
        for log in options.logs.split(","):
            for load in options.loads.split(","):
                address = {
                    "none": "none", "file": f"file://{folder}/log-{load}", "mock": "mock:traffic",
                    "kafka": f"kafka://{options.kafka}/{options.topic}"}[log]
                port = free_port()
                os.environ.update(LD_PRELOAD=library, ALLOCATION_COUNTS=counts)
                server = Server(f"capture-{log}", [
                    program, "capture", "--listen", f"127.0.0.1:{port}", "--source", f"http://127.0.0.1:{source_port}",
                    "--log", address, "--workers", "1", "--log-level", "warning"], port)
                del os.environ["LD_PRELOAD"], os.environ["ALLOCATION_COUNTS"]
                try:
                    # wrk opens its connections within its time, so one run is compared with a longer one.
                    wrk(port, load, 1, options.connections, folder)
                    time.sleep(1)
                    tables, requests = [Table(counts)], []
                    for seconds in (1, 1 + options.seconds):
                        requests.append(wrk(port, load, seconds, options.connections, folder)[0])
                        time.sleep(1)
                        tables.append(Table(counts))
                finally:
                    server.stop()
                short, long = [
                    {name: later.counts[name] - sooner.counts.get(name, 0) for name in later.counts}
                    for sooner, later in zip(tables, tables[1:])]
                more = requests[1] - requests[0]
                rates = {name: (long[name] - short.get(name, 0)) / more for name in long}
                shown = ", ".join(
                    f"{name} {rate:.3f}" for name, rate in sorted(rates.items(), key=lambda pair: -pair[1])
                    if abs(rate) >= 0.0005)
                print(f"{load:10} {log:6} {more:9} {sum(rates.values()):22.3f}  {shown}", flush=True)
                if options.sites:
                    last = tables[-1]
                    growth = {
                        frames: number - tables[-2].sites.get(frames, (0, 0))[0]
                        for frames, (number, _) in last.sites.items()}
                    most = sorted(growth, key=lambda frames: -growth[frames])[:options.sites]
                    for frames, names in zip(most, name_sites(last, most, program)):
                        print(f"    {growth[frames] / requests[1]:8.4f}  " + "\n              ".join(names))
    finally:
        source.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
