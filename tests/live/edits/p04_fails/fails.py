"""Fails in every way that a handler can."""

import asyncio

from bot import command, on, rule


class Own(BaseException):
    pass


class Speechless(Exception):
    def __str__(self):
        raise ValueError("no words")


def deeper():
    deeper()


@command("fails")
async def fails(ctx, how):
    """Fail."""
    try:
        match how:
            case "exception":
                raise LookupError("some words")
            case "recursion":
                deeper()
            case "memory":
                return "a" * 10**15
            case "speechless":
                raise Speechless
            case "exit":
                raise SystemExit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "cancelled":
                raise asyncio.CancelledError
            case "closed":
                raise GeneratorExit
            case "own":
                raise Own
            case "finally":
                raise LookupError("the first")
    finally:
        if how == "finally":
            raise KeyError("the second")


@command("plain")
def plain(ctx, how):
    """Fail off the loop."""
    if how == "exit":
        raise SystemExit(3)
    if how == "stop":
        raise StopIteration
    yield "before"
    raise LookupError("in a generator")


@on("message")
async def first(ctx, text):
    if text == "everybody":
        raise LookupError("the first handler")


@rule("^everybody$")
async def second(ctx):
    raise LookupError("a rule")


@on("message")
async def third(ctx, text):
    return "third" if text == "everybody" else None
