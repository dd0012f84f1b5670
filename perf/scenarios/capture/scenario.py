"""Loads plain proxies and `millraced capture` in interleaved rounds and reports what a request cost each.

CPU is user + system of the proxy's processes by /proc/PID/stat over the load, divided by the requests that wrk counted.
The source is nginx on the same machine. Targets take turns within a round, so that a slow spell meets all of them.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
POST = """
wrk.method = "POST"
wrk.path = "/index/_doc"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"field":"' .. string.rep("x", 4084) .. '"}'
"""
# What OpenSSL's clients prefer, and so what a server without preferences speaks.
CIPHER = "TLS_AES_256_GCM_SHA384"
TLS_NGINX = f"""ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {CIPHER}; ssl_session_tickets off; """
LOADS = {"get-small": ("/small", None), "get-16k": ("/16k", None), "post-4k": ("/index/_doc", POST)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            found = [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []
    return found + [below for child in found for below in children(child)]


def stat(pid):
    """CPU seconds and resident bytes of a process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (int(fields[11]) + int(fields[12])) / TICK, resident


class Server:
    """A program of ours or of others that listens on a port until the end of the run."""

    def __init__(self, name, command, port, cwd=None):
        self.name, self.port = name, port
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=open(f"/tmp/millrace-perf-{name}.log", "w"), cwd=cwd)
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise SystemExit(f"{name} does not listen: see /tmp/millrace-perf-{name}.log")

    def usage(self):
        figures = [stat(pid) for pid in [self.process.pid, *children(self.process.pid)]]
        return sum(cpu for cpu, _ in figures), sum(resident for _, resident in figures)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def certificate(folder):
    """A certificate and key in one file, as haproxy wants them; the others read it as both."""
    path = f"{folder}/server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", f"{folder}/key.pem", "-out", path], check=True, capture_output=True)
    with open(path, "a") as file, open(f"{folder}/key.pem") as key:
        file.write(key.read())
    return path


def nginx(folder, port, upstream=None, workers=1, tls=None):
    """nginx as the source, or with `upstream` as a proxy in front of it; `tls`: the file of its certificate."""
    if upstream is None:
        os.makedirs(f"{folder}/www", exist_ok=True)
        with open(f"{folder}/www/16k", "w") as file:
            file.write("x" * 16384)
        body = """location /small { return 200 "ok"; }
            location /16k { root %s/www; }
            location / { return 200 "{}"; }""" % folder
        extra = ""
    else:
        extra = "upstream source { server 127.0.0.1:%d; keepalive 128; }" % upstream
        body = """location / { proxy_pass http://source; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_buffering off; }"""
    path = f"{folder}/nginx-{port}.conf"
    with open(path, "w") as file:
        file.write(
            """daemon off; worker_processes %d; pid %s/nginx-%d.pid; error_log /dev/null;
            events { worker_connections 4096; }
            http { access_log off; keepalive_requests 100000000; client_body_temp_path %s/body;
              proxy_temp_path %s/proxy; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s; %s
              server { listen 127.0.0.1:%d %s reuseport; %s } }"""
            % (workers, folder, port, folder, folder, folder, folder, folder, extra, port,
               "ssl" if tls else "", (TLS_NGINX % (tls, tls) if tls else "") + body))
    return ["nginx", "-p", folder, "-c", path]


def haproxy(folder, port, upstream, threads, tls=None):
    path = f"{folder}/haproxy-{port}.cfg"
    with open(path, "w") as file:
        file.write(
            """global
  nbthread %d
  maxconn 8192
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend in
  bind 127.0.0.1:%d %s
  default_backend source
backend source
  server s 127.0.0.1:%d
""" % (threads, port, f"ssl crt {tls} ssl-min-ver TLSv1.3 ciphersuites {CIPHER}" if tls else "", upstream))
    return ["haproxy", "-db", "-f", path]


def wrk(port, load, seconds, connections, folder, scheme="http"):
    path, script = LOADS[load]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"{scheme}://127.0.0.1:{port}{path}"]
    if script:
        name = f"{folder}/{load}.lua"
        with open(name, "w") as file:
            file.write(script)
        command[1:1] = ["-s", name]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    # At the start of a line: the table above has percentages of its own at the ends of lines.
    p50 = re.search(r"^ +50%\s+(\S+)", text, re.MULTILINE).group(1)
    p99 = re.search(r"^ +99%\s+(\S+)", text, re.MULTILINE).group(1)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return requests, p50, p99, int(failed.group(1)) if failed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="loops, threads or processes of each proxy")
    parser.add_argument("--loads", default=",".join(LOADS))
    parser.add_argument(
        "--tls", action="store_true", help=f"clients speak TLS 1.3 with every proxy, {CIPHER}; the source is plain")
    parser.add_argument(
        "--kafka", metavar="HOST:PORT",
        help="a real broker to record to, in place of the mock, whose time would count as the proxy's")
    parser.add_argument("--topic", default="millrace-perf", help="of --kafka; has to exist (default: %(default)s)")
    parser.add_argument(
        "--program", action="append", default=[], metavar="NAME=PATH",
        help="another build of millraced to take turns with: adds NAME-none, NAME-file and so on to the targets")
    parser.add_argument("--targets", help="only these, separated by commas")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="millrace-perf-")
    os.chmod(folder, 0o755)  # nginx workers run as another user
    program = os.environ["MILLRACED"]
    pem = certificate(folder) if options.tls else None
    scheme = "https" if pem else "http"
    source_port = free_port()
    servers = [Server("source", nginx(folder, source_port), source_port)]
    logs = {"none": "none", "file": f"file://{folder}/log"}
    if options.kafka:
        logs["kafka"] = f"kafka://{options.kafka}/{options.topic}"
    else:
        logs["mock"] = "mock:traffic"
    programs = {"capture": program, **dict(pair.split("=", 1) for pair in options.program)}
    wanted = options.targets.split(",") if options.targets else ["haproxy", "nginx"] + [
        f"{name}-{log}" for name in programs for log in logs]
    load_before = os.getloadavg()[0]
    rows = []
    try:
        targets = []
        for name in wanted:
            if name == "source":  # without a proxy, for what one adds to latency
                targets.append(servers[0])
                continue
            port = free_port()
            if name == "haproxy":
                command = haproxy(folder, port, source_port, options.workers, pem)
            elif name == "nginx":
                command = nginx(folder, port, source_port, options.workers, pem)
            else:
                build, log = name.rsplit("-", 1)
                address = logs[log] + (f"-{build}" if log == "file" else "")
                command = [
                    programs[build], "capture", "--listen", f"127.0.0.1:{port}", "--source", f"http://127.0.0.1:{source_port}",
                    "--log", address, "--workers", str(options.workers),
                    "--log-level", "warning", *(["--tls-certificate", pem, "--tls-key", pem] if pem else [])]
            targets.append(Server(name, command, port))
            servers.append(targets[-1])
        for round_number in range(options.rounds):
            for load in options.loads.split(","):
                for target in targets:
                    before, _ = target.usage()
                    requests, p50, p99, failed = wrk(target.port, load, options.seconds, options.connections, folder, scheme)
                    after, resident = target.usage()
                    rows.append({
                        "round": round_number, "load": load, "target": target.name, "requests": requests,
                        "cpu_us": (after - before) / requests * 1e6, "p50": p50, "p99": p99, "failed": failed,
                        "rss_mb": resident / 1e6})
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'load':10} {'target':14} {'CPU µs/request min/median':>26} {'/ haproxy':>9} {'p50':>9} {'p99':>9} {'RSS MB':>7} failed")
    for load in options.loads.split(","):
        base = min((row["cpu_us"] for row in rows if row["load"] == load and row["target"] == "haproxy"), default=None)
        for target in wanted:
            mine = [row for row in rows if row["load"] == load and row["target"] == target]
            costs = [row["cpu_us"] for row in mine]
            best = min(mine, key=lambda row: row["cpu_us"])
            ratio = f"{min(costs) / base:.2f}" if base else ""
            print(
                f"{load:10} {target:14} {min(costs):14.1f} / {statistics.median(costs):9.1f} {ratio:>9} "
                f"{best['p50']:>9} {best['p99']:>9} {max(row['rss_mb'] for row in mine):7.1f} "
                f"{sum(row['failed'] for row in mine)}")
    print(f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after")
    results = os.path.join(options.top, "perf", "results")
    os.makedirs(results, exist_ok=True)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    with open(os.path.join(results, f"capture-{stamp}.json"), "w") as file:
        json.dump({"machine": platform.machine(), "cores": os.cpu_count(), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
