"""Opens something in its setup, and then fails."""

from contextlib import contextmanager

from bot import command, setup


@contextmanager
def door(log):
    log.info("the door is open")
    try:
        yield
    finally:
        log.info("the door is closed")


@setup
async def prepare(ctx):
    ctx.enter(door(ctx.log))
    raise LookupError("no key")


@command("hello")
async def hello(ctx):
    return "hello 2"
