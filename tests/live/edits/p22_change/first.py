"""Changes all that it is handed."""

from bot import on


@on("message")
async def change(ctx, text, channel):
    for change in (
        lambda: ctx.message.params.append("more"),
        lambda: setattr(ctx.message, "params", []),
        lambda: setattr(ctx.user, "nick", "other"),
        lambda: ctx.message.tags.update(more="more"),
        lambda: ctx.settings.update(more="more"),
        lambda: setattr(ctx.network, "name", "other"),
    ):
        try:
            change()
        except (AttributeError, TypeError):
            pass
