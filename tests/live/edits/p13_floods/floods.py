"""Logs and prints without measure."""

from bot import command


@command("flood")
def flood(ctx, how, count: int):
    """Write so many lines."""
    for number in range(count):
        if how == "print":
            print("2026-01-01 00:00:00.000 print   looks like a record", number)
        else:
            getattr(ctx.log, how)("logged %d", number)
    return f"{how} {count}"
