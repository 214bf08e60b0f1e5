"""Recover the bodies of everybody in a picture: meshes, skeletons and poses.

    python examples/recover_mesh.py
    python examples/recover_mesh.py --image photo.jpg --out out/photo

``bilayer-graph recover`` does the same for folders, keypoint files and large numbers of pictures.
"""

import argparse
from pathlib import Path

from bilayer_graph import Predictor

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--image", default=Path(__file__).parent / "sample/person.jpg")
parser.add_argument("--out", type=Path, default="out", help="folder for the results")
arguments = parser.parse_args()

people = Predictor.load()(arguments.image)
for number, person in enumerate(people):
    person.save(arguments.out if len(people) == 1 else arguments.out / f"person_{number}")
print(f"{len(people)} people recovered into {arguments.out}")
