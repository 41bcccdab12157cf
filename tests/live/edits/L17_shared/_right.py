from . import _left

V = 1


def left():
    return _left.V
