"""How fast a change is live, and what it costs meanwhile: `python -m benchmarks reload`.

saver   saves a plugin and asks until it is live
saves   how long that takes: ways of saving, lengths, numbers; `git checkout`; `!reload`
floor   a bot that does nothing but what a save can't do without, with and without a trial in another process
clocks  the program with clocks around the stages of a reload, and a probe that finds its loop late
inside  where the time goes, and how long the loop stands still
"""
