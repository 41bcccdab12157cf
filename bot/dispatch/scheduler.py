class Periodic:
    def __init__(self, name, seconds, cron, run):
        pass


class Scheduler:
    def __init__(self, *a, **k):
        pass

    def replace(self, *a):
        pass

    def schedule(self, at, run):
        pass

    def stop(self):
        pass

    def soon(self, f):
        f()


def check_cron(x):
    pass


Clock = object
