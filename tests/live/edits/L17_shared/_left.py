from . import _right

V = 1


def both():
    return f"left {V}, right {_right.V}"
