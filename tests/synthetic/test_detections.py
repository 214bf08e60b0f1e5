"""What a detector gets wrong: how far, how often, and with which confidence."""

import pytest
import torch

from bilayer_graph.body import COCO_LEFT_RIGHT, COCO_NAMES, COCO_TO_JOINTS
from bilayer_graph.synthetic import detections
from bilayer_graph.synthetic.detections import Detections, crop_box, detect, perfect
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.testing import assert_close

COUNT = 20_000
DRAWS = Draws(3, torch.arange(COUNT))
LIMBS = list(COCO_TO_JOINTS)
FACE = [place for place in range(17) if place not in LIMBS]
WRISTS = [COCO_NAMES.index(f"{side}_wrist") for side in ("left", "right")]
# A person of one size with all keypoints apart, the longer side of the limbs' box 1.
POINTS = torch.tensor(
    [
        *((0.5, 0.1), (0.53, 0.07), (0.47, 0.07), (0.57, 0.09), (0.43, 0.09)),
        *((0.62, 0.2), (0.38, 0.2), (0.66, 0.4), (0.34, 0.4), (0.7, 0.6), (0.3, 0.6)),
        *((0.57, 0.6), (0.43, 0.6), (0.56, 0.9), (0.44, 0.9), (0.55, 1.2), (0.45, 1.2)),
    ]
).expand(COUNT, 17, 2)
BOX = 1.15
EVERYWHERE = torch.ones(COUNT, 17, dtype=torch.bool)


@pytest.fixture
def nothing_but(monkeypatch):
    """Only the errors that a test asks for."""

    def leave(**shares):
        none = {"_OCCLUDED_SHARE", "_TRUNCATED_SHARE", "_CLEAN_SHARE", "_FACELESS_SHARE"}
        for name in none:
            monkeypatch.setattr(detections, name, shares.get(name, 0.0))

    return leave


def nearest_keypoint(found):
    """Which true keypoint lies nearest to each that was found, [B, 17]."""
    return torch.cdist(found, POINTS).argmin(-1)


def test_what_comes_out_is_finite_and_in_range():
    found = detect(DRAWS, POINTS, EVERYWHERE)
    assert found.points.isfinite().all()
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1
    assert (found.confidence[found.confidence > 0] >= 0.4 * 0.03 - 1e-6).all()


def test_a_share_of_the_pictures_is_clean(nothing_but):
    nothing_but(_CLEAN_SHARE=0.15)
    found = detect(DRAWS, POINTS, EVERYWHERE)
    clean = (found.points == POINTS).flatten(1).all(1)
    assert abs(clean.float().mean() - 0.15) < 0.01
    assert (found.confidence[clean] == 1).all()
    assert (found.confidence[~clean] < 1).any(1).all()


def test_errors_are_shares_of_the_box(nothing_but):
    nothing_but()
    error = (detect(DRAWS, POINTS, EVERYWHERE).points - POINTS).norm(dim=-1) / BOX
    # Half of them sharp: about 0.01 of the box in one axis, 0.0118 in the plane.
    assert 0.008 < error[:, LIMBS].median() < 0.02
    # Wrists are off by more than shoulders, and shoulders by more than the face.
    spread = [error[:, rows].median() for rows in (WRISTS, [5, 6], FACE)]
    assert spread[0] > 1.3 * spread[1] > 1.3 * spread[2]
    # A few are far off, most of them in difficult pictures.
    far = error[:, LIMBS] > 0.15
    assert 0.01 < far.float().mean() < 0.06
    assert far.float().mean(1).std() > 1.5 * (far.float().mean() / 12) ** 0.5
    larger = (detect(DRAWS, 7 * POINTS, EVERYWHERE).points / 7 - POINTS).norm(dim=-1) / BOX
    assert_close(larger, error, torch.float16)


def test_sides_are_swapped_in_a_share_of_the_pictures(nothing_but):
    nothing_but()
    # Errors are small: a knee that is found at the other knee was swapped.
    found = detect(DRAWS, POINTS, EVERYWHERE)
    places = nearest_keypoint(found.points)
    shown = {}
    for part, rows in {"legs": [13, 14, 15, 16], "arms": [5, 6, 7, 8]}.items():
        other = torch.tensor([COCO_LEFT_RIGHT[row] for row in rows])
        shown[part] = (places[:, rows] == other).float().mean(1) > 0.7
    # A difficulty of 0.4 in the mean, times 0.045 for each part and 0.03 for all.
    for swapped in shown.values():
        assert abs(swapped.float().mean() - 0.4 * 0.075) < 0.008
    both = shown["legs"] & shown["arms"]
    assert abs(both.float().mean() - 0.4 * 0.03) < 0.006


def test_confidence_falls_with_the_error(nothing_but):
    nothing_but()
    found = detect(DRAWS, POINTS, EVERYWHERE)
    seen = found.confidence > 0
    error = (found.points - POINTS).norm(dim=-1) / BOX
    near, far = (found.confidence[seen & mask].mean() for mask in (error < 0.02, error > 0.2))
    assert near > 0.55
    assert far < 0.5 * near
    # On a scale of its own in each picture.
    assert found.confidence.mean(1).std() > 0.08


def test_few_are_missed_unless_something_hides_them(nothing_but):
    nothing_but()
    found = detect(DRAWS, POINTS, EVERYWHERE)
    assert abs((found.confidence[:, LIMBS] == 0).float().mean() - 0.02) < 0.003
    behind = EVERYWHERE.clone()
    behind[:, FACE] = False
    hidden = detect(DRAWS, POINTS, behind)
    assert hidden.hidden[:, FACE].all()
    assert not hidden.hidden[:, LIMBS].any()
    assert abs((hidden.confidence[:, FACE] == 0).float().mean() - 0.4) < 0.01
    guessed = hidden.confidence[:, FACE]
    assert guessed[guessed > 0].mean() < 0.5 * found.confidence[:, FACE].mean()


def test_something_stands_before_a_share_of_the_people(nothing_but):
    nothing_but(_OCCLUDED_SHARE=0.25)
    found = detect(DRAWS, POINTS, EVERYWHERE)
    covered = found.hidden[:, LIMBS].any(1)
    assert 0.2 < covered.float().mean() <= 0.26
    assert found.hidden[covered].float().mean() > 0.1
    missed = found.confidence == 0
    # But for people of whom too little is left.
    assert 0.1 < missed[found.hidden].float().mean() < 0.17


def test_the_picture_ends_before_some_people_do(nothing_but):
    nothing_but(_TRUNCATED_SHARE=1.0)
    found = detect(DRAWS, POINTS, EVERYWHERE)
    cut = found.hidden[:, LIMBS]
    assert cut.any(1).float().mean() > 0.7
    # Four limb joints at least stay inside.
    assert ((~cut).sum(1) > 4).all()
    assert abs((found.confidence[found.hidden] == 0).float().mean() - 0.8) < 0.03
    # Those that are found all the same lie near the edge, inside: no further out than any other.
    feet = [COCO_NAMES.index(f"{side}_ankle") for side in ("left", "right")]
    below = found.hidden[:, feet].all(1) & ~found.hidden[:, [5, 6]].any(1)
    height = found.points[below][:, feet, 1][found.confidence[below][:, feet] > 0]
    assert len(height) > 500
    assert height.median() < 1.2 - 0.02


def test_some_detectors_know_no_face(nothing_but):
    nothing_but(_FACELESS_SHARE=0.1)
    found = detect(DRAWS, POINTS, EVERYWHERE)
    faceless = (found.confidence[:, FACE] == 0).all(1)
    assert abs(faceless.float().mean() - 0.1) < 0.01


def test_people_whom_nobody_would_find_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(detections, "_missed_share", lambda covered, *_: torch.ones(COUNT, 17))
    monkeypatch.setattr(detections, "_CLEAN_SHARE", 0.0)
    found = detect(DRAWS, POINTS, EVERYWHERE)
    assert torch.equal(found.points, POINTS)
    assert (found.confidence[:, LIMBS] == 1).all()
    assert (found.confidence[:, FACE] == 0).all()


def test_at_least_four_confident_limb_joints_are_left():
    found = detect(DRAWS, POINTS, EVERYWHERE)
    confident = (found.confidence[:, LIMBS] >= detections.MIN_CONFIDENCE).sum(1)
    assert confident.min() >= 4
    assert confident.max() == 12


def test_a_detection_is_its_seed_and_number():
    few = detect(Draws(3, torch.arange(5, 9)), POINTS[:4], EVERYWHERE[:4])
    whole = detect(Draws(3, torch.arange(16)), POINTS[:16], EVERYWHERE[:16])
    assert torch.equal(few.points, whole.points[5:9])
    assert torch.equal(few.confidence, whole.confidence[5:9])


def test_a_perfect_detector():
    facing = EVERYWHERE.clone()
    facing[:, 0] = False
    found = perfect(POINTS, facing)
    assert torch.equal(found.points, POINTS)
    assert torch.equal(found.confidence, facing.float())
    assert torch.equal(found.hidden, ~facing)


def test_the_crop_is_around_the_confident_limbs():
    points = POINTS[:3].clone()
    points[:, 0] = 100.0  # the nose is no limb
    points[1, 16] = torch.tensor([-50.0, 9.0])
    confidence = torch.ones(3, 17)
    confidence[1, 16] = 0.19
    confidence[2] = 0
    confidence[2, 5] = 1
    found = Detections(points, confidence, confidence < 0)
    centre, side = crop_box(found)
    # From the shoulders at 0.2 to the ankles at 1.2; the wrists at 0.3 and 0.7 are the sides.
    assert_close(centre[0], torch.tensor([0.5, 0.7]))
    assert_close(side[0], torch.tensor(1.4))
    assert_close(centre[1], torch.tensor([0.5, 0.7]))
    # One point is no square; its crop is small and finite.
    assert_close(centre[2], points[2, 5])
    assert_close(side[2], torch.tensor(1.4e-3))
