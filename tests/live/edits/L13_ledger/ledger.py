"""Answers with the number that it was asked with, and its version."""

from bot import command

VERSION = 1


@command("entry")
async def entry(ctx, number: int):
    return f"entry {number} V{VERSION}"
