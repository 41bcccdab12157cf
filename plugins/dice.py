"""Dice: !roll 2d6+1"""

import random
import re

from bot import Context, UserError, command

MAX_DICE, MAX_SIDES = 100, 1000
PATTERN = re.compile(r"(\d{0,3})d(\d{1,4}|%)([+-]\d{1,6})?", re.IGNORECASE)


@command(
    "roll",
    "dice",
    "d",
    examples=[("!roll 1d1", "1d1: 1"), ("!roll 2d1+2", "2d1+2: 1 + 1 + 2 = 4"), ("!roll", "1d6: ...")],
)
def roll(ctx: Context, dice: str = "1d6") -> str:
    """Roll dice: 2d6, d20, 3d8+2, d%; without a word one six-sided die."""
    match = PATTERN.fullmatch(dice.replace(" ", ""))
    if match is None:
        raise UserError(f"{dice!r} are no dice; write 2d6, d20, 3d8+2 or d%")
    count, sides = int(match[1] or 1), 100 if match[2] == "%" else int(match[2])
    bonus = int(match[3] or 0)
    if not 1 <= count <= MAX_DICE or not 1 <= sides <= MAX_SIDES:
        raise UserError(f"that is more than this table holds: 1 to {MAX_DICE} dice of 1 to {MAX_SIDES} sides")
    rolled = [random.randint(1, sides) for _ in range(count)]
    shown = f"{match[1] or 1}d{match[2]}{match[3] or ''}"
    if count == 1 and not bonus:
        return f"{shown}: {rolled[0]}"
    parts = " + ".join(map(str, rolled)) if count <= 20 else f"{count} dice"
    if bonus:
        parts += f" {'+' if bonus > 0 else '-'} {abs(bonus)}"
    return f"{shown}: {parts} = {sum(rolled) + bonus}"


@command("coin", "flip", examples=[("!coin", "...")])
def coin(ctx: Context) -> str:
    """Flip a coin."""
    return random.choice(("heads", "tails"))
