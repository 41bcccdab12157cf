"""Changes the process around it in every way that is undone."""

import atexit
import builtins
import colorsys
import logging
import signal
import string
import sys
import warnings

from bot import command, setup


def loud(*arguments):
    return "changed 1"


class Quiet(logging.Handler):
    def emit(self, record):
        pass


colorsys.rgb_to_hls = loud
string.Formatter.format = loud
builtins.shout = loud
sys.path.insert(0, "/changes")
sys.setrecursionlimit(1500)
warnings.filterwarnings("ignore", "changes")
atexit.register(loud)


@setup
async def change(ctx):
    sys.displayhook = loud  # threads keep the excepthook that they began under
    signal.signal(signal.SIGUSR1, loud)
    logging.getLogger().addHandler(Quiet())
    logging.getLogger("changes").addFilter(loud)


@command("later")
async def later(ctx):
    """Change something while it runs."""
    sys.unraisablehook = loud
    return "changed"
