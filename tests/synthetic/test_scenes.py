"""Pictures agree with their labels: projection, visibility, floor and shadow."""

import pytest
import torch

from bilayer_graph.body.joints import COCO_TO_JOINTS
from bilayer_graph.body.reduced import ReducedBody
from bilayer_graph.synthetic import Scenes
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.figures import sample_figures
from bilayer_graph.synthetic.framing import Framing, sample_framing
from bilayer_graph.synthetic.ground import Pinhole, sample_ground
from bilayer_graph.synthetic.scenes import perspective_hits

SIZES = ((96, 96), (128, 72), (72, 128))
COUNT = 16


@pytest.fixture(scope="module")
def scenes(body, poses):
    return Scenes(body, poses, 100, SIZES, seed=7)


@pytest.fixture(scope="module")
def samples(scenes):
    return scenes.__getitems__(range(COUNT))


def test_types_ranges_and_sizes(samples):
    sizes = {tuple(sample["picture"].shape) for sample in samples}
    assert sizes == {(3, *size) for size in SIZES}
    for sample in samples:
        assert 0 <= sample["picture"].min() < sample["picture"].max() <= 1
        steps = sample["picture"] * 255
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
        assert all(torch.isfinite(value).all() for value in sample.values())


def test_sample_depends_on_seed_and_index_only(body, poses, scenes, samples):
    for index in (3, 11):
        alone = scenes[index]
        for name, value in samples[index].items():
            apart = (alone[name].float() - value.float()).abs()
            if name == "picture":
                assert (apart > 1.5 / 255).float().mean() < 1e-3
            else:
                assert apart.max() < 1e-3, name
    other = Scenes(body, poses, 100, SIZES, seed=8)[3]
    assert (other["betas"] - samples[3]["betas"]).abs().max() > 0.1


def test_index_outside_is_an_error(scenes):
    with pytest.raises(IndexError):
        scenes[100]


def test_keypoints_are_the_projected_joints_of_the_labelled_body(body, samples):
    reduced = ReducedBody(body, torch.tensor([0]))
    for sample in samples:
        bones = reduced.place(sample["rotations"][None], sample["betas"][None])
        torch.testing.assert_close(reduced.joints(bones)[0], sample["joints"], atol=1e-5, rtol=0)
        x, y, z = (sample["joints"] + sample["place"]).unbind(-1)
        height, width = sample["picture"].shape[-2:]
        pixels = torch.stack(
            [x / z * sample["focal"] + width / 2, y / z * sample["focal"] + height / 2], -1
        )
        found = sample["keypoints_true"][list(COCO_TO_JOINTS)]
        torch.testing.assert_close(found, pixels, atol=0.01, rtol=0)


def test_most_people_stand_upright_against_gravity(samples):
    for sample in samples:
        # Cameras look up or down by some 32 degrees at most, and are hardly tilted.
        torch.testing.assert_close(sample["up"].norm(), torch.tensor(1.0))
        assert sample["up"][1] < -0.75
        assert sample["posture"]
    height = [
        (sample["joints"][[8, 9]].mean(0) - sample["joints"][[0, 5]].mean(0)) @ sample["up"]
        for sample in samples
    ]
    assert (torch.stack(height) > 0.7).float().mean() > 0.6


def test_people_are_in_the_picture_from_small_to_cut_off(body, poses):
    draws = Draws(1, torch.arange(400))
    reduced = ReducedBody(body, torch.tensor([0]))
    points = reduced.keypoints(sample_figures(draws, poses, reduced).bones)
    points = sample_framing(draws, points, (300, 200)).project(points)
    size = torch.tensor([200, 300])
    share = ((points.amax(1) - points.amin(1)) / size).amax(1)
    assert share.min() > 0.2
    assert 0.03 < (share > 1).float().mean() < 0.4
    inside = ((points > 0) & (points < size)).all(-1)
    assert (inside.sum(1) >= 5).float().mean() > 0.95
    assert 0.1 < (~inside.all(1)).float().mean() < 0.5


def ray_depths(vertices, faces, pixels, focal, size):
    """Depth of the nearest face along the ray of each pixel (Moeller and Trumbore)."""
    middle = torch.tensor([size[1] / 2, size[0] / 2])
    rays = torch.cat([(pixels - middle) / focal, torch.ones(len(pixels), 1)], dim=1).double()
    a, b, c = vertices.double()[faces].unbind(1)
    edge, other = b - a, c - a
    across = torch.linalg.cross(rays[:, None], other[None])
    determinant = (edge * across).sum(-1)
    u = (-a * across).sum(-1) / determinant
    turned = torch.linalg.cross(-a, edge)
    v = (rays[:, None] * turned).sum(-1) / determinant
    depth = (other * turned).sum(-1) / determinant
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (determinant.abs() > 1e-15)
    return depth.masked_fill(~hit, torch.inf).amin(1).float()


def test_depth_and_weights_of_pixels_are_those_of_their_rays(body, poses):
    size = (40, 48)
    vertices = body.v_template * torch.tensor([1.0, -1.0, -1.0])
    framing = Framing(torch.tensor([[0.1, -0.2, 1.6]]), torch.tensor([40.0]), size)
    hits = perspective_hits(framing, vertices[None], body.faces)
    hits = hits._replace(**{name: part[::9] for name, part in hits._asdict().items()})
    centres = torch.stack([hits.pixel % size[1], hits.pixel // size[1]], -1) + 0.5
    depth = ray_depths(vertices + framing.place, body.faces, centres, 40.0, size)
    close = (depth - hits.depth).abs() < 2e-3
    assert close.float().mean() > 0.98  # the others pass through an edge
    corners = (vertices + framing.place)[body.faces[hits.face]]
    at = (corners * hits.barycentric.unsqueeze(-1)).sum(1)
    torch.testing.assert_close(at[:, 2], hits.depth, atol=1e-3, rtol=0)
    seen = at[:, :2] / at[:, 2:] * 40 + torch.tensor([24.0, 20.0])
    torch.testing.assert_close(seen, centres, atol=0.02, rtol=0)


def test_visible_agrees_with_rays_to_the_bare_body(body, samples):
    reduced = ReducedBody(body, torch.arange(6890))
    agree = []
    for sample in samples[:6]:
        size = sample["picture"].shape[-2:]
        points = sample["keypoints_true"]
        inside = ((points >= 0) & (points < torch.tensor([size[1], size[0]]))).all(1)
        assert not (sample["visible"] & ~inside).any()
        assert not (sample["visible"] & ~sample["facing"]).any()
        bones = reduced.place(sample["rotations"][None], sample["betas"][None])
        vertices = reduced.vertices(bones)[0] + sample["place"]
        true = reduced.keypoints(bones)[0, :, 2] + sample["place"][2]
        depth = ray_depths(vertices, body.faces, points, sample["focal"], size)
        open_air = inside & sample["facing"] & (depth > true - 0.12)
        # Occluders hide some more.
        agree.append((open_air | ~sample["visible"])[5:])
    assert torch.cat(agree).float().mean() > 0.95


def pinhole():
    up = torch.nn.functional.normalize(torch.tensor([[0.05, -1.0, -0.3]]), dim=1)
    return Pinhole(torch.tensor([60.0]), (60, 80), up, torch.tensor([-1.5]))


def test_floor_points_project_back_to_their_pixels():
    camera = pinhole()
    lamp = torch.tensor([[0.0, -1.0, 0.0]])
    ground = sample_ground(Draws(0, torch.arange(1)), camera, torch.rand(1, 50, 3) + 2, lamp, 2)
    up = camera.up[0]
    right = torch.nn.functional.normalize(torch.tensor([1.0, 0.0, 0.0]) - up[0] * up, dim=0)
    ahead = torch.linalg.cross(up, right)
    where = ground.there[0].nonzero()
    assert len(where) > 100
    across, away = ground.across[0][ground.there[0]], ground.away[0][ground.there[0]]
    points = across[:, None] * right + away[:, None] * ahead + camera.level * up
    assert (away > 0).all()
    pixels = points[:, :2] / points[:, 2:] * 60 + torch.tensor([40.0, 30.0])
    torch.testing.assert_close(pixels, where.flip(1) * 2 + 1.0, atol=1e-2, rtol=0)


def test_shadow_lies_under_the_lamp_and_nowhere_else():
    camera = pinhole()
    level, up = camera.level, camera.up
    foot = 4 * torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 1.0]) - up[0, 2] * up, dim=1)
    foot = foot + level * up
    ground = sample_ground(
        Draws(0, torch.arange(1)), camera, (foot + 0.4 * up).expand(1, 30, 3), up, 2
    )
    x, y = (foot[0, :2] / foot[0, 2] * 60 + torch.tensor([40.0, 30.0])).div(2).long().tolist()
    assert ground.light[0, y, x] < 0.97
    far = torch.ones(30, 40, dtype=torch.bool)
    far[max(y - 8, 0) : y + 9, max(x - 8, 0) : x + 9] = False
    assert (ground.light[0][far] == 1).all()
