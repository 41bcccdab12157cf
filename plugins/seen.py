"""Seen: when somebody was last here, and what they did."""

import time

from bot import Context, command, format_duration, on, store

last = store("last", per="network")  # folded nick -> {"nick", "at" (seconds since 1970), "did", "channel"}
MAX_TEXT = 120
MOST = 5000  # nicks remembered on a network: anybody can come under any number of them


def note(ctx: Context, nick: str, did: str, channel: str | None) -> None:
    """Remember what a nick did last."""
    did = did if len(did) <= MAX_TEXT else did[: MAX_TEXT - 3] + "..."
    here, key = last[ctx], ctx.network.fold(nick)
    here.pop(key, None)  # a store keeps its order like a dict, so those who are longest gone come first
    here[key] = {"nick": nick, "at": time.time(), "did": did, "channel": channel}
    if len(here) > MOST:
        for old in list(here)[: MOST // 10]:
            here.pop(old, None)


@on("message")
def spoke(ctx: Context, nick: str, text: str) -> None:
    if ctx.channel:  # what is said in private stays there
        note(ctx, nick, f"saying: {text}", ctx.channel)


@on("action")
def acted(ctx: Context, nick: str, text: str) -> None:
    if ctx.channel:
        note(ctx, nick, f"doing: {text}", ctx.channel)


@on("join")
def joined(ctx: Context, nick: str, channel: str) -> None:
    note(ctx, nick, "joining", channel)


@on("part")
def parted(ctx: Context, nick: str, channel: str) -> None:
    note(ctx, nick, "leaving", channel)


@on("quit")
def quitted(ctx: Context, nick: str, reason: str) -> None:
    note(ctx, nick, f"quitting ({reason})" if reason else "quitting", None)


@on("netsplit")
def lost(ctx: Context, nicks: tuple[str, ...], channel: str) -> None:
    for nick in nicks:
        note(ctx, nick, "being lost in a netsplit", channel)


@on("kick")
def kicked(ctx: Context, kicked: str, nick: str, channel: str) -> None:
    note(ctx, kicked, f"being kicked by {nick}", channel)


@on("nick")
def renamed(ctx: Context, old: str, new: str) -> None:
    note(ctx, old, f"changing nick to {new}", None)
    note(ctx, new, f"changing nick from {old}", None)


@command("seen", examples=[("!seen neverquit", "that is me"), ("!seen nobody9", "I have not seen nobody9")])
def seen(ctx: Context, nick: str) -> str:
    """Tell when a nick was last seen, and what they did then."""
    nick = nick.strip()
    if ctx.network.same(nick, ctx.network.nick):
        return "that is me"
    if ctx.network.same(nick, ctx.user.nick):
        return "that is you, just now"
    found = last[ctx].get(ctx.network.fold(nick))
    if found is None:
        return f"I have not seen {nick}"
    ago = format_duration(max(0.0, time.time() - found["at"]))
    same_place = found["channel"] and ctx.channel and ctx.network.same(found["channel"], ctx.channel)
    # Elsewhere only that they were there: what is said in one channel is not told in another.
    if found["channel"] and not same_place and found["did"].startswith(("saying", "doing")):
        return f"{found['nick']} was last seen {ago} ago, talking in {'another channel'}"
    where = f" in {found['channel']}" if found["channel"] and same_place else ""
    return f"{found['nick']} was last seen {ago} ago{where}, {found['did']}"
