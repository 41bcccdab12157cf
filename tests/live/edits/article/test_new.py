from bot import command


class TestModule:
    @command("myfunction")
    def myfunction(self, ctx):
        return "Calling (new) myfunction"
