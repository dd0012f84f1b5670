"""Snapshots to measure with: synthetic ones written by millrace-bench, real ones written by OpenSearch. Both are kept."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request


class Corpus:
    """A repository with one snapshot, and what a full backfill of it must deliver."""

    def __init__(self, name, folder, about):
        self.name = name
        self.repository = os.path.join(folder, "repo")
        self.snapshot = about["snapshot"]
        self.documents = about["documents"]
        self.source_bytes = about["source_bytes"]
        self.stored_bytes = about["stored_bytes"]
        self.codec = about["codec"]


def say(text):
    print(f"backfill: {text}", file=sys.stderr, flush=True)


def folder_bytes(folder):
    return sum(
        os.path.getsize(os.path.join(parent, name)) for parent, _, names in os.walk(folder) for name in names
    )


def kept(folder):
    """The description of a finished corpus, or None."""
    try:
        with open(os.path.join(folder, "about.json"), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def finish(folder, about):
    about["stored_bytes"] = folder_bytes(os.path.join(folder, "repo"))
    with open(os.path.join(folder, "about.json"), "w", encoding="utf-8") as file:
        json.dump(about, file)
    return about


def synthetic(bench, cache, codec, size, seed, segments):
    name = f"synthetic-{codec}"
    folder = os.path.join(cache, f"{name}-{size}-{segments}-{seed}-v1")
    about = kept(folder)
    if about is None:
        say(f"writing {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        command = [bench, "make-snapshot", "--out", os.path.join(folder, "repo"), "--bytes", size, "--codec", codec]
        command += ["--seed", str(seed), "--segments", str(segments), "--snapshot", "snapshot-1"]
        made = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        about = finish(folder, {"snapshot": "snapshot-1", "codec": codec, **made})
    return Corpus(name, folder, about)


def real(bench, cache, size, seed, services, port):
    """Two one-shard indices of the same documents on a real OpenSearch, one a codec, each in a repository of its own."""
    wanted = [("lz4", "default"), ("deflate", "best_compression")]
    folders = {codec: os.path.join(cache, f"real-{codec}-{size}-{seed}-v1") for codec, _ in wanted}
    if any(kept(folder) is None for folder in folders.values()):
        Engine(cache, services, port, folders.values()).make(bench, size, seed, wanted, folders)
    return [Corpus(f"real-{codec}", folders[codec], kept(folders[codec])) for codec, _ in wanted]


class Engine:
    """An OpenSearch of the services folder, for as long as corpora are made."""

    def __init__(self, cache, services, port, folders):
        self.url = f"http://127.0.0.1:{port}"
        self.state = os.path.join(cache, "engine")
        self.scripts = os.path.join(services, "opensearch")
        self.start = [os.path.join(self.scripts, "start.sh"), "--dir", self.state, "--port", str(port)]
        self.start += ["--heap", "1g", "--jit", "full", "--name", "corpus"]
        for folder in folders:
            self.start += ["--path-repo", os.path.join(folder, "repo")]

    def call(self, method, path, body=None):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.loads(response.read())

    def make(self, bench, size, seed, wanted, folders):
        say("starting OpenSearch")
        subprocess.run(self.start, check=True, stdout=subprocess.DEVNULL)
        try:
            for codec, setting in wanted:
                if kept(folders[codec]) is None:
                    self.make_one(bench, size, seed, codec, setting, folders[codec])
        finally:
            stop = [os.path.join(self.scripts, "stop.sh"), "--dir", self.state, "--kill"]
            subprocess.run(stop, check=False, stdout=subprocess.DEVNULL)
            shutil.rmtree(self.state, ignore_errors=True)

    def make_one(self, bench, size, seed, codec, setting, folder):
        shutil.rmtree(folder, ignore_errors=True)
        index = f"logs-{codec}"
        settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "30s", "codec": setting}
        settings["translog.durability"] = "async"
        self.call("PUT", f"/{index}", {"settings": {"index": settings}, "mappings": {"dynamic": False}})
        documents, source_bytes = self.index_all(bench, size, seed, index)
        self.call("POST", f"/{index}/_flush?wait_if_ongoing=true")
        location = {"type": "fs", "settings": {"location": os.path.join(folder, "repo"), "compress": True}}
        self.call("PUT", f"/_snapshot/{index}", location)
        self.call(
            "PUT", f"/_snapshot/{index}/snapshot-1?wait_for_completion=true",
            {"indices": index, "include_global_state": False},
        )
        self.call("DELETE", f"/{index}")
        about = {"snapshot": "snapshot-1", "codec": codec, "documents": documents, "source_bytes": source_bytes}
        say(f"{folder}: {documents} documents, {finish(folder, about)['stored_bytes'] / 1e6:.0f} MB stored")

    def index_all(self, bench, size, seed, index):
        say(f"indexing {size} into {index}")
        started = time.monotonic()
        documents = source_bytes = 0
        maker = subprocess.Popen([bench, "documents", "--bytes", size, "--seed", str(seed)], stdout=subprocess.PIPE)
        body = bytearray()
        for line in maker.stdout:
            body += b'{"index":{}}\n' + line
            documents += 1
            source_bytes += len(line) - 1
            if len(body) > 8_000_000:
                self.bulk(index, body)
        self.bulk(index, body)
        if maker.wait() != 0:
            raise RuntimeError("millrace-bench documents failed")
        say(f"{documents} documents in {time.monotonic() - started:.0f} s")
        return documents, source_bytes

    def bulk(self, index, body):
        if body and self.call("POST", f"/{index}/_bulk?filter_path=errors", bytes(body))["errors"]:
            raise RuntimeError("the engine refused documents")
        body.clear()
