"""PyAV, which reads and writes videos: an optional library."""

from types import ModuleType

from bilayer_graph.errors import InputError


def load_av() -> ModuleType:
    """Return PyAV.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        remedy = 'pip install "bilayer_graph[video]", or pip install av'
        raise InputError("video", "PyAV", f"cannot be imported ({error})", remedy) from error
    return av
