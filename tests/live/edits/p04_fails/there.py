"""Asks here, which asks there."""

from bot import command

from . import here


@command("there")
async def there(ctx):
    """Ask here."""
    return await here.here(ctx)


def back(ctx):
    return here.plainly(ctx)
