"""Recover a body mesh, a 3D skeleton and a pose from a picture and its 2D keypoints.

    python examples/recover_mesh.py
    python examples/recover_mesh.py --image photo.jpg --keypoints photo.json --out out/photo

Without arguments it takes the picture that comes with the repository. Keypoints are COCO JSON
(17 joints), OpenPose JSON or .npy, in pixels of the picture. A folder of pictures works like one
picture: beside each one, or in the folder that --keypoints names, lies `NAME.json`, `NAME.npy` or
`NAME_keypoints.json`; or --keypoints is one COCO file for all.

Into --out go, for each person, `mesh.glb` and `mesh.obj` (y up, metres), `overlay.png` and
`prediction.npz`: `vertices`, the coarser `vertices_1723` and `vertices_431`, and `joints`, in
metres in camera axes (x right, y down, z forward), pelvis at the origin; `body_pose` [23, 3] and
`global_orient` [3] as axis-angle and `betas` of the body model; `smpl_vertices` posed by them;
`camera` (s, tx, ty) and `crop` (x, y, side in pixels), with which a point lands on pixel
`(x, y) + side / 2 * s * (X + t)`.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from bilayer_graph.body import BodyModel, matrix_to_axis_angle
from bilayer_graph.data.images import crop_image, list_images, read_image
from bilayer_graph.data.keypoints import keypoints_box, read_keypoints, to_crop
from bilayer_graph.data.overlay import overlay
from bilayer_graph.errors import InputError
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, load_model

SAMPLE = Path(__file__).parent / "sample"
BATCH_SIZE = 16
PANEL_SIZE = 384


@dataclass
class Person:
    """One person of one picture.

    Attributes:
        out: Folder for the results.
        image: Crop for the model, ``[3, S, S]``.
        panel: The same crop for the overlay, ``[3, 384, 384]``.
        keypoints: Crop coordinates and confidence, ``[12, 3]``.
        box: Centre x and y and side of the crop in pixels of the picture, ``[3]``.
    """

    out: Path
    image: Tensor
    panel: Tensor
    keypoints: Tensor
    box: Tensor


class Clock:
    """Adds up the seconds of each named step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.seconds.items())


def main() -> int:
    """Recover the people; return the exit status."""
    try:
        recover(parse_arguments())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image", type=Path, default=SAMPLE, help="picture, or folder of pictures")
    parser.add_argument(
        "--keypoints", type=Path, help="file or folder; default: beside the picture"
    )
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="checkpoint")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    devices = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--device", default=devices[0], choices=devices)
    return parser.parse_args()


def recover(arguments: argparse.Namespace) -> None:
    """Read, predict and write, batch by batch."""
    clock = Clock()
    make_folder(arguments.out)
    with clock.step("model"):
        body = BodyModel.load(arguments.body)
        model = load_model(arguments.weights, body).to(arguments.device)
        body = body.to(arguments.device)
    done, batch = 0, []
    for person in find_people(arguments, model.image_size, clock):
        batch.append(person)
        if len(batch) == BATCH_SIZE:
            done += process(batch, model, body, clock)
            batch = []
    if batch:
        done += process(batch, model, body, clock)
    if not done:
        raise InputError("--image", arguments.image, "nobody recovered", "Mend the errors above")
    people = "person" if done == 1 else "people"
    print(f"{done} {people} recovered into {arguments.out} ({clock})")


def make_folder(folder: Path) -> None:
    """Make a folder for results."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Give a folder that can be written to"
        raise InputError("--out", folder, f"cannot be made ({error.strerror})", remedy) from error


def find_people(arguments: argparse.Namespace, image_size: int, clock: Clock) -> Iterator[Person]:
    """Yield the people of every picture; in a folder, report a bad picture and go on."""
    folder = arguments.image.is_dir()
    paths = list_images(arguments.image) if folder else [arguments.image]
    for path in paths:
        out = arguments.out / path.stem if folder and len(paths) > 1 else arguments.out
        try:
            with clock.step("reading"):
                people = read_people(path, arguments.keypoints, out, image_size)
        except InputError as error:
            if not folder:
                raise
            print(f"skipped: {error}", file=sys.stderr)
            continue
        yield from people


def read_people(path: Path, keypoints: Path | None, out: Path, image_size: int) -> list[Person]:
    """Return the people of one picture, each with a folder of its own if they are several."""
    picture = read_image(path)
    found = read_keypoints(find_keypoints(path, keypoints), path)
    centres, sides = keypoints_box(found)
    people = []
    for number, (joints, centre, side) in enumerate(zip(found, centres, sides, strict=True)):
        points = to_crop(joints[:, :2], centre, side)
        people.append(
            Person(
                out if len(found) == 1 else out / f"person_{number}",
                crop_image(picture, centre, side, image_size),
                crop_image(picture, centre, side, PANEL_SIZE),
                torch.cat([points, joints[:, 2:]], dim=1),
                torch.cat([centre, side.view(1)]),
            )
        )
    return people


def find_keypoints(image: Path, keypoints: Path | None) -> Path:
    """Return the keypoint file of a picture."""
    if keypoints is not None and not keypoints.is_dir():
        return keypoints
    folder = image.parent if keypoints is None else keypoints
    names = [f"{image.stem}.json", f"{image.stem}.npy", f"{image.stem}_keypoints.json"]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    remedy = f"Give --keypoints FILE (COCO or OpenPose JSON, .npy), or put {names[0]} there"
    raise InputError("--keypoints", keypoints, f"no {', '.join(names)} in {folder}", remedy)


@torch.no_grad()
def process(batch: list[Person], model: BilayerHMR, body: BodyModel, clock: Clock) -> int:
    """Predict and write a batch of people; return their number."""
    device = body.v_template.device
    image = torch.stack([person.image for person in batch]).to(device)
    keypoints = torch.stack([person.keypoints for person in batch]).to(device)
    with clock.step("network"):
        out = model(image, keypoints)
        meshes = {mesh.size(1): mesh for mesh in model.upsample(out.vertices)}
        full = meshes.pop(body.v_template.size(0))
        posed = body(out.betas, out.body_pose, out.global_orient).vertices
        arrays = {
            "vertices": full,
            **{f"vertices_{size}": mesh for size, mesh in meshes.items()},
            "joints": out.joints,
            "body_pose": matrix_to_axis_angle(out.body_pose),
            "global_orient": matrix_to_axis_angle(out.global_orient),
            "betas": out.betas,
            "camera": out.camera,
            "smpl_vertices": posed,
        }
    results = {name: array.cpu() for name, array in arrays.items()}
    for row, person in enumerate(batch):
        make_folder(person.out)
        result = {name: array[row] for name, array in results.items()}
        with clock.step("meshes"):
            write_mesh(person.out, result["vertices"], body.faces.cpu())
            numbers = {name: array.numpy() for name, array in result.items()}
            np.savez(person.out / "prediction.npz", crop=person.box.numpy(), **numbers)
        with clock.step("overlay"):
            picture = overlay(
                person.panel,
                person.keypoints,
                result["vertices"],
                body.faces.cpu(),
                result["joints"],
                result["camera"],
            )
            picture.save(person.out / "overlay.png")
        print(f"{person.out}: mesh.glb, mesh.obj, prediction.npz, overlay.png")
    return len(batch)


def write_mesh(out: Path, vertices: Tensor, faces: Tensor) -> None:
    """Write ``mesh.glb`` and ``mesh.obj``, turned so that y is up."""
    upright = vertices.numpy() * np.array([1.0, -1.0, -1.0])
    mesh = trimesh.Trimesh(upright, faces.numpy(), process=False)
    mesh.export(out / "mesh.glb")
    mesh.export(out / "mesh.obj")


if __name__ == "__main__":
    sys.exit(main())
