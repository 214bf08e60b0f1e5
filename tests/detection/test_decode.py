"""The vectorised decoding against loops over people, joints and cells."""

import math

import pytest
import torch

from bilayer_graph.detection.decode import decode_people, decode_person
from bilayer_graph.detection.movenet import HEADS_MULTI, HEADS_SINGLE


def random_heads(heads, height, width, seed):
    random = torch.Generator().manual_seed(seed)
    maps = {name: torch.randn(2, c, height, width, generator=random) for name, c in heads.items()}
    maps["regress"] *= 4
    if "box_size" in maps:
        maps["box_size"] = 8 + 2 * maps["box_size"]
    return maps


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def cells(maps):
    return [(y, x) for y in range(maps.shape[-2]) for x in range(maps.shape[-1])]


def refined(offset, k, y, x):
    return [4 * (x + float(offset[2 * k + 1, y, x])), 4 * (y + float(offset[2 * k, y, x]))]


def loop_person(center, heatmap, regress, offset):
    half = center.shape[-1] // 2

    def central(cell):
        return sigmoid(center[0][cell]) / (math.hypot(cell[0] - half, cell[1] - half) + 1.8)

    middle = max(cells(center), key=central)
    joints = []
    for k in range(17):
        y = middle[0] + float(regress[2 * k][middle])
        x = middle[1] + float(regress[2 * k + 1][middle])

        def weighted(cell, k=k, y=y, x=x):
            return sigmoid(heatmap[k][cell]) / (math.hypot(cell[0] - y, cell[1] - x) + 1.8)

        best = max(cells(center), key=weighted)
        joints.append([*refined(offset, k, *best), sigmoid(heatmap[k][best])])
    return torch.tensor(joints)


def loop_people(center, heatmap, regress, offset, box_size, box_offset):
    height, width = center.shape[-2:]

    def peak(cell):
        y, x = cell
        around = center[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        return sigmoid(center[0, y, x]) if center[0, y, x] == around.max() else 0.0

    best = sorted(cells(center), key=peak, reverse=True)[:6]
    boxes, weights = [], []
    for y, x in best:
        middle = [y + float(box_offset[0, y, x]), x + float(box_offset[1, y, x])]
        half = [max(0.0, float(size)) / 2 for size in box_size[:, y, x]]
        limits = ((m, h, n) for m, h, n in zip(middle, half, (height, width), strict=True))
        (top, bottom), (left, right) = (
            (min(max(m - h, 0), n), min(max(m + h, 0), n)) for m, h, n in limits
        )
        boxes.append([4 * left, 4 * top, 4 * right, 4 * bottom])
        weight = torch.zeros(17, height, width)
        for k in range(17):
            place = [y + float(regress[2 * k, y, x]), x + float(regress[2 * k + 1, y, x])]
            for i, j in cells(center):
                if top <= i < bottom and left <= j < right:
                    squared = (i - place[0]) ** 2 + (j - place[1]) ** 2
                    spread = 0.3 * min(height, width)
                    weight[k, i, j] = sigmoid(heatmap[k, i, j]) * math.exp(-squared / spread)
        weights.append(weight)
    highest = torch.stack(weights).amax(0)
    keypoints, scores = [], []
    for cell, weight in zip(best, weights, strict=True):
        joints = []
        for k in range(17):
            y, x = divmod(int(weight[k].argmax()), width)
            joints.append([*refined(offset, k, y, x), float(highest[k, y, x])])
        counted = [c for _, _, c in joints if c > 0.127]
        keypoints.append(joints)
        scores.append(peak(cell) * sum(counted) / max(1, len(counted)))
    return torch.tensor(keypoints), torch.tensor(boxes), torch.tensor(scores)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_person(seed):
    maps = random_heads(HEADS_SINGLE, 16, 16, seed)
    decoded = decode_person(**maps)
    for b in range(2):
        expected = loop_person(**{name: value[b] for name, value in maps.items()})
        torch.testing.assert_close(decoded[b], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 16), (16, 8)])
def test_several_people(height, width):
    maps = random_heads(HEADS_MULTI, height, width, height)
    people = decode_people(**maps)
    for b in range(2):
        expected = loop_people(**{name: value[b] for name, value in maps.items()})
        for ours, theirs in zip(people, expected, strict=True):
            torch.testing.assert_close(ours[b], theirs, atol=3e-3, rtol=1e-3)


def test_a_batch_is_its_pictures():
    maps = random_heads(HEADS_MULTI, 16, 16, 3)
    together = decode_people(**maps)
    for b in range(2):
        alone = decode_people(**{name: value[b : b + 1] for name, value in maps.items()})
        for whole, part in zip(together, alone, strict=True):
            assert torch.equal(whole[b], part[0])
