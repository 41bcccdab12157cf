"""A package, one of whose modules imports the shared module."""

from bot import command

from . import inner


@command("parts")
async def parts(ctx):
    return f"V{inner.V}"
