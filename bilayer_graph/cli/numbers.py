"""Types of arguments that commands and scripts share."""

import argparse
import math
from pathlib import Path


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def count(text: str) -> int:
    """Return a whole number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def seed(text: str) -> int:
    """Return a whole number that random generators take as a seed."""
    number = count(text)
    if number >= 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not below 2^32")
    return number


def rate(text: str) -> float:
    """Return a positive finite number."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return number


def degrees(text: str) -> float:
    """Return a field of view."""
    number = float(text)
    if not 1 <= number <= 170:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 170 degrees")
    return number


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number


def picture_path(text: str) -> Path:
    """Return the path of a .png file, and make its folder before the work that goes into it."""
    return _path_to_write(text, ".png")


def json_path(text: str) -> Path:
    """Return the path of a .json file, and make its folder before the work that goes into it."""
    return _path_to_write(text, ".json")


def npz_path(text: str) -> Path:
    """Return the path of an .npz file, and make its folder before the work that goes into it."""
    return _path_to_write(text, ".npz")


def _path_to_write(text: str, suffix: str) -> Path:
    path = Path(text)
    if path.suffix != suffix or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no {suffix} file, give one to write to")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"the folder of {text} cannot be made ({error.strerror}), give another"
        raise argparse.ArgumentTypeError(problem) from error
    return path
