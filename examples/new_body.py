"""Train the whole bilayer model on a body of your own: here a quadruped that this script builds.

    pip install -e ".[train]"
    python examples/new_body.py

Nothing in the package is tied to people: the script makes a mesh, joints, skinning weights and
shapes of an animal, pictures of it, and trains the same model: picture and 2D joints in; skeleton,
mesh, camera and pose out. The defaults take five minutes on 2 CPU cores. Held-out errors in
millimetres over 1024 pictures, over seeds 0, 1 and 2:

    model                       MPJPE 117 to 124   PA-MPJPE 81 to 87   PVE 105 to 107
    mean body                         511                 403              510
    mean pose, true heading           152                 133              118

The last row is told which way the animal faces, which the model has to see for itself.
"""

import argparse
import math
import sys
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import igl
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bilayer_graph.body import BodyModel, Skeleton, axis_angle_to_matrix, project
from bilayer_graph.cli.numbers import picture_path, positive
from bilayer_graph.errors import InputError
from bilayer_graph.graphs.collapse import decimate
from bilayer_graph.models import BilayerHMR, ModelConfig, assemble_model
from bilayer_graph.render.clay import interpolate
from bilayer_graph.render.normals import Normals
from bilayer_graph.render.panels import overlay
from bilayer_graph.render.rasterizer import Hits, rasterize_hits
from bilayer_graph.synthetic.backgrounds import sample_backgrounds
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.light import Light
from bilayer_graph.synthetic.occluders import add_occluders
from bilayer_graph.synthetic.patterns import paint, sample_fabric
from bilayer_graph.synthetic.people import paint_pixels, see_joints
from bilayer_graph.synthetic.views import sample_cameras
from bilayer_graph.training import metrics
from bilayer_graph.training.evaluation import ERROR_NAMES, Batch, MeanBody, evaluate

try:
    import pytorch_lightning as pl

    from bilayer_graph.training.lightning import BilayerTraining
except ImportError as error:
    raise SystemExit(f'{error}. Training needs the extra: pip install -e ".[train]"') from error

Point = tuple[float, float, float]


class Joint(NamedTuple):
    """A skinning joint.

    Attributes:
        parent: Name of the joint that carries it.
        place: Metres; x left, y up, z front.
        turn: Degrees: mean about x, then standard deviations about x, y and z.
    """

    parent: str
    place: Point
    turn: tuple[float, float, float, float]


class Flesh(NamedTuple):
    """A round cone from a joint, or from ``start``, to ``end``; metres."""

    joint: str
    end: Point
    radius: float
    end_radius: float
    start: Point | None = None


JOINTS: dict[str, Joint] = {
    "pelvis": Joint("", (0, 0.80, -0.38), (0, 0, 0, 0)),
    "spine": Joint("pelvis", (0, 0.82, -0.05), (0, 6, 6, 4)),
    "chest": Joint("spine", (0, 0.82, 0.25), (0, 6, 6, 4)),
    "neck": Joint("chest", (0, 0.93, 0.42), (12, 28, 18, 5)),
    "head": Joint("neck", (0, 1.22, 0.60), (0, 16, 16, 6)),
    "tail": Joint("pelvis", (0, 0.86, -0.54), (0, 22, 25, 8)),
    "tail_end": Joint("tail", (0, 0.68, -0.66), (0, 18, 18, 8)),
    "left_shoulder": Joint("chest", (0.13, 0.74, 0.28), (0, 24, 5, 6)),
    "left_elbow": Joint("left_shoulder", (0.14, 0.50, 0.24), (-12, 16, 0, 3)),
    "left_wrist": Joint("left_elbow", (0.14, 0.27, 0.28), (18, 20, 0, 2)),
    "left_hip": Joint("pelvis", (0.12, 0.76, -0.38), (0, 24, 5, 6)),
    "left_knee": Joint("left_hip", (0.14, 0.53, -0.30), (12, 16, 0, 3)),
    "left_hock": Joint("left_knee", (0.14, 0.30, -0.46), (-12, 16, 0, 2)),
}
FLESH: tuple[Flesh, ...] = (
    Flesh("pelvis", (0, 0.82, -0.05), 0.165, 0.175),
    Flesh("pelvis", (0, 0.80, -0.46), 0.16, 0.13),
    Flesh("spine", (0, 0.81, 0.25), 0.175, 0.18),
    Flesh("chest", (0, 0.82, 0.34), 0.18, 0.15),
    Flesh("chest", (0, 0.93, 0.42), 0.16, 0.12),
    Flesh("neck", (0, 1.22, 0.60), 0.115, 0.075),
    Flesh("head", (0, 1.11, 0.86), 0.09, 0.048),
    Flesh("head", (0.10, 1.40, 0.53), 0.034, 0.02, start=(0.05, 1.27, 0.56)),
    Flesh("tail", (0, 0.68, -0.66), 0.04, 0.032),
    Flesh("tail_end", (0, 0.47, -0.70), 0.036, 0.03),
    Flesh("left_shoulder", (0.14, 0.50, 0.24), 0.09, 0.06),
    Flesh("left_elbow", (0.14, 0.27, 0.28), 0.055, 0.04),
    Flesh("left_wrist", (0.14, 0.04, 0.28), 0.037, 0.042),
    Flesh("left_hip", (0.14, 0.53, -0.30), 0.115, 0.07),
    Flesh("left_knee", (0.14, 0.30, -0.46), 0.065, 0.042),
    Flesh("left_hock", (0.14, 0.04, -0.42), 0.038, 0.042),
)
# Ends of the skeleton graph that are no skinning joints.
TIPS: dict[str, Point] = {
    "nose": (0, 1.11, 0.88),
    "tail_tip": (0, 0.47, -0.70),
    "left_fore_hoof": (0.14, 0.03, 0.28),
    "left_hind_hoof": (0.14, 0.03, -0.42),
}
# Joints of the skeleton graph in the order of its bones; the right side follows from the left.
CHAINS: tuple[str, ...] = (
    "nose head neck tail tail_tip",
    "neck left_shoulder left_elbow left_wrist left_fore_hoof",
    "tail left_hip left_knee left_hock left_hind_hoof",
)
VOXEL = 0.025
BLEND = 0.02
NUM_VERTICES = 1500
NETWORK_VERTICES = 360
IMAGE_SIZE = 96
# A joint is seen when at most this much flesh lies before it, in metres.
DEEPEST = 0.2
HELD_OUT_SEED, MEAN_SEED = 1_000_003, 1_000_004
MEAN_BATCHES, MEAN_BATCH_SIZE = 16, 64
SHOWN, PANEL_SIZE = 3, 240


def right(name: str) -> str:
    """Return the name of the same joint on the right side."""
    return name.replace("left_", "right_")


def mirror(point: Point) -> Point:
    """Return the same point on the right side."""
    return (-point[0], point[1], point[2])


# Middle joints are their own mirror images.
JOINTS |= {right(n): Joint(right(j.parent), mirror(j.place), j.turn) for n, j in JOINTS.items()}
TIPS |= {right(name): mirror(place) for name, place in TIPS.items()}
FLESH += tuple(
    Flesh(right(part.joint), mirror(part.end), *part[2:4], part.start and mirror(part.start))
    for part in FLESH
    if part.end[0]
)
CHAINS += tuple(right(chain) for chain in CHAINS[1:])


def build_body() -> BodyModel:
    """Build the quadruped: a closed mesh, joints, skinning weights and shape directions."""
    vertices, faces = build_mesh()
    names = list(JOINTS)
    near = np.exp(-flesh_distance(vertices) / BLEND)
    weights = np.stack(
        [near[:, [part.joint == name for part in FLESH]].max(axis=1) for name in names], axis=1
    )
    skeleton = build_skeleton()
    places = {name: joint.place for name, joint in JOINTS.items()}
    parents = [names.index(joint.parent) if joint.parent else -1 for joint in JOINTS.values()]
    arrays = {
        "v_template": vertices,
        "shapedirs": shape_directions(vertices),
        "J_regressor": regressor([places[name] for name in names], vertices),
        "joint_regressor": regressor([(places | TIPS)[name] for name in skeleton.names], vertices),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.array([parents, range(len(names))]),
        "f": faces,
    }
    return BodyModel(arrays, skeleton)


def build_skeleton() -> Skeleton:
    """Return the 21 joints of the skeleton graph and their bones."""
    chains = [chain.split() for chain in CHAINS]
    names = tuple(dict.fromkeys(name for chain in chains for name in chain))
    bones = tuple(
        (names.index(start), names.index(end)) for chain in chains for start, end in pairwise(chain)
    )
    return Skeleton(names, bones, root=(names.index("left_hip"), names.index("right_hip")))


def build_mesh() -> tuple[np.ndarray, np.ndarray]:
    """Return vertices [1500, 3] and faces of the skin: marching cubes, then decimation."""
    axes = [np.arange(low, high, VOXEL) for low, high in ((-0.35, 0.36), (-0.06, 1.5), (-0.82, 1))]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    grid = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    # A smooth minimum welds the parts.
    field = -BLEND * np.log(np.exp(-flesh_distance(grid) / BLEND).sum(axis=1))
    vertices, faces, _ = igl.marching_cubes(field, grid, *(len(axis) for axis in axes))
    return decimate(vertices, faces, NUM_VERTICES)


def flesh_distance(points: np.ndarray) -> np.ndarray:
    """Return the distance of points [P, 3] to the surface of each part, negative inside."""
    columns = []
    for part in FLESH:
        start = np.array(part.start or JOINTS[part.joint].place)
        axis = np.array(part.end) - start
        along = ((points - start) @ axis / (axis @ axis)).clip(0, 1)
        radius = part.radius + along * (part.end_radius - part.radius)
        columns.append(np.linalg.norm(points - start - along[:, None] * axis, axis=1) - radius)
    return np.stack(columns, axis=1)


def shape_directions(vertices: np.ndarray) -> np.ndarray:
    """Return [V, 3, 4]: long legs, a long body, a wide body, a long neck; metres a unit."""
    x, y, z = vertices.T
    zero = np.zeros_like(x)
    above = (y - 0.95).clip(0)
    directions = [
        (zero, 0.10 * (y - 0.7).clip(max=0), zero),
        (zero, zero, 0.08 * z),
        (0.12 * x, zero, zero),
        (zero, 0.16 * above, 0.08 * above),
    ]
    return np.stack([np.stack(direction, axis=1) for direction in directions], axis=2)


def regressor(points: list[Point], vertices: np.ndarray, nearest: int = 32) -> np.ndarray:
    """Return weights [J, V] of sum 1, as even as can be, that give points from near vertices."""
    matrix = np.zeros((len(points), len(vertices)))
    for row, point in zip(matrix, np.array(points), strict=True):
        near = np.linalg.norm(vertices - point, axis=1).argsort()[:nearest]
        system = np.vstack([vertices[near].T, np.ones(nearest)])
        even = np.full(nearest, 1 / nearest)
        row[near] = even + np.linalg.pinv(system) @ (np.append(point, 1) - system @ even)
    return matrix


class Quadrupeds(Dataset[Batch]):
    """Batches of rendered quadrupeds, with the entries of ``SyntheticBodies``.

    Args:
        body: The quadruped.
        batches: Number of batches.
        batch_size: Pictures a batch.
        seed: Seed of the dataset.
    """

    def __init__(self, body: BodyModel, batches: int, batch_size: int, seed: int) -> None:
        self.body, self.batches, self.batch_size, self.seed = body, batches, batch_size, seed
        self.normals = Normals(body.faces, len(body.v_template))
        turn = torch.tensor([JOINTS[name].turn for name in JOINTS]).deg2rad()
        self.mean = F.pad(turn[:, :1], (0, 2))
        self.spread = turn[:, 1:]

    def __len__(self) -> int:
        return self.batches

    @torch.no_grad()
    def __getitem__(self, index: int) -> Batch:
        draws, sample = self.pose(index)
        image, seen = self.render(draws, sample)
        return {**sample, "image": image, "keypoints": detect(draws, sample, seen)}

    def pose(self, index: int) -> tuple[Draws, Batch]:
        """Return the random numbers of a batch, and its bodies and cameras."""
        first = range(self.batches)[index] * self.batch_size
        draws = Draws(self.seed, torch.arange(first, first + self.batch_size))
        betas = draws.normal("betas", self.body.shapedirs.size(-1)).clamp(-2, 2)
        turn = draws.normal("pose", *self.mean.shape).clamp(-2, 2)
        pose = axis_angle_to_matrix(self.mean + self.spread * turn)[:, 1:]
        orient = sample_headings(draws)
        vertices = self.body(betas, pose, orient).vertices
        joints = self.body.joints(vertices)
        camera = sample_cameras(draws, joints)
        return draws, {
            "vertices": vertices,
            "joints": joints,
            "keypoints_true": project(joints, camera),
            "camera": camera,
            "global_orient": orient,
            "body_pose": pose,
            "betas": betas,
        }

    def render(self, draws: Draws, sample: Batch) -> tuple[Tensor, Tensor]:
        """Return pictures [B, 3, S, S], and which joints [B, J] are seen in them."""
        vertices, half = sample["vertices"], IMAGE_SIZE / 2
        pixels = (project(vertices, sample["camera"]) + 1) * half
        hits = rasterize_hits(pixels, vertices[..., 2], self.body.faces, IMAGE_SIZE, IMAGE_SIZE)
        image = sample_backgrounds(draws, IMAGE_SIZE)
        paint_pixels(image, hits, self.colours(draws, vertices, hits))
        image, covered = add_occluders(draws, image, sample["keypoints_true"])
        places, depth = (sample["keypoints_true"] + 1) * half, sample["joints"][..., 2]
        deepest = torch.full(depth.shape[1:], DEEPEST)
        return image, see_joints(hits, covered, places, depth, deepest)

    def colours(self, draws: Draws, vertices: Tensor, hits: Hits) -> Tensor:
        """Return the lit colours [P, 3] of the covered pixels: a coat, and socks of another."""
        rest = self.body.v_template.expand_as(vertices)
        _, height, along = interpolate(rest, self.body.faces, hits).unbind(-1)
        coat, socks = (
            paint(sample_fabric(draws, name), hits.picture, along, height)
            for name in ("coat", "socks")
        )
        border = draws.uniform("border", low=0.05, high=0.4).take(hits.picture)
        colour = torch.where((height < border).unsqueeze(-1), socks, coat)
        normal = interpolate(self.normals(vertices), self.body.faces, hits)
        return (colour * Light(draws)(F.normalize(normal, dim=-1), hits.picture)).clamp(0, 1)


def sample_headings(draws: Draws) -> Tensor:
    """Return rotations [B, 3, 3] from body to camera axes: any heading, seen from about its height.

    ``data.views.sample_orientations`` does this for people, who also lie down.
    """
    flat = torch.zeros(len(draws))
    heading = draws.uniform("heading", low=-math.pi, high=math.pi)
    pitch = draws.uniform("pitch", low=-0.1, high=0.4)
    around = axis_angle_to_matrix(torch.stack([flat, heading, flat], dim=-1))
    above = axis_angle_to_matrix(torch.stack([pitch, flat, flat], dim=-1))
    return above @ torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ around


def detect(draws: Draws, sample: Batch, seen: Tensor) -> Tensor:
    """Return joints as a detector finds them, [B, J, 3]: x, y and confidence; zeros if missed."""
    true = sample["keypoints_true"]
    error = 0.02 * draws.normal("error", true.size(1), 2) * torch.where(seen, 1.0, 2.5)[..., None]
    confidence = torch.where(seen, 0.9, 0.6) - 2 * error.norm(dim=-1)
    found = torch.cat([(true + error).clamp(-1, 1), confidence.clamp_min(0.05)[..., None]], dim=-1)
    missed = draws.uniform("missed", true.size(1)) < torch.where(seen, 0.02, 0.15)
    missed = missed | (true.abs() > 1).any(-1)
    return found.masked_fill(missed[..., None], 0.0)


def main() -> int:
    """Build, train, measure and draw; return the exit status."""
    try:
        run(parse_arguments())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=positive, default=1500, help="optimisation steps")
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--lr", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--held-out", type=positive, default=1024, help="held-out pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=picture_path, default="out/new_body.png", help="picture")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    """Train on fresh pictures, measure on held-out ones and draw some of them."""
    pl.seed_everything(arguments.seed)
    body = build_body()
    config = ModelConfig(
        backbone="plain",
        image_size=IMAGE_SIZE,
        num_vertices=NETWORK_VERTICES,
        channels=128,
        num_blocks=3,
        hidden=256,
    )
    model = assemble_model(config, body)
    size = arguments.batch_size
    training_set = Quadrupeds(body, arguments.steps, size, arguments.seed)
    trainer = pl.Trainer(
        max_epochs=1, gradient_clip_val=1.0, logger=False, enable_checkpointing=False
    )
    task = BilayerTraining(model, body, arguments.lr, arguments.steps)
    trainer.fit(task, DataLoader(training_set, batch_size=None))
    model.eval()
    held_out = Quadrupeds(body, -(-arguments.held_out // size), size, HELD_OUT_SEED)
    print_errors(model, body, held_out)
    picture = draw(model, body, held_out[0])
    picture.quantize(256, Image.Quantize.MAXCOVERAGE).save(arguments.out, optimize=True)
    print(f"Picture: {arguments.out}")


def print_errors(model: BilayerHMR, body: BodyModel, held_out: Quadrupeds) -> None:
    """Print the held-out errors of the model and of two answers that do not look for the pose."""
    drawn = bodies(Quadrupeds(body, MEAN_BATCHES, MEAN_BATCH_SIZE, MEAN_SEED))
    mean = MeanBody(drawn["joints"].mean(0), drawn["vertices"].mean(0), body.skeleton.root)
    rows = evaluate(model, body, DataLoader(held_out, batch_size=None), mean)
    rows["mean pose, true heading"] = mean_pose_errors(body, drawn, bodies(held_out))
    print(f"Held-out errors in mm over {len(held_out) * held_out.batch_size} pictures (median)")
    for name, errors in rows.items():
        cells = [
            f"{ERROR_NAMES[key]} {error.mean():.1f} ({error.median():.1f})"
            for key, error in errors.items()
        ]
        print(f"  {name}: " + ", ".join(cells))


def bodies(dataset: Quadrupeds) -> Batch:
    """Return the bodies of all samples of a dataset."""
    batches = [dataset.pose(index)[1] for index in range(len(dataset))]
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def mean_pose_errors(body: BodyModel, drawn: Batch, held_out: Batch) -> Batch:
    """Return the errors of the mean pose, told how the body is turned to the camera."""
    turned = {
        name: (drawn[name] @ drawn["global_orient"]).mean(0) @ held_out["global_orient"].mT
        for name in ("joints", "vertices")
    }
    return {
        "mpjpe": metrics.mpjpe(turned["joints"], held_out["joints"], body.skeleton.root),
        "pa_mpjpe": metrics.pa_mpjpe(turned["joints"], held_out["joints"]),
        "pve": metrics.pve(turned["vertices"], held_out["vertices"]),
    }


def project_person(camera: Tensor, points: Tensor) -> Tensor:
    """Return crop coordinates ``[N, 2]`` of points ``[N, 3]``."""
    return project(points[None], camera[None])[0]


@torch.no_grad()
def draw(model: BilayerHMR, body: BodyModel, batch: Batch) -> Image.Image:
    """Return a row for each of some samples: input and 2D joints, overlay, two other views."""
    out = model(batch["image"], batch["keypoints"])
    full = model.upsample(out.vertices)[-1]
    panels = F.interpolate(batch["image"], PANEL_SIZE, mode="bilinear")
    rows = [
        overlay(
            panels[row],
            batch["keypoints"][row],
            full[row],
            body.faces,
            out.joints[row],
            partial(project_person, out.camera[row]),
            body.skeleton,
        )
        for row in range(min(SHOWN, len(full)))
    ]
    picture = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for place, row in enumerate(rows):
        picture.paste(row, (0, place * PANEL_SIZE))
    return picture


if __name__ == "__main__":
    sys.exit(main())
