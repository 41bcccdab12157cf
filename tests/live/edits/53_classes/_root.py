class Root:
    def name(self):
        return "root 1"
