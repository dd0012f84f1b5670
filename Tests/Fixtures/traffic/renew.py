#!/usr/bin/env python3
"""Golden traffic records, made and checked with code that protoc generates: independent of this project's code.

usage: renew.py encode                      writes golden.ndjson: legal encodings with what protobuf decodes from them
       renew.py check FILE...               decodes records (lines with "value" and "expected") and compares
       renew.py excerpt FILE CONNECTIONS RECORDS
                                            writes reference-excerpt.ndjson and .expected.ndjson: the first RECORDS records
                                            of each of the first CONNECTIONS connections of a recorded topic (FILE has
                                            lines with "key" and "value"), and the exchanges in them by the reference
                                            project's rule (a response ends with the next read or the close)
       renew.py exchanges FILE EXPECTED     compares that rule's exchanges of a whole file with a list of them

Needs protobuf and grpcio-tools (PyPI):  python3 -m venv v && v/bin/pip install protobuf grpcio-tools
written.ndjson is this project's writer's output: the test TrafficGoldenTests says how to renew it; `check` it then.
"""
import base64, gzip, hashlib, importlib, json, os, sys, tempfile

import grpc_tools
from grpc_tools import protoc

here = os.path.dirname(os.path.abspath(__file__))


def generated():
    folder = tempfile.mkdtemp()
    include = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    assert protoc.main(["protoc", f"-I{here}", f"-I{include}", f"--python_out={folder}", "TrafficCaptureStream.proto"]) == 0
    sys.path.insert(0, folder)
    return importlib.import_module("TrafficCaptureStream_pb2")


schema = generated()
b64 = lambda data: base64.b64encode(data).decode()


def lines(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
        return [json.loads(line) for line in file]


def described(record):
    stream = schema.TrafficStream.FromString(record)
    index = stream.WhichOneof("index")
    observations = []
    for entry in stream.subStream:
        event = entry.WhichOneof("Capture") or "unknown"
        one = {"seconds": entry.ts.seconds, "nanos": entry.ts.nanos, "event": event}
        if event in ("read", "readSegment", "write", "writeSegment"):
            one["data"] = b64(getattr(entry, event).data)
        elif event == "connectionException":
            one["message"] = entry.connectionException.message
        elif event == "requestReleasedDownstream":
            one["timedOut"] = entry.requestReleasedDownstream.timedOut
        elif event == "endOfMessageIndicator":
            end = entry.endOfMessageIndicator
            one["firstLine"] = end.firstLineByteLength if end.HasField("firstLineByteLength") else None
            one["headers"] = end.headersByteLength if end.HasField("headersByteLength") else None
        observations.append(one)
    return {
        "connectionId": stream.connectionId,
        "nodeId": stream.nodeId,
        "priorRequests": stream.priorRequestsReceived if stream.HasField("priorRequestsReceived") else None,
        "isReadUnterminated": stream.lastObservationWasUnterminatedRead,
        "number": getattr(stream, index) if index else None,
        "isLast": index == "numberOfThisLastChunk",
        "observations": observations,
    }


# Encoding

def observation(seconds=1_795_466_599, nanos=402_213_497, **capture):
    entry = schema.TrafficObservation()
    entry.ts.seconds, entry.ts.nanos = seconds, nanos
    for name, fields in capture.items():
        member = getattr(entry, name)
        member.SetInParent()
        for field, value in fields.items():
            setattr(member, field, value)
    return entry


def stream(observations=(), **fields):
    return schema.TrafficStream(subStream=observations, **fields).SerializeToString()


def varint(value, width=0):
    out = bytearray()
    while True:
        digit, value = value & 127, value >> 7
        if value or len(out) + 1 < width:
            out.append(digit | 128)
        else:
            out.append(digit)
            return bytes(out)


def field(number, content, width=0):
    return varint(number << 3 | 2, width) + varint(len(content), width) + content


def encode():
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    every = [
        observation(bind={}), observation(connect={}), observation(read={"data": get}),
        observation(readSegment={"data": get[:5]}), observation(readSegment={"data": get[5:]}), observation(segmentEnd={}),
        observation(requestReleasedDownstream={"timedOut": True}), observation(requestReleasedDownstream={}),
        observation(endOfMessageIndicator={"firstLineByteLength": 16, "headersByteLength": 27}),
        observation(endOfMessageIndicator={"firstLineByteLength": -1, "headersByteLength": -1}),
        observation(endOfMessageIndicator={}),
        observation(write={"data": bytes(range(256)) * 3}), observation(writeSegment={"data": b"x"}),
        observation(connectionException={"message": "Verbindung zurückgesetzt \u2603"}), observation(requestDropped={}),
        observation(disconnect={}), observation(close={}),
        observation(seconds=0, nanos=0, read={}), observation(seconds=-5, nanos=7, write={"data": b""}), observation(),
    ]
    read = observation(read={"data": b"one"}).SerializeToString()
    write = observation(seconds=3, nanos=0, write={"data": b"two"}).SerializeToString()
    empty_read = schema.TrafficObservation(read={}).SerializeToString()
    unknown = field(99, b"later") + varint(50 << 3 | 0) + varint(2**64 - 1) + varint(51 << 3 | 1) + bytes(8)
    unknown += varint(52 << 3 | 5) + bytes(4) + varint(53 << 3 | 3) + field(1, b"in a group") + varint(53 << 3 | 4)
    ids = {"connectionId": "02fc00fffe000001-00003180-00000001", "nodeId": "8abcde47-da63-4232-b414-db5a1be3c4bb"}
    records = {
        "empty": b"",
        "every event": stream(every, number=1, **ids),
        "last, with prior requests and an unterminated read": stream(
            [observation(close={})], numberOfThisLastChunk=7, priorRequestsReceived=3,
            lastObservationWasUnterminatedRead=True, **ids),
        "prior requests of zero are given": stream(number=2, priorRequestsReceived=0, **ids),
        "index first, ids last": stream(number=4) + stream(every[:4]) + stream(**ids),
        "both indexes, the last one counts": stream(numberOfThisLastChunk=4) + stream(number=5),
        "ids twice": stream(connectionId="one", nodeId="two") + stream(connectionId="three"),
        "unknown fields everywhere": unknown + stream(number=1, **ids) + field(2, unknown + read + unknown) + unknown,
        "unknown wire types of known fields": varint(2 << 3 | 0) + varint(9) + varint(1 << 3 | 5) + bytes(4) + stream(number=1),
        "oneof twice, the last one counts": field(2, read + write),
        "the same member twice merges": field(2, read + empty_read),
        "padded varints": field(2, field(4, field(1, b"padded", 5), 5), 5) + varint(3 << 3, 4) + varint(12, 10),
        "negative number": stream(number=-1),
        "large data": stream([observation(write={"data": b"0123456789" * 2000})], number=2147483647, **ids),
    }
    with open(os.path.join(here, "golden.ndjson"), "w") as out:
        for name, record in records.items():
            out.write(json.dumps({"name": name, "value": b64(record), "expected": described(record)}, ensure_ascii=False) + "\n")


def check(path):
    for line in lines(path):
        found = described(base64.b64decode(line["value"]))
        assert found == line["expected"], f"{path}: {line.get('name')}: {found}"
    print(f"{path}: {len(lines(path))} records decode to what is expected")


# Exchanges

def exchanges(entries):
    done, order, state = {}, [], {}
    for entry in entries:
        record = schema.TrafficStream.FromString(base64.b64decode(entry["value"]))
        key = (record.nodeId, record.connectionId)
        if key not in done:
            order.append(key)
            done[key] = []
            start = record.priorRequestsReceived + (1 if record.lastObservationWasUnterminatedRead else 0)
            state[key] = {"number": start, "request": None}
        now = state[key]
        for seen in record.subStream:
            event = seen.WhichOneof("Capture")
            if event in ("read", "readSegment"):
                if now["request"] and now["request"]["complete"]:
                    now["request"] = None
                if now["request"] is None:
                    now["request"] = {"number": now["number"], "in": b"", "out": b"", "complete": False}
                    done[key].append(now["request"])
                    now["number"] += 1
                now["request"]["in"] += getattr(seen, event).data
            elif event in ("write", "writeSegment") and now["request"]:
                now["request"]["out"] += getattr(seen, event).data
            elif event == "endOfMessageIndicator" and now["request"]:
                now["request"]["complete"] = True
    for key in order:
        for found in done[key]:
            line = found["in"].split(b"\r\n", 1)[0].split(b" ")
            yield {
                "node": key[0], "connection": key[1], "request": found["number"], "method": line[0].decode(),
                "target": line[1].decode(), "complete": found["complete"], "requestLength": len(found["in"]),
                "requestSha256": hashlib.sha256(found["in"]).hexdigest(),
                "status": int(found["out"].split(b" ", 2)[1]) if found["out"] else None,
                "responseLength": len(found["out"]),
                "responseSha256": hashlib.sha256(found["out"]).hexdigest() if found["out"] else None,
            }


def excerpt(path, connections, records):
    taken = {}
    kept = []
    for entry in lines(path):
        if entry["key"] not in taken and len(taken) == connections:
            continue
        taken[entry["key"]] = taken.get(entry["key"], 0) + 1
        if taken[entry["key"]] <= records:
            kept.append(entry)
    for name, content in (("reference-excerpt.ndjson", kept), ("reference-excerpt.expected.ndjson", exchanges(kept))):
        with open(os.path.join(here, name), "w") as out:
            out.writelines(json.dumps(entry) + "\n" for entry in content)


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "encode":
        encode()
    elif command == "check":
        for path in arguments:
            check(path)
    elif command == "excerpt":
        excerpt(arguments[0], int(arguments[1]), int(arguments[2]))
    elif command == "exchanges":
        found, expected = list(exchanges(lines(arguments[0]))), lines(arguments[1])
        assert found == expected, [pair for pair in zip(found, expected) if pair[0] != pair[1]][:1]
        print(f"{len(found)} exchanges are as expected")
    else:
        sys.exit(__doc__)
