"""MODE, of channels and of oneself. Follows https://modern.ircdocs.horse/#mode-message."""

from __future__ import annotations

import itertools
import re

from bot.server.lines import FLAGS, MAX_BANS
from bot.server.peer import Channel, Peer
from bot.server.verbs import Refused, verb


@verb("MODE")
def mode(me: Peer, name: str, letters: str = "", *arguments: str) -> None:
    if not me.server.is_channel(name):
        return user_mode(me, name, letters)
    channel = me.channel(name, member=False)
    if not letters:
        keys = sorted(channel.modes)
        values = [value if me in channel.members else "*" for key in keys if (value := channel.modes[key])]
        me.reply("324", channel.name, f"+{''.join(keys)}", *values)
        return me.reply("329", channel.name, str(channel.created))
    sign, left, changes = "+", list(arguments), list[tuple[str, str, str]]()
    for letter in letters:
        if letter in "+-":
            sign = letter
        elif letter == "b" and not left:
            show_bans(me, channel)
        elif letter not in f"bkl{FLAGS}" and letter not in me.server.prefixes:
            me.reply("472", letter)
        else:
            me.channel(name, op=not changes)  # asked once: `-o+v me you` is one request
            takes = letter in "bk" or letter in me.server.prefixes or (letter == "l" and sign == "+")
            argument = left.pop(0) if takes and left else ""
            shown = set_mode(me, channel, sign == "+", letter, argument)
            changes += [(sign, letter, shown)] if shown is not None else []
    if changes:
        runs = itertools.groupby(changes, key=lambda change: change[0])
        summary = "".join(sign + "".join(change[1] for change in run) for sign, run in runs)
        values = [shown for _, _, shown in changes if shown]
        me.server.relay(channel.members, me, "MODE", channel.name, summary, *values)
    return None


def set_mode(me: Peer, channel: Channel, on: bool, letter: str, argument: str) -> str | None:
    """Change one mode; the argument as others shall see it, or None when nothing changed."""
    wants = dict.fromkeys(("b", *me.server.prefixes), ".+") | ({"k": ".+", "l": "0*[1-9][0-9]{0,5}"} if on else {})
    if letter in wants and not re.fullmatch(wants[letter], argument):
        me.reply("461", "MODE")
        return None
    if letter == "b":
        return set_ban(me, channel, on, argument)
    if letter in me.server.prefixes:
        peer = me.server.find(argument)
        if peer is None or peer not in channel.members:
            me.reply("441" if peer else "401", argument, *([channel.name] if peer else []))
            return None
        return peer.nick if _change(channel.members[peer], letter, on) else None
    value = argument.replace(",", "").lstrip(":")[:23] if letter in "kl" else ""
    if not on:
        before = channel.modes.pop(letter, None)
        return before if before is None or letter == "k" else ""
    before, channel.modes[letter] = channel.modes.get(letter), value
    return None if before == value else value


def set_ban(me: Peer, channel: Channel, on: bool, mask: str) -> str | None:
    if "@" not in mask:
        mask = f"{mask}@*" if "!" in mask else f"{mask}!*@*"
    mask = mask if "!" in mask else f"*!{mask}"
    if not on:
        return mask if channel.bans.pop(mask, None) else None
    if len(channel.bans) >= MAX_BANS:
        me.reply("478", channel.name, mask)
    elif mask not in channel.bans:
        channel.bans[mask] = (me.nick, str(me.server.seconds()))
        return mask
    return None


def show_bans(me: Peer, channel: Channel) -> None:
    for mask, (setter, at) in channel.bans.items():
        me.reply("367", channel.name, mask, setter, at)
    me.reply("368", channel.name, text="End of channel ban list")


def user_mode(me: Peer, nick: str, letters: str) -> None:
    if me.peer(nick) is not me:
        raise Refused("502")
    if not letters:
        return me.reply("221", f"+{''.join(sorted(me.modes))}")
    sign, changes = "+", ""
    for letter in letters:
        if letter in "+-":
            sign = letter
        elif letter not in "Biw":
            me.reply("501")
        elif _change(me.modes, letter, sign == "+"):
            changes += sign + letter
    return me.server.relay([me], me, "MODE", me.nick, text=changes) if changes else None


def _change(held: set[str], letter: str, on: bool) -> bool:
    """Put a letter into a set or take it out; whether that changed the set."""
    if (letter in held) == on:
        return False
    (held.add if on else held.discard)(letter)
    return True
