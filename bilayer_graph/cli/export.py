"""Write the model, and the detector, as ONNX files."""

import argparse
from pathlib import Path

from bilayer_graph.body import BodyModel
from bilayer_graph.cli.messages import say
from bilayer_graph.detection import MoveNetDetector
from bilayer_graph.export import PRECISIONS, export_detector, export_model
from bilayer_graph.models import SHIPPED_WEIGHTS, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--onnx", type=onnx_path, required=True, metavar="FILE", help="to write")
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="checkpoint")
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of the model's features"
    )
    parser.add_argument(
        "--detector", action="store_true", help="also FILE_finder.onnx and FILE_refiner.onnx"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export; return the exit status."""
    path: Path = arguments.onnx
    model = load_model(arguments.weights, BodyModel.load(arguments.body))
    export_model(model, path, arguments.precision)
    written = [path]
    if arguments.detector:
        written += [path.with_stem(f"{path.stem}_{part}") for part in ("finder", "refiner")]
        export_detector(MoveNetDetector.load(), *written[1:])
    for file in written:
        say(f"wrote {file}, {file.stat().st_size / 2**20:.1f} MB")
    return 0


def onnx_path(text: str) -> Path:
    """Return the path of an .onnx file."""
    path = Path(text)
    if path.suffix != ".onnx" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no .onnx file, give one to write to")
    return path
