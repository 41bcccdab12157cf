"""Karma: tea++ and coffee--, counted for each channel."""

import re

from bot import Context, UserError, command, rule, store

points = store("points", per="channel")  # folded name -> number
names = store("names", per="channel")  # folded name -> as it was last written

MOST = 5000  # names remembered in a channel: anybody can make up any number of them
VOTE = re.compile(r"(?:^|(?<=\s))(?:\(([^()]{1,32})\)|([^\s()+-][^\s()]{0,31}?))(\+\+|--)(?=\s|$|[.,!?;:])")


@rule(r"(\+\+|--)")
def vote(ctx: Context, sign: str) -> str | None:
    """Count each name++ and name-- of a line, once a name; nobody votes for themselves."""
    seen: dict[str, tuple[str, int]] = {}
    for match in VOTE.finditer(ctx.text):
        name = (match[1] or match[2]).strip()
        if name:
            seen.setdefault(ctx.network.fold(name).lower(), (name, 1 if match[3] == "++" else -1))
    said = []
    for key, (name, change) in list(seen.items())[:5]:
        if ctx.network.same(name, ctx.user.nick):
            said.append(f"{name}: your own karma is for others to give")
            continue
        names[ctx].pop(key, None)  # a store keeps its order like a dict, so those not voted on for longest come first
        names[ctx][key] = name
        said.append(f"{name}: {points[ctx].add(key, change)}")
    if len(names[ctx]) > MOST:
        for old in list(names[ctx])[: MOST // 10]:
            names[ctx].pop(old, None)
            points[ctx].pop(old, None)
    return ", ".join(said) or None


@command("karma", examples=[("!karma nobody", "nobody: 0")])
def karma(ctx: Context, name: str = "") -> str:
    """Tell a name's karma here, or who has the most and the least."""
    if name:
        return f"{name}: {points[ctx].get(ctx.network.fold(name).lower(), 0)}"
    ranked = sorted(points[ctx].items(), key=lambda pair: (-pair[1], pair[0]))
    if not ranked:
        raise UserError("nobody has karma here yet; say tea++")
    shown = ranked if len(ranked) <= 6 else [*ranked[:3], *ranked[-3:]]
    return ", ".join(f"{names[ctx].get(key, key)}: {number}" for key, number in shown)
