import logging

from . import _c

V = _c.V
logging.getLogger("plugins.chain").info("ran b, V%d", V)
