"""Wants a built-in command."""

from bot import command


@command("reload")
async def reload(ctx, name: str):
    return "mine"
