"""Hears what others fail at."""

from bot import on


@on("message")
def hears(ctx, text):
    return "hears" if text == "everybody" else None
