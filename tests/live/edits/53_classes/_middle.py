from ._root import Root


class Middle(Root):
    def name(self):
        return f"middle {super().name()}"
