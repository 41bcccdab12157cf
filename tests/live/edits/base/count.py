"""Counts, and goes on counting over reloads."""

from bot import command, keep

calls = keep("calls", dict)


@command("count")
async def count(ctx):
    """Count one further."""
    calls["n"] = calls.get("n", 0) + 1
    return f"count {calls['n']}"
