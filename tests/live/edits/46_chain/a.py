"""Imports what imports what is edited."""

import logging

from bot import command

from . import _b

logging.getLogger("plugins.chain").info("ran a, V%d", _b.V)


@command("a")
async def a(ctx):
    return f"a V{_b.V}"
