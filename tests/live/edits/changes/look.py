"""Tells what is changed."""

import builtins
import json
import logging
import signal
import sys
import threading
import warnings

from bot import command


@command("look")
async def look(ctx):
    """Name all that is not as Python made it."""
    found = {
        "loads": json.loads.__module__ != "json",
        "decode": json.JSONDecoder.decode.__module__ != "json.decoder",
        "shout": hasattr(builtins, "shout"),
        "path": "/changes" in sys.path,
        "limit": sys.getrecursionlimit() != 1000,
        "filter": any("changes" in str(each) for each in warnings.filters),
        "hook": sys.excepthook is not sys.__excepthook__,
        "unraisable": sys.unraisablehook is not sys.__unraisablehook__,
        "threads": threading.excepthook is not threading.__excepthook__,
        "signal": signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL,
        "handlers": any(type(each).__name__ == "Quiet" for each in logging.getLogger().handlers),
        "filters": bool(logging.getLogger("changes").filters),
    }
    return " ".join(name for name, is_so in found.items() if is_so) or "nothing"
