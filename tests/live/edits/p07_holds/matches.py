"""Holds the whole process."""

import re

from bot import command


@command("matches")
def matches(ctx):
    """Never come back."""
    re.match(r"(a+)+$", "a" * 40 + "b")
