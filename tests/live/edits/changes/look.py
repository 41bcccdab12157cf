"""Tells what is changed."""

import builtins
import colorsys
import logging
import signal
import string
import sys
import warnings

from bot import command


@command("look")
async def look(ctx):
    """Name all that is not as Python made it."""
    found = {
        "function": colorsys.rgb_to_hls.__module__ != "colorsys",
        "method": string.Formatter.format.__module__ != "string",
        "shout": hasattr(builtins, "shout"),
        "path": "/changes" in sys.path,
        "limit": sys.getrecursionlimit() != 1000,
        "filter": any("changes" in str(each) for each in warnings.filters),
        "hook": sys.displayhook is not sys.__displayhook__,
        "unraisable": sys.unraisablehook is not sys.__unraisablehook__,
        "signal": signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL,
        "handlers": any(type(each).__name__ == "Quiet" for each in logging.getLogger().handlers),
        "filters": bool(logging.getLogger("changes").filters),
    }
    return " ".join(name for name, is_so in found.items() if is_so) or "nothing"
