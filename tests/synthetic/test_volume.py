"""Clothes and hair stand off the skin; bare skin stays where it is."""

import pytest
import torch

from bilayer_graph.body import BodyModel
from bilayer_graph.synthetic.clothes import Landmarks, Outfit
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.people import Painter
from bilayer_graph.synthetic.volume import sample_volume


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def people(body):
    draws = Draws(2, torch.arange(40))
    outfit = Outfit(draws, Landmarks(body))
    return outfit, sample_volume(draws, outfit, body.v_template)


def test_only_what_is_covered_moves(body, people):
    outfit, volume = people
    count = len(body.v_template)
    sample = torch.arange(40).repeat_interleave(count)
    on = outfit.cover(body.v_template.repeat(40, 1), sample)
    covered = (on.shirt | on.trousers | on.shoe | (on.hair > 0)).view(40, count)
    assert (volume[covered] > 0).float().mean() > 0.99
    assert (volume[~covered] == 0).all()
    assert 0.05 < volume.max() < 0.1
    # Hands and faces are bare in everybody.
    hands = body.v_template[:, 0].abs() > outfit.landmarks.wrist + 0.03
    assert hands.sum() > 500
    assert (volume[:, hands] == 0).all()


def test_widths_differ_between_people(people):
    _, volume = people
    widest = volume.amax(1)
    assert widest.min() < 0.03
    assert widest.max() > 2 * widest.min()


def test_dressed_surface_lies_outside_of_the_body_at_that_distance(body, people):
    _, volume = people
    vertices = body.v_template.expand(40, -1, -1)
    dressed = Painter(body).dress(Draws(2, torch.arange(40)), vertices)
    moved = dressed - vertices
    torch.testing.assert_close(moved.norm(dim=-1), volume, atol=1e-5, rtol=0)
    a, b, c = body.v_template[body.faces].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    outwards = (moved[:, body.faces].mean(2) * normal).sum(-1)
    far = volume[:, body.faces].amin(2) > 0.01
    assert (outwards[far] > 0).float().mean() > 0.995
