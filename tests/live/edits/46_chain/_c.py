import logging

V = 1
logging.getLogger("plugins.chain").info("ran c, V%d", V)
