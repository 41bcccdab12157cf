"""Holds the whole process."""


from bot import command


@command("spins")
async def spins(ctx):
    """Never come back."""
    while True:
        pass
