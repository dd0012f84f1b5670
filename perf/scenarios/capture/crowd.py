"""Many client connections at once: each sends one GET, reads the answer and idles.

Speaks with the scenario over stdin and stdout, a line each: prints "ready N" when N connections have their answer, opens
more on "open N", sends another request on every one with "again", ends with its input. Killed, all its connections close
at once.
"""

import resource
import select
import socket
import sys


class Crowd:
    WINDOW = 64  # connections that wait for an answer at the same time

    def __init__(self, port, path):
        self.addresses = [("127.0.0.1", port)]
        self.request = f"GET {path} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode()
        self.idle, self.poll, self.busy = [], select.epoll(), {}

    def open(self, count):
        left = count - len(self.idle)
        while left > 0 or self.busy:
            while left > 0 and len(self.busy) < self.WINDOW:
                client = socket.create_connection(self.addresses[0], timeout=20)
                left -= 1
                self.ask(client)
            self.collect()

    def again(self):
        clients, self.idle = self.idle, []
        while clients or self.busy:
            while clients and len(self.busy) < self.WINDOW:
                self.ask(clients.pop())
            self.collect()

    def ask(self, client):
        client.sendall(self.request)
        self.busy[client.fileno()] = client
        self.poll.register(client.fileno(), select.EPOLLIN)

    def collect(self):
        for descriptor, _ in self.poll.poll(20):
            client = self.busy.pop(descriptor)
            answer = client.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"answered {answer[:80]!r}")
            self.poll.unregister(descriptor)
            self.idle.append(client)


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(int(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        words = line.split()
        if words[0] == "open":
            crowd.open(int(words[1]))
        else:
            crowd.again()
        print("ready", len(crowd.idle), flush=True)


main()
