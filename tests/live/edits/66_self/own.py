"""Reloads, and unloads, itself."""

from bot import command


@command("again")
async def again(ctx):
    """Reload this very plugin, and wait for it."""
    report = await ctx._services.reloader.settle({"own"})
    return f"own 1: {report}"


@command("away")
async def away(ctx):
    """Unload this very plugin, and wait for it."""
    return f"own 1: {await ctx._services.reloader.unload('own')}"
