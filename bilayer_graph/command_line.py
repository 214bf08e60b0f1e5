"""Types of arguments that the scripts share."""

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def picture_path(text: str) -> Path:
    """Return the path of a .png file, and make its folder before the work that goes into it."""
    path = Path(text)
    if path.suffix != ".png" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no .png file, give one to write to")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"the folder of {text} cannot be made ({error.strerror}), give another"
        raise argparse.ArgumentTypeError(problem) from error
    return path
