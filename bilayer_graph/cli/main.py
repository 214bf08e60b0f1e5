"""From the words of a command line to an exit status."""

import argparse
import sys
from collections.abc import Callable, Sequence

from bilayer_graph.cli import evaluate, export, recover, train
from bilayer_graph.cli.allocator import keep_freed_memory
from bilayer_graph.errors import InputError

_COMMANDS = {"recover": recover, "train": train, "evaluate": evaluate, "export": export}


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: The command line without the program's name; that of the process if ``None``.

    Returns:
        Exit status: 0; 1 where some of the work failed and the rest is done; 2 for bad input; 130
        after an interruption.
    """
    about = "Bodies from pictures: recover them, train a model, measure or export one."
    parser = argparse.ArgumentParser(prog="bilayer-graph", description=about)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        first = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=first, description=first)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    keep_freed_memory()
    return exit_status(lambda: arguments.run(arguments))


def exit_status(run: Callable[[], int]) -> int:
    """Run something; turn bad input and an interruption into one line and an exit status."""
    try:
        return run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was done is kept", file=sys.stderr)
        return 130
