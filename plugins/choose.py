"""Choose: lets the bot decide between options."""

import random

from bot import Context, UsageError, command


@command("choose", "choice", examples=[("!choose tea", "tea"), ("!choose tea or tea", "tea"), ("!choose a, b", "...")])
def choose(ctx: Context, options: str) -> str:
    """Pick one of several options, with commas, `|` or `or` between them."""
    for separator in ("|", ",", " or "):
        found = [option.strip() for option in options.split(separator) if option.strip()]
        if len(found) > 1:
            # "a, b, or c" is how people write lists
            return random.choice([option.removeprefix("or ").strip() or option for option in found])
    words = options.split()
    if not words:
        raise UsageError("there is nothing to choose from")
    return random.choice(words)
