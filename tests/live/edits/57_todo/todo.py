"""Keeps what is to be done, and stores it as well."""

from bot import command, keep, store

todo = keep("todo", dict)
stored = store("stored")


@command("todo")
async def add(ctx, text: str = ""):
    """Add something, or tell how it is kept."""
    if text:
        todo[text] = 1
        stored.add(text)
    return f"todo {dict(todo)} stored {dict(stored)}"
