"""What a freshly executed plugin declares: its functions' marks as handlers, checked before anything goes live.

Counted are functions that are defined or were marked in the plugin's own modules, and methods of the classes there
whose name ends in `Module`: each such class is made once. A mistake (a signature that can't be called, two functions
of one name) is a `PluginError`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

from bot.api.arguments import Signature
from bot.api.declare import Command, Declaration, Every, Hook, Job, On, Rule, declarations
from bot.api.events import FIELDS
from bot.dispatch.limits import Limit
from bot.dispatch.owner import Owner
from bot.dispatch.scheduler import next_cron
from bot.dispatch.table import Handler
from bot.errors import PluginError
from bot.live.discover import PACKAGE, Unit


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin's declarations. `jobs` are periodic, `later` may be scheduled by name; hooks by kind."""

    handlers: tuple[Handler, ...] = ()
    jobs: tuple[Handler, ...] = ()
    later: Mapping[str, Handler] = None  # type: ignore[assignment]  # set below; a mapping has no frozen literal
    hooks: Mapping[str, tuple[Handler, ...]] = None  # type: ignore[assignment]
    commands: tuple[str, ...] = field(init=False)
    patterns: tuple[str, ...] = field(init=False)  # of its rules

    def __post_init__(self) -> None:
        object.__setattr__(self, "later", self.later or {})
        object.__setattr__(self, "hooks", self.hooks or {})
        # Not a property: every reload asks every plugin.
        names = tuple(h.declaration.name for h in self.handlers if isinstance(h.declaration, Command))
        object.__setattr__(self, "commands", names)
        rules = tuple(h.declaration.pattern for h in self.handlers if isinstance(h.declaration, Rule))
        object.__setattr__(self, "patterns", rules)


def find(
    unit: Unit,
    modules: Mapping[str, ModuleType],
    owner: Owner,
    marked: Mapping[str, Sequence[Callable[..., Any]]] = MappingProxyType({}),
) -> Found:
    """Collect what the modules of one plugin declare.

    Args:
        marked: by module, the functions that were marked while it executed. A wrapper of a shared decorator belongs
            by its `__module__` to that one, though the mark stands here.

    Raises:
        PluginError: a declaration that can't work.
    """
    handlers: list[Handler] = []
    jobs: list[Handler] = []
    later: dict[str, Handler] = {}
    hooks: dict[str, tuple[Handler, ...]] = {}
    names: dict[str, Handler] = {}
    for name, module in modules.items():
        for key, function in _declared(module, name.removeprefix(f"{PACKAGE}."), marked.get(name, ())):
            for number, declaration in enumerate(declarations(function), 1):
                # Each mark a key of its own: jobs keep their time under it, and effects are told apart by it.
                mark_key = key if number == 1 else f"{key}.{number}"
                handler = _handler(unit, name, mark_key, function, declaration, owner)
                match declaration:
                    case Every():
                        jobs.append(handler)
                    case Job():
                        later[key] = handler
                    case Hook(kind=kind):
                        hooks[kind] = (*hooks.get(kind, ()), handler)
                    case Command(name=command):
                        if command in names:
                            raise _error(
                                unit, name, function, f"!{command} stands here twice: {names[command].key}, {key}"
                            )
                        names[command] = handler
                        handlers.append(handler)
                    case _:
                        handlers.append(handler)
    return Found(tuple(handlers), tuple(jobs), later, hooks)


def _declared(
    module: ModuleType, prefix: str, marked: Sequence[Callable[..., Any]]
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in list(vars(module).items()):
        is_ours = getattr(value, "__module__", None) == module.__name__
        if not is_ours and not any(value is each for each in marked):
            continue
        if isinstance(value, type):
            if name.endswith("Module"):
                methods = [each for each in dir(value) if declarations(inspect.getattr_static(value, each, None))]
                instance = value() if methods else None
                for each in methods:
                    yield f"{prefix}.{name}.{each}", getattr(instance, each)
        elif declarations(value):
            yield f"{prefix}.{name}", value


def _handler(
    unit: Unit, module: str, key: str, function: Callable[..., Any], declaration: Declaration, owner: Owner
) -> Handler:
    plain = inspect.unwrap(getattr(function, "__func__", function))
    line = getattr(getattr(plain, "__code__", None), "co_firstlineno", 0)
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    signature: Signature | None = None
    limit: Limit | None = None
    wants: tuple[str, ...] = ()
    doc = inspect.getdoc(plain) or ""
    if isinstance(declaration, Command) and declaration.limit is None:
        signature = Signature.known(function)
        if signature is not None:
            return Handler(unit.name, key, function, declaration, owner, is_async, signature, help=doc, line=line)
    try:
        written = inspect.signature(function)
        parameters = list(written.parameters.values())
        if not parameters or parameters[0].kind not in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            raise TypeError(f"{function.__name__}() must take ctx as its first argument")
        match declaration:
            case Command(limit=text):
                signature = Signature.of(function, bound=False, written=written)
                limit = Limit.parse(text) if text else None
            case On(event=event):
                wants = _wanted(event, parameters[1:])
            case Rule(pattern=pattern):
                _check_groups(pattern, parameters[1:])
            case Every(cron=cron) if cron is not None:
                next_cron(cron, 0.0)
    except (TypeError, ValueError, NameError) as error:
        raise _error(unit, module, function, f"{type(error).__name__}: {error}") from error
    return Handler(unit.name, key, function, declaration, owner, is_async, signature, limit, wants, doc, line)


def _wanted(event: str, parameters: list[inspect.Parameter]) -> tuple[str, ...]:
    there = FIELDS["numeric" if event.isdigit() else event] | {"nick", "user"}
    wanted = []
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return tuple(sorted(there))
        if parameter.name not in there:
            if parameter.default is inspect.Parameter.empty:
                raise TypeError(f"the event {event} has no field {parameter.name!r}; it has {', '.join(sorted(there))}")
            continue
        wanted.append(parameter.name)
    return tuple(wanted)


def _check_groups(pattern: str, parameters: list[inspect.Parameter]) -> None:
    compiled = re.compile(pattern)
    kinds = {parameter.kind for parameter in parameters}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in compiled.groupindex:
            if name not in {parameter.name for parameter in parameters}:
                raise TypeError(f"the group {name!r} of the rule has no parameter of that name")
    if not compiled.groupindex and inspect.Parameter.VAR_POSITIONAL not in kinds:
        required = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
        if not required <= compiled.groups <= len(parameters):
            raise TypeError(
                f"the rule has {compiled.groups} groups and its function {len(parameters)} parameters for them"
            )


def _error(unit: Unit, module: str, function: Callable[..., Any], text: str) -> PluginError:
    plain = inspect.unwrap(getattr(function, "__func__", function))
    line = getattr(getattr(plain, "__code__", None), "co_firstlineno", 0)
    return PluginError(unit.name, unit.sources[module].shown, line, text)
