"""The one error that bad input raises, and how it is said."""


class InputError(ValueError):
    """Input that cannot be used, said in one line so that the reader can mend it.

    Args:
        argument: Name of the argument, option or file field at fault.
        value: What was given.
        problem: Why it cannot be used.
        remedy: What to give instead.
    """

    def __init__(self, argument: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(one_line(f"{argument}={value!s}: {problem}. {remedy}."))
        self._parts = argument, str(value), problem, remedy

    @property
    def problem(self) -> str:
        """Why it cannot be used."""
        return self._parts[2]

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str, str]]:
        # From another process, exceptions come back by their arguments.
        return type(self), self._parts


def not_written(argument: str, path: object, error: Exception) -> InputError:
    """Return the error of a file or folder that the system did not let us write."""
    reason = getattr(error, "strerror", None) or error
    remedy = "Give a folder that can be written to, on a disk with space"
    return InputError(argument, path, f"cannot be written ({reason})", remedy)


def one_line(text: object) -> str:
    """Return a text, such as the name of a file, on one line that every terminal can print."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))
