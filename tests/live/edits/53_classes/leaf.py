"""The third of three files with a class each."""

from bot import command

from ._middle import Middle
from ._root import Root


class Leaf(Middle):
    def name(self):
        return f"leaf {super().name()}"


@command("leaf")
async def leaf(ctx):
    return f"{Leaf().name()} {isinstance(Leaf(), Root)}"
