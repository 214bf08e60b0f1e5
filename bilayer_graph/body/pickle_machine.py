"""A pickle's instructions, run on plain data: nothing is imported, no class is built.

Python's own unpickler hands what a file says to the constructors of real classes, and NumPy's
follow forged pointers. Here an object is a :class:`StandIn` that keeps what the file says of it.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any

from bilayer_graph.body.field_error import one_line
from bilayer_graph.body.pickle_literals import LITERALS, PickleBytes, PickleError

MAX_STEPS = 1_000_000
"""Instructions that a pickle may have; SMPL's own have some thousands."""

_MAX_ARGUMENTS = 8
_MARK = object()


class StandIn:
    """A stand-in for an object of a class that must not run."""

    state: Any = None


class RefusedNameError(PickleError):
    """A pickle that asks for a class or function that is not on the list."""


def run_pickle(content: bytes, names: Mapping[tuple[str, str], Callable[..., Any]]) -> object:
    """Return what a pickle holds, with a stand-in for each object.

    Dictionaries keep their text keys only, and sets become lists: nothing is ever hashed or
    compared that the file made up.

    Args:
        content: The pickle.
        names: What each class or function that may be named is replaced by: something that
            takes the arguments and returns plain data or a :class:`StandIn`. It must keep the
            arguments as they are: a few bytes can ask for the same copy a million times.

    Raises:
        PickleError: If it is truncated or damaged, or has an instruction that no body file needs.
        RefusedNameError: If it asks for a name that is not in ``names``.
    """
    try:
        return _Machine(content, names).run()
    except PickleError:
        raise
    except Exception as error:  # instructions in a wrong order can raise anything
        raise PickleError(one_line(error)) from error


class _Machine:
    def __init__(self, content: bytes, names: Mapping[tuple[str, str], Callable[..., Any]]) -> None:
        self.source = PickleBytes(content)
        self.names = names
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        for _ in range(MAX_STEPS):
            code = self.source.take(1)
            if code == pickle.STOP:
                return self.pop()
            if code in LITERALS:
                self.stack.append(LITERALS[code](self.source))
            elif code in _STEPS:
                _STEPS[code](self)
            else:
                raise PickleError(f"the instruction {code!r}")
        raise PickleError(f"more than {MAX_STEPS} instructions")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("a value is missing")
        return value

    def pop_to_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def look_up(self, module: object, name: object) -> Callable[..., Any]:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("a name that is no text")
        if (module, name) not in self.names:
            raise RefusedNameError(one_line(f"{module[:60]}.{name[:60]}"))
        return self.names[module, name]

    def call(self, function: object, arguments: object) -> None:
        # Nothing on the stack can be called but what look_up put there.
        if not callable(function) or not isinstance(arguments, tuple):
            raise PickleError("a call of something that is no function")
        if len(arguments) > _MAX_ARGUMENTS:
            raise PickleError(f"a call with {len(arguments)} arguments")
        self.stack.append(function(*arguments))


def _extend(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise PickleError("it appends to something that is no list")
    target.extend(values)


def _set_items(machine: _Machine, flat: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict) or len(flat) % 2:
        raise PickleError("it sets items of something that is no dictionary")
    pairs = zip(flat[::2], flat[1::2], strict=True)
    target.update((key, value) for key, value in pairs if isinstance(key, str))


def _make_dict(machine: _Machine) -> None:
    flat = machine.pop_to_mark()
    machine.stack.append({})
    _set_items(machine, flat)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _tuple_of(size: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        values = [machine.pop() for _ in range(size)]
        machine.stack.append(tuple(reversed(values)))

    return step


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.stack.append(machine.look_up(module, name))


def _named(machine: _Machine) -> Callable[..., Any]:
    module, name = machine.source.line(), machine.source.line()
    return machine.look_up(module.decode(), name.decode())


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.call(function, arguments)


def _instance(machine: _Machine) -> None:
    function = _named(machine)
    machine.call(function, tuple(machine.pop_to_mark()))


def _object(machine: _Machine) -> None:
    function, *arguments = machine.pop_to_mark()
    machine.call(function, tuple(arguments))


def _build(machine: _Machine) -> None:
    state = machine.pop()
    target = machine.stack[-1]
    if not isinstance(target, StandIn):
        raise PickleError("it sets the state of something that is no object")
    target.state = state


def _push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(value(machine))


def _place(source: PickleBytes) -> int:
    return int(source.digits())


def _byte(source: PickleBytes) -> int:
    return int(source.number("<B"))


def _long(source: PickleBytes) -> int:
    return int(source.number("<I"))


def _put(place: Callable[[PickleBytes], int]) -> Callable[[_Machine], None]:
    # A dictionary, where Python's own list would grow to the largest place that is named.
    return lambda machine: machine.memo.update({place(machine.source): machine.stack[-1]})


def _get(place: Callable[[PickleBytes], int]) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.memo[place(machine.source)])


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: lambda machine: machine.source.take(1),
    pickle.FRAME: lambda machine: machine.source.take(8),
    pickle.MARK: _push(lambda machine: _MARK),
    pickle.POP: lambda machine: machine.stack.pop(),
    pickle.POP_MARK: _Machine.pop_to_mark,
    pickle.DUP: _push(lambda machine: machine.stack[-1]),
    pickle.PUT: _put(_place),
    pickle.BINPUT: _put(_byte),
    pickle.LONG_BINPUT: _put(_long),
    pickle.MEMOIZE: lambda machine: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    pickle.GET: _get(_place),
    pickle.BINGET: _get(_byte),
    pickle.LONG_BINGET: _get(_long),
    pickle.LIST: _push(_Machine.pop_to_mark),
    pickle.FROZENSET: _push(_Machine.pop_to_mark),
    pickle.APPEND: lambda machine: _extend(machine, [machine.pop()]),
    pickle.APPENDS: lambda machine: _extend(machine, machine.pop_to_mark()),
    pickle.ADDITEMS: lambda machine: _extend(machine, machine.pop_to_mark()),
    pickle.DICT: _make_dict,
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: lambda machine: _set_items(machine, machine.pop_to_mark()),
    pickle.TUPLE: _push(lambda machine: tuple(machine.pop_to_mark())),
    pickle.TUPLE1: _tuple_of(1),
    pickle.TUPLE2: _tuple_of(2),
    pickle.TUPLE3: _tuple_of(3),
    pickle.GLOBAL: _push(_named),
    pickle.STACK_GLOBAL: _stack_global,
    pickle.INST: _instance,
    pickle.OBJ: _object,
    pickle.NEWOBJ: _reduce,
    pickle.REDUCE: _reduce,
    pickle.BUILD: _build,
}
