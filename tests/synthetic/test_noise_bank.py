"""A detector's errors come back exactly, for like poses, mirrored, swapped and seeded."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from bilayer_graph.body import COCO_LEFT_RIGHT
from bilayer_graph.errors import InputError
from bilayer_graph.synthetic import GeometrySamples, NoiseBank
from bilayer_graph.synthetic.detections import LIMBS
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.noise_bank import (
    Observations,
    limb_box,
    observe,
    read_observations,
    write_observations,
)

COUNT = 64
FLIP = torch.tensor([-1.0, 1.0])
LEFT_RIGHT = list(COCO_LEFT_RIGHT)


def people(count=COUNT, seed=0):
    """True keypoints, found ones with scores, visible, facing: all random."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 17, 2, generator=generator) * 200 + 50
    errors = 4 * torch.randn(count, 17, 2, generator=generator)
    scores = 0.3 + 0.6 * torch.rand(count, 17, 1, generator=generator)
    visible = torch.rand(count, 17, generator=generator) < 0.8
    facing = torch.ones(count, 17, dtype=torch.bool)
    facing[:, :5] = torch.rand(count, 5, generator=generator) < 0.6
    return points, torch.cat([points + errors, scores], dim=-1), visible & facing, facing


@pytest.fixture(scope="module")
def bank():
    return NoiseBank(observe(*people()))


def one_person_bank(points, found):
    seen = torch.ones(8, 17, dtype=torch.bool)
    return NoiseBank(observe(points.expand(8, -1, -1), found.expand(8, -1, -1), seen, seen))


def draws(count=1, seed=3):
    return Draws(seed, torch.arange(count))


def test_errors_scale_with_the_box_and_move_with_it():
    points, found, _, facing = people(1)
    moved = points * 3 - 70
    drawn = one_person_bank(points, found).detect(draws(), moved, torch.ones_like(facing))
    expected = moved + 3 * (found[..., :2] - points)
    torch.testing.assert_close(drawn.points, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(drawn.confidence, found[..., 2])
    assert not drawn.hidden.any()


def test_mirrored_person_gets_mirrored_errors():
    points, found, _, facing = people(1)
    mirrored = (points * FLIP)[:, LEFT_RIGHT]
    drawn = one_person_bank(points, found).detect(draws(), mirrored, torch.ones_like(facing))
    expected = (found[..., :2] * FLIP)[:, LEFT_RIGHT]
    torch.testing.assert_close(drawn.points, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(drawn.confidence, found[:, LEFT_RIGHT, 2])


def test_swapped_sides_stay_swapped_in_another_pose():
    points, found, _, facing = people(1)
    left, right = 15, 16
    error = torch.tensor([2.0, -1.0])
    points[0, left], points[0, right] = torch.tensor([60.0, 240.0]), torch.tensor([160.0, 240.0])
    found = torch.cat([points, found[..., 2:]], dim=-1)
    found[0, [left, right], :2] = points[0, [right, left]] + error
    other = points.clone()
    other[0, left, 0] += 30
    drawn = one_person_bank(points, found).detect(draws(), other, torch.ones_like(facing))
    scale = limb_box(other)[1] / limb_box(points)[1]
    expected = other[0, [right, left]] + scale * error
    torch.testing.assert_close(drawn.points[0, [left, right]], expected, atol=1e-3, rtol=0)


def test_nearest_entry_of_a_part_by_a_plain_loop(bank):
    points, _, _, facing = people(seed=1)
    entries = bank.nearest(draws(COUNT), points, facing)
    centre, side = limb_box(points)
    relative = (points - centre[:, None]) / side[:, None, None]
    compared = [*LIMBS, 0]
    for row, entry in enumerate(entries.tolist()):
        part = torch.arange(entry % 8, len(bank), 8)
        apart = (bank.entries.points[part] - relative[row])[:, compared].square().sum((1, 2))
        unlike = bank.entries.facing[part, :5] != facing[row, :5]
        assert entry == part[(apart + 0.01 * unlike.sum(1)).argmin()]
    assert len(torch.unique(entries % 8)) == 8


def test_draws_depend_on_seed_and_index_only(bank):
    points, _, _, facing = people()
    whole = bank.detect(draws(COUNT), points, facing)
    second = bank.detect(Draws(3, torch.arange(20, 40)), points[20:40], facing[20:40])
    for together, alone in zip(whole, second, strict=True):
        assert torch.equal(together[20:40], alone)
    other = bank.detect(draws(COUNT, seed=4), points, facing)
    assert not torch.equal(other.points, whole.points)


def test_pictures_without_the_person_are_counted_and_never_drawn():
    points, found, visible, facing = people()
    found[:16, :, 2] = 0
    found[16:32, :, :2] += 400
    bank = NoiseBank(observe(points, found, visible, facing))
    assert len(bank) == COUNT
    assert (bank.entries.scores > 0).all()


def test_file_keeps_everything_to_half_precision(tmp_path):
    seen = observe(*people())
    path = tmp_path / "bank.safetensors"
    write_observations(path, seen)
    assert path.stat().st_size < COUNT * 200 + 1000
    for kept, value in zip(read_observations(path), seen, strict=True):
        torch.testing.assert_close(kept.float(), value.float(), atol=2e-3, rtol=0)
    assert len(NoiseBank.load(path)) == 2 * COUNT


def test_file_of_another_kind_is_an_error(tmp_path):
    (tmp_path / "text").write_text("no bank")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(InputError, match="noise bank"):
            NoiseBank.load(path)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("points", torch.zeros(8, 17), r"points is \[8, 17\]"),
        ("points", torch.tensor(1.0), r"points is \[\]"),
        ("scores", torch.zeros(7, 17), r"of \[7, 8\] people"),
        ("errors", torch.full((8, 17, 2), torch.nan), "errors holds NaN"),
        ("scores", torch.zeros(8, 17, dtype=torch.int64), "scores is torch.int64"),
        ("scores", torch.zeros(8, 17, dtype=torch.complex64), "scores is torch.complex64"),
        ("flags", torch.zeros(8, 17), "flags is torch.float32"),
        ("more", torch.zeros(8), "no file of a detector's errors .*more"),
    ],
)
def test_a_tensor_that_does_not_fit(tmp_path, name, value, problem):
    write_observations(tmp_path / "bank", Observations(*(part[:8] for part in observe(*people()))))
    save_file({**load_file(tmp_path / "bank"), name: value}, tmp_path / "bank")
    with pytest.raises(InputError, match=rf"^noise bank=.*{problem}.*Make it with tools"):
        NoiseBank.load(tmp_path / "bank")


def test_too_few_pictures_are_an_error():
    with pytest.raises(InputError, match="observations"):
        NoiseBank(Observations(*(part[:7] for part in observe(*people()))))


def test_a_third_of_the_training_samples_come_from_the_bank(body, poses):
    index = torch.arange(4)
    seen = Observations(*(part[:8] for part in observe(*people())))
    # An error that nothing else makes: every keypoint far off, with one score.
    far = seen._replace(
        errors=torch.full((8, 17, 2), 3.0),
        scores=torch.full((8, 17), 0.625),
        swapped=torch.zeros(8, 17, dtype=torch.bool),
    )
    plain = GeometrySamples(body, index, poses, 300, 1)[0]
    mixed = GeometrySamples(body, index, poses, 300, 1, bank=NoiseBank(far))[0]
    drawn = (mixed["keypoints"][..., 2] == 0.625).all(1)
    assert 0.25 < drawn.float().mean() < 0.42
    assert torch.equal(mixed["keypoints"][~drawn], plain["keypoints"][~drawn])
