import logging

V = 1
logging.getLogger("plugins.chain").info("ran words, V%d", V)
