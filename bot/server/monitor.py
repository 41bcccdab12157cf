"""MONITOR: a client is told when nicks come and go. Follows https://ircv3.net/specs/extensions/monitor."""

from __future__ import annotations

from collections.abc import Iterable

from bot.server.lines import MAX_WATCHED, chunks
from bot.server.peer import Peer
from bot.server.verbs import Refused, verb


@verb("MONITOR")
def monitor(me: Peer, action: str, targets: str = "") -> None:
    server, names = me.server, [name for name in targets.split(",") if name]
    match action.upper():
        case "+" if names:
            for place, name in enumerate(names):
                folded = server.fold(name)
                if folded not in me.watched and len(me.watched) >= MAX_WATCHED:
                    me.reply("734", str(MAX_WATCHED), ",".join(names[place:]), text="The list is full")
                    names = names[:place]
                    break
                me.watched[folded] = name
                server.watchers.setdefault(folded, {})[me] = None
            status(me, names)
        case "-" if names:
            for name in names:
                server.watchers.get(server.fold(name), {}).pop(me, None)
                me.watched.pop(server.fold(name), None)
        case "C":
            server.forget(me)
        case "L":
            tell(me, "732", me.watched.values())
            me.reply("733", text="End of MONITOR list")
        case "S":
            status(me, me.watched.values())
        case _:
            raise Refused("461", "MONITOR")


def status(me: Peer, names: Iterable[str]) -> None:
    """Who of them is here, and who is not."""
    found = {name: me.server.find(name) for name in names}
    tell(me, "730", (peer.mask for peer in found.values() if peer))
    tell(me, "731", (name for name, peer in found.items() if not peer))


def tell(me: Peer, numeric: str, names: Iterable[str]) -> None:
    for line in chunks(names):
        me.reply(numeric, text=line.replace(" ", ","))
