"""`neverquit` and `python -m bot`. `--version` is answered here, before anything else is imported."""

import sys


def main() -> int:
    """Run the program; return its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from bot import __version__

        print(f"neverquit {__version__}")
        return 0
    from bot.cli import program

    program()
    return 0


if __name__ == "__main__":
    sys.exit(main())
