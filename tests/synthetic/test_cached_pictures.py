"""People that were looked at before: labels in the crop's axes, mirrors, the same bits again."""

import pytest
import torch
from safetensors.torch import save_file

from bilayer_graph.body import ReducedBody, look_at
from bilayer_graph.errors import InputError
from bilayer_graph.synthetic.cached_pictures import (
    CachedPictures,
    PicturedPeople,
    patch_statistics,
    read_people,
    write_people,
)
from bilayer_graph.synthetic.draws import Draws
from bilayer_graph.synthetic.figures import sample_figures
from bilayer_graph.testing import assert_close

INDEX = torch.arange(0, 6890, 500)
CHANNELS = 3


@pytest.fixture(scope="module")
def people(body, poses):
    """Five people before a camera of 300 pixels, found where they are."""
    reduced = ReducedBody(body, INDEX)
    betas, bones, *_ = sample_figures(Draws(3, torch.arange(5)), poses, reduced)
    place = torch.tensor([0.4, -0.2, 4.0])
    points = reduced.keypoints(bones) + place
    size = torch.tensor([320.0, 240.0])
    pixels = 300 * points[..., :2] / points[..., 2:] + size / 2
    return PicturedPeople(
        keypoints=torch.cat([pixels, torch.full((5, 17, 1), 0.9)], dim=-1),
        patches=torch.randn(5, 17, CHANNELS, generator=torch.Generator().manual_seed(0)).half(),
        joints=reduced.joints(bones),
        rotations=bones.turn,
        betas=betas,
        focal=torch.full((5,), 300.0),
        size=size.expand(5, 2).clone(),
        true=pixels,
        visible=torch.ones(5, 17, dtype=torch.bool),
    )


def test_labels_project_where_the_keypoints_are(people, body):
    sample = CachedPictures(body, INDEX, people, 5)[0]
    # From the axes of the crop's ray back to the camera's.
    back = sample["joints"] @ look_at(sample["centre"])
    assert_close(back, people.joints)
    seen = back + torch.tensor([0.4, -0.2, 4.0])
    tangents = seen[..., :2] / seen[..., 2:]
    found = (tangents - sample["centre"].unsqueeze(1)) / sample["half"].view(-1, 1, 1)
    assert (found - sample["keypoints_true"]).abs().max() < 0.1
    reduced = ReducedBody(body, INDEX)
    bones = reduced.place(sample["rotations"], sample["betas"])
    assert_close(reduced.vertices(bones), sample["vertices"])
    assert_close(reduced.joints(bones), sample["joints"])


def test_held_out_people_come_once_in_order(people, body):
    held_out = CachedPictures(body, INDEX, people, 2)
    batches = [held_out[i] for i in range(len(held_out))]
    assert [len(batch["half"]) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([batch["patches"] for batch in batches]), people.patches.float())


def test_a_batch_depends_on_its_number_only(people, body):
    first, again = (CachedPictures(body, INDEX, people, 8, 3, seed=1) for _ in range(2))
    first[0]
    for name, values in first[2].items():
        assert torch.equal(values, again[2][name]), name
    other = CachedPictures(body, INDEX, people, 8, 3, seed=2)
    assert not torch.equal(other[2]["keypoints"], first[2]["keypoints"])


def test_half_are_mirrored_in_everything(people, body):
    plain = CachedPictures(body, INDEX, people, 5)[0]
    sample = CachedPictures(body, INDEX, people, 200, 1, seed=1)[0]
    # Without products of matrices, whose rounding keeps equal rows apart on some machines.
    mode = "donot_use_mm_for_euclid_dist"
    own = torch.cdist(sample["patches"].flatten(1), plain["patches"].flatten(1), compute_mode=mode)
    same = own.min(1).values == 0
    assert 0.35 < same.float().mean() < 0.65
    reduced = ReducedBody(body, INDEX)
    bones = reduced.place(sample["rotations"], sample["betas"])
    assert (reduced.joints(bones) - sample["joints"]).norm(dim=-1).max() < 0.005
    assert_close(reduced.vertices(bones), sample["vertices"])
    jitter = (sample["keypoints"] - plain["keypoints"][own.argmin(1)])[same][..., :2]
    assert 0.005 < jitter.std() < 0.007


def test_parts_are_read_as_they_were_written(people, tmp_path):
    first = PicturedPeople(*(values[:2] for values in people))
    write_people(tmp_path / "0.safetensors", first)
    write_people(tmp_path / "1.safetensors", PicturedPeople(*(values[2:] for values in people)))
    again = read_people(tmp_path)
    for name, values in people._asdict().items():
        assert torch.equal(getattr(again, name), values), name
    mean, deviation = patch_statistics(again)
    assert_close(mean, people.patches.float().mean((0, 1)))
    assert_close(deviation, people.patches.float().flatten(0, 1).std(0))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"focal": torch.tensor(1.0)}, r"focal is \[\]"),
        ({"keypoints": torch.zeros(4, 12, 3)}, r"keypoints is \[4, 12, 3\]"),
        ({"keypoints": torch.zeros(4, 17, 3, dtype=torch.int32)}, "keypoints is torch.int32"),
        ({"betas": torch.zeros(3, 10)}, r"of \[3, \d\] people"),
    ],
)
def test_a_tensor_that_does_not_fit(people, tmp_path, change, problem):
    write_people(tmp_path / "0.safetensors", people._replace(**change))
    with pytest.raises(InputError, match=rf"^pictures=.*0.safetensors: .*{problem}.*Make it with"):
        read_people(tmp_path)


def test_folders_that_cannot_be_used(people, tmp_path):
    with pytest.raises(InputError, match=r"^pictures=.*no parts.*Make the folder with"):
        read_people(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "0.safetensors")
    with pytest.raises(InputError, match=r"0.safetensors: no part of cached pictures"):
        read_people(tmp_path)
    write_people(tmp_path / "0.safetensors", people._replace(betas=people.betas * torch.nan))
    with pytest.raises(InputError, match=r"0.safetensors: betas holds NaN"):
        read_people(tmp_path)
    write_people(tmp_path / "0.safetensors", people)
    write_people(tmp_path / "1.safetensors", people._replace(patches=people.patches[..., :2]))
    with pytest.raises(InputError, match="parts of several encoders"):
        read_people(tmp_path)
    write_people(tmp_path / "1.safetensors", PicturedPeople(*(values[:0] for values in people)))
    (tmp_path / "0.safetensors").unlink()
    with pytest.raises(InputError, match="nobody was found"):
        read_people(tmp_path)
