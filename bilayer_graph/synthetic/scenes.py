"""Whole pictures in true perspective: a dressed person anywhere in them, and what is visible."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from bilayer_graph.body import BodyModel
from bilayer_graph.body.joints import COCO_NAMES
from bilayer_graph.body.reduced import ReducedBody
from bilayer_graph.render.rasterizer import Hits, rasterize_hits
from bilayer_graph.synthetic.backgrounds import sample_backgrounds
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.figures import facing, sample_figures
from bilayer_graph.synthetic.framing import Framing, sample_framing
from bilayer_graph.synthetic.ground import Ground, Pinhole, sample_ground
from bilayer_graph.synthetic.light import Light
from bilayer_graph.synthetic.occluders import add_occluders
from bilayer_graph.synthetic.people import Painter, paint_pixels, see_joints
from bilayer_graph.synthetic.pose_bank import PoseBank
from bilayer_graph.synthetic.sensor import Sensor

SIZES = (
    *((256, 256), (320, 320), (384, 384), (320, 240), (240, 320), (427, 320)),
    *((320, 427), (512, 384), (360, 640), (480, 640), (640, 480)),
)
"""Heights and widths of pictures in pixels."""

# Pictures rendered together: larger blocks fall out of a CPU's cache.
_BLOCK = 8
# A joint is seen when at most this much flesh and cloth lies before it, in metres.
_FLESH = {"hip": 0.22, "shoulder": 0.17, "knee": 0.14, "elbow": 0.12, "ankle": 0.13, "wrist": 0.1}
_FACE_FLESH = 0.07


class Scenes(Dataset[dict[str, Tensor]]):
    """Pictures of one person each, on the CPU: sample ``i`` depends on ``seed`` and ``i`` only.

    Args:
        body: The body.
        poses: Where the poses come from.
        size: Number of samples.
        picture_sizes: Heights and widths in pixels to choose from, up to 768.
        seed: Seed of the samples.

    Sample (float32, camera axes x right, y down, z forward):
        - ``picture`` ``[3, H, W]``: RGB in [0, 1], in steps of 1/255.
        - ``keypoints_true`` ``[17, 2]``: in pixels, COCO's order, also where outside.
        - ``visible`` ``[17]`` bool: inside the picture, not behind an occluder nor another part of
          the body.
        - ``facing`` ``[17]`` bool: not hidden by the head.
        - ``joints`` ``[12, 3]``: metres, the pelvis at the origin.
        - ``rotations`` ``[24, 3, 3]``: of the bones in camera axes; ``betas`` ``[10]``.
        - ``up`` ``[3]``: against gravity. ``posture`` ``[]`` bool: whether the pose is one of the
          sampler's everyday postures.
        - ``place`` ``[3]``: where the pelvis is, metres. ``focal`` ``[]``: focal length in pixels;
          the principal point is the middle of the picture.
    """

    def __init__(
        self,
        body: BodyModel,
        poses: PoseBank,
        size: int,
        picture_sizes: Sequence[tuple[int, int]] = SIZES,
        seed: int = 0,
    ) -> None:
        self.body = ReducedBody(body, torch.arange(len(body.v_template)))
        self.faces = body.faces
        self.poses = poses
        self.size = size
        self.picture_sizes = tuple(picture_sizes)
        self.seed = seed
        self._painter = Painter(body)
        self._sensor = Sensor(body.v_template.device)
        kinds = [name.split("_")[-1] for name in COCO_NAMES]
        self._flesh = torch.tensor([_FLESH.get(kind, _FACE_FLESH) for kind in kinds])

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    @torch.no_grad()
    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Render samples, those of one picture size together.

        Raises:
            IndexError: If an index is outside the dataset.
        """
        wanted = torch.tensor([range(self.size)[index] for index in indices])
        kind = Draws(self.seed, wanted).integer("picture size", len(self.picture_sizes))
        samples: dict[int, dict[str, Tensor]] = {}
        for number, size in enumerate(self.picture_sizes):
            for places in (kind == number).nonzero().squeeze(1).split(_BLOCK):
                block = self._block(Draws(self.seed, wanted[places]), size)
                for row, place in enumerate(places.tolist()):
                    samples[place] = {name: values[row] for name, values in block.items()}
        return [samples[place] for place in range(len(indices))]

    def _block(self, draws: Draws, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the samples of one picture size, collated."""
        if len(draws) == 0:
            return {}
        figures = sample_figures(draws, self.poses, self.body)
        bones = figures.bones
        points = self.body.keypoints(bones)
        framing = sample_framing(draws, points, size)
        picture, visible = self._render(
            draws, framing, figures.up, self.body.vertices(bones), points
        )
        front = facing(bones.turn)
        return {
            "picture": picture,
            "keypoints_true": framing.project(points),
            "visible": visible & front,
            "facing": front,
            "joints": self.body.joints(bones),
            "rotations": bones.turn,
            "betas": figures.betas,
            "up": figures.up,
            "posture": figures.posture,
            "place": framing.place,
            "focal": framing.focal,
        }

    def _render(
        self, draws: Draws, framing: Framing, up: Tensor, vertices: Tensor, points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Render pictures ``[B, 3, H, W]``, and say which keypoints ``[B, 17]`` they show."""
        height, width = framing.size
        pixels = framing.project(points)
        vertices = self._painter.dress(draws, vertices)
        hits = perspective_hits(framing, vertices, self.faces)
        ground = _ground(draws, framing, up, vertices)
        picture = sample_backgrounds(draws, height, width, ground)
        paint_pixels(picture, hits, self._painter(draws, vertices, hits))
        half = max(height, width) / 2
        box = (pixels.amax(1) - pixels.amin(1)).amax(-1)
        picture, covered = add_occluders(
            draws, picture, (pixels - framing.middle) / half, 0.7 * box / half
        )
        depth = points[..., 2] + framing.place[:, 2:]
        visible = see_joints(hits, covered, pixels, depth, self._flesh)
        return self._sensor(draws, picture), visible


def _ground(draws: Draws, framing: Framing, up: Tensor, vertices: Tensor) -> Ground:
    """Return the floor under the lowest point of each person; ``up`` ``[B, 3]`` is its normal."""
    people = vertices + framing.place.unsqueeze(1)
    level = (people * up.unsqueeze(1)).sum(-1).amin(1)
    camera = Pinhole(framing.focal, framing.size, up, level)
    return sample_ground(draws, camera, people, Light(draws).directions[:, 0], step=2)


def perspective_hits(framing: Framing, vertices: Tensor, faces: Tensor) -> Hits:
    r"""Return what the pixels of perspective pictures see.

    :math:`-1/z` is affine in the picture where :math:`z` is not, and grows with it: the depth
    buffer holds it. The weights of the corners become :math:`w_k / z_k` over their sum.

    Args:
        framing: The cameras.
        vertices: Meshes around the origin of the framing, ``[B, V, 3]``.
        faces: ``[F, 3]``.

    Returns:
        Hits with the depth in metres from the camera.
    """
    inverse = -1 / (vertices[..., 2] + framing.place[:, 2:])
    hits = rasterize_hits(framing.project(vertices), inverse, faces, *framing.size)
    corners = faces.index_select(0, hits.face) + (hits.picture * vertices.shape[1]).unsqueeze(-1)
    weights = F.normalize(hits.barycentric * inverse.take(corners).abs(), p=1.0, dim=1)
    return hits._replace(barycentric=weights, depth=-1 / hits.depth)
