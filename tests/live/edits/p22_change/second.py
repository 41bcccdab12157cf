"""Tells what it is handed."""

from bot import command


@command("handed")
async def handed(ctx):
    """Tell it."""
    return f"{ctx.user.nick} {ctx.network.name} {len(ctx.message.params)} {dict(ctx.settings)} {ctx.text}"
