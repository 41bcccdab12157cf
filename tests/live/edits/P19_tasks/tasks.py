"""Keeps objects of its own classes, and a lock, which nothing can copy."""

import enum
import threading
from dataclasses import dataclass

from bot import command, keep


class Colour(enum.Enum):
    RED = 1


@dataclass
class Task:
    text: str
    colour: Colour


tasks = keep("tasks", list)
lock = keep("lock", threading.Lock)


@command("task")
async def task(ctx, text: str = ""):
    """Add one, or tell of all."""
    if text:
        tasks.append(Task(text, Colour.RED))
    same = all(isinstance(each, Task) and each.colour is Colour.RED for each in tasks)
    return f"tasks {[vars(each) | {'colour': each.colour.name} for each in tasks]} {same}"
