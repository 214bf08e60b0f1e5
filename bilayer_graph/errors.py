"""The one error that bad input raises."""


class InputError(ValueError):
    """Input that cannot be used, said so that the reader can mend it.

    Args:
        argument: Name of the argument, option or file field at fault.
        value: What was given.
        problem: Why it cannot be used.
        remedy: What to give instead.
    """

    def __init__(self, argument: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{argument}={value!s}: {problem}. {remedy}.")
