#!/usr/bin/env python3
"""Golden signatures of odd requests, made with botocore's SigV4Auth: independent of this project's code.

usage: renew.py     writes raw-requests.ndjson

Needs botocore (PyPI); the file was made with 1.43.11. Each line: the service, the head and the body as they are sent
(latin-1 text, chunk framing included), whether a session token is used, and the Authorization value. Keys are those of
AWS's test suite, the time is 2024-02-29T23:59:58Z, the region eu-central-1. Query members are decoded and encoded anew
by urllib before botocore, which takes a URL's query as it stands, sorts and signs them: that is what AWS's servers do.
"""
import datetime, json, os, urllib.parse

import botocore.auth, botocore.awsrequest, botocore.credentials

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "TOKEN/with+signs=="
botocore.auth.get_current_datetime = lambda *_, **__: datetime.datetime(2024, 2, 29, 23, 59, 58)
NDJSON = '{"index":{"_id":"1"}}\n{"a":1}\n'


def signature(service, method, target, fields, content, token):
    if "://" in target.split("?")[0]:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("?")
    members = []
    for member in query.split("&"):
        if member:
            name, _, value = (urllib.parse.unquote_to_bytes(part.replace("+", " ")) for part in member.partition("="))
            members.append("=".join(urllib.parse.quote(part, safe="-_.~") for part in (name, value)))
    host = next(value.strip() for name, value in fields if name.lower() == "host")
    # With a host of its own, so that a path of two slashes is not taken for one.
    url = f"https://unused.example{path}" + ("?" + "&".join(members) if members else "")
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=content)
    for name, value in fields:
        if name.lower() in ("host", "content-type") or name.lower().startswith("x-amz-"):
            request.headers.add_header(name, value)
    assert host
    if service == "aoss":
        import hashlib
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(content).hexdigest()
    credentials = botocore.credentials.Credentials(KEY, SECRET, TOKEN if token else None)
    botocore.auth.SigV4Auth(credentials, service, "eu-central-1").add_auth(request)
    return request.headers["Authorization"]


HOST = [("Host", "search-x.eu-central-1.es.amazonaws.com")]
JSON = HOST + [("Content-Type", "application/json")]
BULK = HOST + [("content-type", "application/x-ndjson")]

targets = [
    "/", "/?", "/?pretty", "/?pretty=", "/?pretty=true&human", "/?human&pretty=true", "/i/_search?q=a:b&size=1",
    "/i/_search?q=a+b", "/i/_search?q=a%20b", "/i/_search?q=a%2Bb", "/i/_search?filter_path=took,hits.*",
    "/i/_search?filter_path=took%2Chits.%2A", "/_cat/indices/a*?h=index&s=index:desc", "/a%2Cb,c/_search",
    "/%3Clogs-%7Bnow%2Fd%7D%3E/_search", "/<logs-{now}>/_search", "/i/_doc/a%2Fb", "/i/_doc/a%20b%2Bc+d", "/i/_doc/%E2%82%AC",
    "/i/_doc/%e2%82%ac", "/i/_doc/%", "/i/_doc/%zz", "//_bulk", "/i//_doc///1", "/i/./_doc/../_search", "/../../i/",
    "/i/_doc/", "/i/_doc/1?x=%E2%82%AC&X=1&x=", "/?b=2&a=1&b=1&a=2", "/?a-b=1&a.b=2&a_b=3&a~b=4&aB=5&ab=6",
    "/?a=1&a%00=2&a%FF=3", "/?=v&=&&x", "/?a=b=c==", "/?a=%zz&b=%4&c=%", "/?a=1%26b=2", "/?q=%22quoted%22&r='single'",
    "/?q=(a+OR+b)+AND+!c*", "/?q=/re.gex/&r=\\d|^$`{}[]<>", "/?a=1;b=2;c", "/?A=1&a=1&%41=2", "/?q=a?b/c?d",
    "/i/_doc/~user/-._~!$&'()*+,;=:@", "http://other.example:9200/i/_search?q=1", "/i/_search?q=%c3%a9&q=%C3%A9",
    "/?routing=a%2Fb&preference=_local&timeout=1m&timeout=30s", "/_search/scroll/DXF1ZXJ5QW5kRmV0Y2gBAAAAAAAAAD4WYm9laVY==",
]
requests = [("es", "GET", target, HOST, "", False, False) for target in targets]
requests += [
    ("es", "POST", "/_bulk", BULK, NDJSON, False, False),
    ("es", "POST", "/_bulk?refresh", BULK, NDJSON, True, False),
    ("es", "POST", "/_bulk", BULK, NDJSON, False, True),
    ("es", "PUT", "/i/_doc/1", HOST + [("CONTENT-TYPE", "application/json;  charset=UTF-8 ")], "{}", False, False),
    ("es", "HEAD", "/i", [("hOsT", "search-x.eu-central-1.es.amazonaws.com:9200")], "", False, False),
    ("es", "DELETE", "/i/_doc/1", JSON + [("X-Amz-Meta-Odd", "a   b"), ("x-amz-meta-odd", "c")], "", True, False),
    ("es", "PATCH", "/i", JSON + [("User-Agent", "x"), ("Accept", "*/*"), ("X-Amzn-Trace-Id", "1")], "{}", False, False),
    ("aoss", "POST", "/movies/_bulk", BULK, NDJSON, True, False),
    ("aoss", "POST", "/movies/_bulk", BULK, NDJSON, False, True),
    ("aoss", "GET", "/movies/_search?q=a%20b&b", HOST, "", False, False),
    ("aoss", "PUT", "/movies", JSON, "{}", True, False),
    ("execute-api", "POST", "/stage/a%20b?c=d", JSON, "{}", True, False),
    ("execute-api", "GET", "/stage//x/?c&c=1", HOST, "", False, False),
]
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "raw-requests.ndjson"), "w") as file:
    for service, method, target, fields, body, token, is_chunked in requests:
        value = signature(service, method, target, fields, body.encode("latin-1"), token)
        lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {text}" for name, text in fields]
        sent = body
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
            pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
            sent = "".join(f"{len(piece):x};x=y\r\n{piece}\r\n" for piece in pieces) + "0\r\nX-Trailer: 1\r\n\r\n"
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        golden = {"service": service, "head": head, "body": sent, "token": token, "authorization": value}
        file.write(json.dumps(golden) + "\n")
print(len(requests), "requests")
