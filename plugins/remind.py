"""Remind: !remind 10m tea. Reminders survive restarts."""

import time

from bot import Context, UserError, command, format_duration, job, parse_duration, store

waiting = store("waiting")  # number -> {"at" (seconds since 1970), "text", "nick", "who"}
last = store("last")  # "number" -> the last one given
MAX_WAITING = 20
MAX_SECONDS = 366 * 86400
MAX_TEXT = 300


def who(ctx: Context) -> str:
    """Name the asker so that they are found again: by account where there is one."""
    known = f"account:{ctx.user.account}" if ctx.user.account else f"nick:{ctx.network.fold(ctx.user.nick)}"
    return f"{ctx.network.name}/{known}"


def mine(ctx: Context) -> list[tuple[str, dict]]:
    """Return the asker's reminders as (number, reminder), the next first."""
    found = [(number, one) for number, one in waiting.items() if one["who"] == who(ctx)]
    return sorted(found, key=lambda pair: pair[1]["at"])


@job
def due(ctx: Context, number: str) -> None:
    """Say a reminder where it was asked for."""
    reminder = waiting.pop(number, None)
    if reminder is not None:
        ctx.say(f"{reminder['nick']}: {reminder['text']}")


@command("remind", "in", examples=[("!remind 10m tea", "#1: I will remind you in 10 min"), ("!remind soon tea", "...")])
def remind(ctx: Context, when: str, text: str) -> str:
    """Remind you of something: !remind 1h30m stand up; !reminders lists yours, !forget takes one back."""
    try:
        seconds = parse_duration(when)
    except ValueError as error:
        raise UserError(str(error)) from None
    if seconds > MAX_SECONDS:
        raise UserError("a year is as far as I can think")
    if len(mine(ctx)) >= MAX_WAITING:
        raise UserError(f"you have {MAX_WAITING} reminders waiting; !forget one of them first")
    number = str(last.add("number"))
    waiting[number] = {"at": time.time() + seconds, "text": text[:MAX_TEXT], "nick": ctx.user.nick, "who": who(ctx)}
    ctx.schedule(seconds, due, number)
    return f"#{number}: I will remind you in {format_duration(seconds)}"


@command("reminders", examples=[("!reminders", "you have no reminders")])
def reminders(ctx: Context) -> list[str] | str:
    """List your reminders."""
    now = time.time()
    lines = [f"#{number} in {format_duration(max(0.0, one['at'] - now))}: {one['text']}" for number, one in mine(ctx)]
    return lines or "you have no reminders"


@command("forget", examples=[("!forget 99", "you have no reminder #99; !reminders lists yours")])
def forget(ctx: Context, number: str) -> str:
    """Take one of your reminders back, by its number."""
    number = number.lstrip("#")
    if number not in dict(mine(ctx)):
        raise UserError(f"you have no reminder #{number}; !reminders lists yours")
    waiting.pop(number, None)
    return f"#{number} is forgotten"
