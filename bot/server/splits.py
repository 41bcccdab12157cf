"""A netsplit: some of the users are beyond a broken link for a while, and come back.

`Server.split` and `Server.rejoin` are the doors to it. Who knows batches is told in one (`netsplit`, `netjoin`), others
one by one. Those beyond keep their sockets; what they say reaches nobody. They themselves are told nothing.

Follows https://ircv3.net/specs/batches/netsplit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bot.server.channels import tell_join
from bot.server.peer import Channel, Peer
from bot.server.server import Server

Places = list[tuple[Channel, set[str]]]


def split(server: Server, nicks: Iterable[str], near: str, far: str) -> None:
    """Take these clients beyond the split; KeyError for a nick that nobody has."""
    gone = dict.fromkeys(server.client(nick) for nick in nicks)
    channels = dict.fromkeys(channel for peer in gone for channel in peer.channels.values())
    readers = dict.fromkeys(peer for channel in channels for peer in channel.members if peer not in gone)

    def quits(reader: Peer, tags: Mapping[str, str]) -> None:
        for peer in dict.fromkeys(p for c in reader.channels.values() for p in c.members if p in gone):
            server.relay([reader], peer, "QUIT", text=f"{near} {far}", tags=tags)

    for reader in readers:
        _in_batch(server, reader, "netsplit", near, far, quits)
    for peer in gone:
        server.beyond[peer] = [(channel, channel.members[peer]) for channel in peer.channels.values()]
        for channel in list(peer.channels.values()):
            server.remove(peer, channel)
        peer.apart = True
        del server.nicks[server.fold(peer.nick)]
        server.spotted(peer, False)


def rejoin(server: Server, near: str, far: str) -> None:
    """Bring all of them back, but for those whose nick has been taken meanwhile: they are killed."""
    back, told = dict[Peer, Places](), dict[Peer, list[tuple[Peer, Channel]]]()
    for peer, places in list(server.beyond.items()):
        peer.apart = False
        if server.fold(peer.nick) in server.nicks:
            peer.registered = False  # nobody has seen this one come
            peer.leave("Nick collision")
        else:
            back[peer] = places
    server.beyond.clear()
    for peer, places in back.items():
        server.nicks[server.fold(peer.nick)] = peer
        for old, letters in places:
            folded = server.fold(old.name)
            channel = server.channels.setdefault(folded, old)
            for reader in channel.members:
                if reader not in back:
                    told.setdefault(reader, []).append((peer, channel))
            channel.members[peer], peer.channels[folded] = letters, channel
        server.spotted(peer, True)
    for reader, joins in told.items():

        def comes(reader: Peer, tags: Mapping[str, str], joins: list[tuple[Peer, Channel]] = joins) -> None:
            for peer, channel in joins:
                tell_join(peer, channel, [reader], tags)

        _in_batch(server, reader, "netjoin", near, far, comes)
        for peer, channel in joins:
            shown = "".join(letter for letter in server.prefixes if letter in channel.members[peer])
            if shown:
                server.relay([reader], far, "MODE", channel.name, f"+{shown}", *[peer.nick] * len(shown))


def _in_batch(
    server: Server, reader: Peer, kind: str, near: str, far: str, say: Callable[[Peer, Mapping[str, str]], None]
) -> None:
    name, knows = server.new_batch(), [reader] if "batch" in reader.caps else []
    server.relay(knows, server.name, "BATCH", f"+{name}", kind, near, far)
    say(reader, {"batch": name})
    server.relay(knows, server.name, "BATCH", f"-{name}")
