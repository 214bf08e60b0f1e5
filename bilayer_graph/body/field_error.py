"""What is wrong with a field of a body, before it is known where the field came from."""


class FieldError(ValueError):
    """A body that cannot be used; whoever knows its source makes an InputError of it.

    Args:
        problem: Why it cannot be used, in one short line.
        remedy: What to give instead, where the general remedy would not help.
    """

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        super().__init__(problem)
        self.remedy = remedy


def one_line(error: object) -> str:
    """Return a foreign message short and on one line: damaged files put anything into it."""
    return ascii(" ".join(str(error).split()))[1:-1][:120] or type(error).__name__
