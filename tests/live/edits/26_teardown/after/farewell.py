"""Goes quietly."""

# Some lines, so that
# those of the old version
# stand elsewhere.

from bot import command


@command("farewell")
async def farewell(ctx):
    return "farewell 2"
