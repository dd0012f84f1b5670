"""A source for a crowd: answers every request with "ok". A line on stdin: it accepts no more, so that another program
can listen on the port, and keeps the connections it has.
"""

import resource
import select
import socket
import sys

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
listener.setblocking(False)
poll, clients = select.epoll(), {}
poll.register(listener.fileno(), select.EPOLLIN)
poll.register(sys.stdin.fileno(), select.EPOLLIN)
while True:
    for descriptor, _ in poll.poll(-1, 4096):
        if descriptor in clients:
            try:
                request = clients[descriptor].recv(65536)
            except ConnectionResetError:
                request = b""
            if request:
                clients[descriptor].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                poll.unregister(descriptor)
                clients.pop(descriptor).close()
        elif descriptor == sys.stdin.fileno():
            if not sys.stdin.readline():
                sys.exit()
            poll.unregister(listener.fileno())
            listener.close()
            print("stopped", flush=True)
        else:
            try:
                while True:
                    client, _ = listener.accept()
                    clients[client.fileno()] = client
                    poll.register(client.fileno(), select.EPOLLIN)
            except BlockingIOError:
                pass
