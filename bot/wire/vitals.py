"""How a keeper is, in numbers, for `neverquit ctl status`. A part of the keeper (standard library only)."""

from __future__ import annotations

from typing import Any

from bot.wire.keeper import Keeper


def vitals(keeper: Keeper) -> dict[str, Any]:
    """Return what is open, queued, held and lost, as JSON values.

    Returns:
        networks: by name, the seconds that its connection is up, or None; queued: lines to be sent; held: lines that
        are not finished; lost: lines dropped because too many were held; duplicates: effects that a worker said again.
    """
    return {
        "networks": keeper.uptimes(),
        "queued": keeper.queued,
        "held": sum(keeper.entries.unfinished.values()),
        "lost": keeper.entries.lost,
        "duplicates": keeper.duplicates,
    }
