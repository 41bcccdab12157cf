"""The ways in which files get written, many times each, with somebody asking meanwhile: `python -m benchmarks repeat`.

Whatever is answered must be the version before or the new one, whole, and never the old after the new.

    ways   how one file gets written
    play   one bot, and the one who asks
    cases  the cases, and the judgement
"""
