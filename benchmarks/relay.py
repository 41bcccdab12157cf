"""As little of an IRC server as can stand between a bot and the one who asks: `python -m benchmarks.relay`.

It prints its port, welcomes whoever gives a nick, and passes the lines of one channel on. It knows PRIVMSG, JOIN, PING
and QUIT; WHO and MODE are answered by their last line. One thread and a selector, each client's output sent once a
turn: what it costs is the same for every bot that is measured through it. It ends with its standard input.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Callable

CHANNEL = b"#bench"


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.nick, self.rest, self.out = sock, b"", b"", bytearray()
        self.asked_caps = self.welcomed = False

    @property
    def prefix(self) -> bytes:
        return b":%b!%b@bench.test" % (self.nick, self.nick)


class Relay:
    """The clients, and what they say to each other."""

    def __init__(self) -> None:
        self.clients: dict[socket.socket, Client] = {}
        self.members: list[Client] = []
        self.verbs: dict[bytes, Callable[[Client, list[bytes]], None]] = {
            b"CAP": self.cap,
            b"NICK": self.nick,
            b"JOIN": self.join,
            b"PRIVMSG": self.privmsg,
            b"PING": lambda client, words: self.tell(client, b":relay PONG relay " + words[-1]),
            b"WHO": lambda client, words: self.tell(client, b":relay 315 %b %b :End" % (client.nick, CHANNEL)),
            b"MODE": lambda client, words: self.tell(client, b":relay 324 %b %b +nt" % (client.nick, CHANNEL)),
            b"QUIT": lambda client, words: self.gone(client),
        }

    def tell(self, client: Client, line: bytes) -> None:
        client.out += line + b"\r\n"

    def heard(self, client: Client, data: bytes) -> None:
        """Take what came from a client."""
        *lines, client.rest = (client.rest + data).split(b"\n")
        for line in lines:
            words = line.rstrip(b"\r").split(b" ", 2)
            verb = self.verbs.get(words[0])
            if verb is not None:
                verb(client, words[1:])

    def cap(self, client: Client, words: list[bytes]) -> None:
        if words[0] == b"LS":
            client.asked_caps = True
            self.tell(client, b":relay CAP * LS :")
        elif words[0] == b"END":
            client.asked_caps = False
            self.welcome(client)

    def nick(self, client: Client, words: list[bytes]) -> None:
        client.nick = words[0].lstrip(b":")
        if not client.asked_caps:
            self.welcome(client)

    def welcome(self, client: Client) -> None:
        if not client.welcomed:
            client.welcomed = True
            for text in (b"001 %b :Welcome", b"005 %b CHANTYPES=# PREFIX=(ov)@+ :are supported", b"422 %b :No MOTD"):
                self.tell(client, b":relay " + text % client.nick)

    def join(self, client: Client, words: list[bytes]) -> None:
        self.members.append(client)
        for member in self.members:
            self.tell(member, b"%b JOIN %b" % (client.prefix, CHANNEL))
        nicks = b" ".join(member.nick for member in self.members)
        self.tell(client, b":relay 353 %b = %b :%b" % (client.nick, CHANNEL, nicks))
        self.tell(client, b":relay 366 %b %b :End" % (client.nick, CHANNEL))

    def privmsg(self, client: Client, words: list[bytes]) -> None:
        line = b"%b PRIVMSG %b %b" % (client.prefix, words[0], words[1])
        for member in self.members:
            if member is not client:
                self.tell(member, line)

    def gone(self, client: Client) -> None:
        if self.clients.pop(client.sock, None) is not None:
            client.sock.close()
            if client in self.members:
                self.members.remove(client)

    def run(self) -> None:
        """Serve until standard input ends."""
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is sys.stdin:
                        return
                    if key.fileobj is listener:
                        sock, _ = listener.accept()
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        self.clients[sock] = Client(sock)
                        selector.register(sock, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket):
                        self.read(key.fileobj, selector)
                for client in [client for client in self.clients.values() if client.out]:
                    self.write(client)

    def read(self, sock: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            data = sock.recv(1 << 18)
        except OSError:
            data = b""
        client = self.clients[sock]
        if data:
            self.heard(client, data)
        if not data or sock not in self.clients:
            selector.unregister(sock)
            self.gone(client)

    def write(self, client: Client) -> None:
        data, client.out = client.out, bytearray()
        try:
            client.sock.sendall(data)
        except OSError:
            pass  # its end is read in the next turn


if __name__ == "__main__":
    Relay().run()
