"""Logs and prints without measure."""

from bot import command


@command("flood")
def flood(ctx, how, count: int):
    """Write so many lines."""
    for number in range(count):
        if how == "print":
            print("printed", number)
        else:
            getattr(ctx.log, how)("logged %d", number)
    return f"{how} {count}"
