import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from bilayer_graph.training.metrics import mpjpe, pa_mpjpe, procrustes_align, pve


def points(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rotations(count, seed=0):
    return torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())


def similar(x, seed=0):
    """``x`` under a random similarity transform per sample."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(len(x), 1, 1, generator=generator, dtype=x.dtype) + 0.2
    shift = 5 * torch.randn(len(x), 1, 3, generator=generator, dtype=x.dtype)
    return scale * x @ rotations(len(x), seed).transpose(1, 2).to(x.dtype) + shift


def distances_in_mm(x, y):
    """Loop over float64: mean distance of every sample."""
    return [
        1000 * float(np.mean([np.sqrt(((p - q) ** 2).sum()) for p, q in zip(a, b, strict=True)]))
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]


def horn(x, y):
    """Best similarity transform of ``x`` onto ``y``, [N, 3] each, by Horn's unit quaternions."""
    a, b = x - x.mean(0), y - y.mean(0)
    s = a.T @ b
    n = np.zeros((4, 4))
    n[0, 0] = np.trace(s)
    n[0, 1:] = n[1:, 0] = [s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]]
    n[1:, 1:] = s + s.T - np.trace(s) * np.eye(3)
    w, i, j, k = np.linalg.eigh(n)[1][:, -1]
    turned = a @ Rotation.from_quat([i, j, k, w]).as_matrix().T
    return (turned * b).sum() / (turned**2).sum() * turned + y.mean(0)


@pytest.mark.parametrize("metric", [mpjpe, pve])
def test_distance_is_the_mean_norm_per_sample(metric):
    x, y = points(4, 9, 3), points(4, 9, 3, seed=1)
    assert metric(x, y).tolist() == pytest.approx(distances_in_mm(x, y), rel=1e-12)


def test_a_known_distance():
    x = torch.zeros(2, 5, 3)
    y = torch.tensor([0.03, 0.0, 0.04]).expand(2, 5, 3)
    torch.testing.assert_close(mpjpe(x, y), torch.tensor([50.0, 50.0]))


@pytest.mark.parametrize("root", [3, (2, 3)])
def test_root_takes_translation_away(root):
    x, y = points(4, 12, 3), points(4, 12, 3, seed=1)
    centre = [root] if isinstance(root, int) else list(root)
    centred = [p - p[:, centre].sum(1, keepdim=True) / len(centre) for p in (x, y)]
    assert mpjpe(x, y, root=root).tolist() == pytest.approx(distances_in_mm(*centred), rel=1e-12)
    assert mpjpe(x, x + 7, root=root).max() < 1e-9
    assert mpjpe(x, x + 7).min() > 12000


def test_pve_centres():
    x, y = points(4, 9, 3), points(4, 9, 3, seed=1)
    a, b = points(4, 3, seed=2), points(4, 3, seed=3)
    expected = distances_in_mm(x - a[:, None], y - b[:, None])
    assert pve(x, y, centres=(a, b)).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 5e-3)])
@pytest.mark.parametrize("joints", [3, 4, 14, 500])
def test_similarity_transforms_are_undone(joints, dtype, tolerance):
    x = points(16, joints, 3, dtype=dtype)
    y = similar(x)
    error = pa_mpjpe(x, y)
    assert error.dtype == dtype
    assert error.max() < tolerance
    assert mpjpe(x, y).min() > 100


def test_alignment_agrees_with_quaternions():
    x, y = points(20, 14, 3), points(20, 14, 3, seed=1)
    expected = np.stack([horn(a, b) for a, b in zip(x.numpy(), y.numpy(), strict=True)])
    np.testing.assert_allclose(procrustes_align(x, y).numpy(), expected, atol=1e-10)


def test_alignment_agrees_with_scipy_where_no_mirror_helps():
    x = points(8, 14, 3)
    y = similar(x) + 0.1 * points(8, 14, 3, seed=4)
    aligned = procrustes_align(x, y)
    for moved, target, source in zip(aligned.numpy(), y.numpy(), x.numpy(), strict=True):
        disparity = procrustes(target, source)[2]
        spread = ((target - target.mean(0)) ** 2).sum()
        assert ((moved - target) ** 2).sum() == pytest.approx(disparity * spread, rel=1e-9)


def test_a_mirrored_body_is_not_reflected_back():
    x = points(8, 14, 3)
    mirrored = x * torch.tensor([-1.0, 1.0, 1.0], dtype=x.dtype)
    expected = np.stack([horn(a, b) for a, b in zip(x.numpy(), mirrored.numpy(), strict=True)])
    np.testing.assert_allclose(procrustes_align(x, mirrored).numpy(), expected, atol=1e-10)
    assert pa_mpjpe(x, mirrored).min() > 50
    assert procrustes(x[0].numpy(), mirrored[0].numpy())[2] < 1e-20


def test_flat_points_are_turned_not_mirrored():
    flat = points(8, 14, 3) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    mirrored = flat * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert pa_mpjpe(flat, similar(flat)).max() < 1e-9
    assert pa_mpjpe(flat, mirrored).max() < 1e-9


def test_no_other_transform_is_closer():
    x, y = points(1, 14, 3), points(1, 14, 3, seed=1)
    aligned = procrustes_align(x, y)
    best = (aligned - y).square().sum()
    middle = aligned.mean(1, keepdim=True)
    for seed in range(50):
        turn = Rotation.from_rotvec(0.05 * points(3, seed=seed).numpy()).as_matrix()
        shift, stretch = 0.02 * points(3, seed=seed + 100), 1 + 0.05 * points(1, seed=seed + 200)
        other = (aligned - middle) @ torch.from_numpy(turn) * stretch + middle + shift
        assert (other - y).square().sum() > best


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_points(dtype):
    spread, one_point = points(5, 13, 3, dtype=dtype), points(5, 1, 3, seed=1, dtype=dtype)
    # The mean of thirteen times the same number is rounded: what remains is no shape.
    one_point = one_point.expand_as(spread)
    line = points(5, 13, 1, dtype=dtype) * torch.tensor([1.0, 2.0, 3.0], dtype=dtype)
    mean = spread.mean(1, keepdim=True).expand_as(spread)
    torch.testing.assert_close(procrustes_align(one_point, spread), mean)
    torch.testing.assert_close(procrustes_align(torch.zeros_like(spread), spread), mean)
    torch.testing.assert_close(procrustes_align(spread, one_point), one_point)
    assert pa_mpjpe(line, similar(line)).max() < 0.05
    assert pa_mpjpe(line, spread).isfinite().all()
    assert pa_mpjpe(1e-20 * spread, spread).isfinite().all()


def test_one_bad_sample_leaves_the_others_alone():
    x, y = points(3, 14, 3), points(3, 14, 3, seed=1)
    expected = pa_mpjpe(x, y)
    x[1, 4, 2] = float("nan")
    error = pa_mpjpe(x, y)
    assert error[1].isnan()
    torch.testing.assert_close(error[[0, 2]], expected[[0, 2]])


def test_batch_is_the_loop():
    x, y = points(6, 14, 3, dtype=torch.float32), points(6, 14, 3, seed=1, dtype=torch.float32)
    for metric in (mpjpe, pa_mpjpe, pve):
        loop = torch.cat([metric(a[None], b[None]) for a, b in zip(x, y, strict=True)])
        torch.testing.assert_close(metric(x, y), loop)


def test_under_autocast_nothing_is_rounded():
    x = points(4, 14, 3, dtype=torch.float32)
    y = similar(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        error = pa_mpjpe(x, y)
        assert pa_mpjpe(x.bfloat16(), x.bfloat16()).dtype == torch.float32
    assert error.max() < 5e-3


@pytest.mark.parametrize("metric", [mpjpe, pa_mpjpe, pve, procrustes_align])
def test_nothing_is_broadcast(metric):
    for x, y in [((4, 9, 3), (1, 9, 3)), ((9, 3), (9, 3)), ((4, 9, 2), (4, 9, 2))]:
        with pytest.raises(ValueError, match=r"\[B, N, 3\]"):
            metric(torch.zeros(x), torch.zeros(y))
