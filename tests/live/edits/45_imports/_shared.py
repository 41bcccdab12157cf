def fn():
    return "fn 1"
