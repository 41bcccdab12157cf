"""Lines that no server should send, by the million: nothing may break, nothing be sent uncalled for, nothing grow.

`grammar` makes lines and spoils them, `stage` holds the bot at a socket that is none, `rules` knows what may be sent
because of which line, `verdict` plays the long run, and `guided` lets a fuzzer that watches the coverage choose lines.
"""
