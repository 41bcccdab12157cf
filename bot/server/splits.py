"""A netsplit: some of the users are beyond a broken link for a while, and come back.

`Server.split` and `Server.rejoin` are the doors to it. Who knows batches is told in one (`netsplit`, `netjoin`), others
one by one. Those beyond keep their sockets; what they say reaches nobody. They themselves are told nothing.

Follows https://ircv3.net/specs/batches/netsplit.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from bot.server.channels import tell_join
from bot.server.peer import Channel, Peer
from bot.server.server import Server

Places = list[tuple[Channel, set[str]]]
Seen = tuple[Peer, Channel]  # who comes or goes, and where


def split(server: Server, nicks: Iterable[str], near: str, far: str) -> None:
    """Take these clients beyond the split; KeyError for a nick that nobody has."""
    gone = dict.fromkeys(server.client(nick) for nick in nicks)
    for reader, seen in _witnesses(gone, gone).items():

        def quits(tags: Mapping[str, str], reader: Peer = reader, seen: list[Seen] = seen) -> None:
            for peer in dict.fromkeys(peer for peer, _ in seen):
                server.relay([reader], peer, "QUIT", text=f"{near} {far}", tags=tags)

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
    back = dict[Peer, Places]()
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
            channel = server.channels.setdefault(server.fold(old.name), old)
            channel.members[peer], peer.channels[server.fold(old.name)] = letters, channel
        server.spotted(peer, True)
    for reader, seen in _witnesses(back, back).items():

        def comes(tags: Mapping[str, str], reader: Peer = reader, seen: list[Seen] = seen) -> None:
            for peer, channel in seen:
                tell_join(peer, channel, [reader], tags)

        _in_batch(server, reader, "netjoin", near, far, comes)
        for peer, channel in seen:
            shown = "".join(letter for letter in server.prefixes if letter in channel.members[peer])
            if shown:
                server.relay([reader], far, "MODE", channel.name, f"+{shown}", *[peer.nick] * len(shown))


def _witnesses(peers: Iterable[Peer], beyond: Container[Peer]) -> dict[Peer, list[Seen]]:
    """Who on this side shares channels with these, and which; those without a socket have no need to be told."""
    members = dict[Channel, list[Peer]]()
    for peer in peers:
        for channel in peer.channels.values():
            members.setdefault(channel, []).append(peer)
    witnesses = dict[Peer, list[Seen]]()
    for channel, moving in members.items():
        for reader in channel.members:
            if reader.transport is not None and reader not in beyond:
                witnesses.setdefault(reader, []).extend((peer, channel) for peer in moving)
    return witnesses


def _in_batch(
    server: Server, reader: Peer, kind: str, near: str, far: str, say: Callable[[Mapping[str, str]], None]
) -> None:
    name, knows = server.new_batch(), [reader] if "batch" in reader.caps else []
    server.relay(knows, server.name, "BATCH", f"+{name}", kind, near, far)
    say({"batch": name})
    server.relay(knows, server.name, "BATCH", f"-{name}")
