"""Takes all memory that there is."""

from bot import command


@command("huge")
async def huge(ctx):
    """At once."""
    return "x" * 10**10


@command("grow")
def grow(ctx):
    """Step by step."""
    held = []
    while True:
        held.append(bytes(50 << 20))  # zeros cost addresses only, and no pages
