"""Draw the learned fusion graph A_f on the body: which vertices each joint is tied to.

    python examples/inspect_fusion_graph.py
    python examples/inspect_fusion_graph.py --block 1 --direction informs --joints left_wrist

One body a joint for the prior (1 / distance, normalised), for what was learned, and for the change;
crosses mark the joints. Each matrix is normalised over its sources: of a vertex, the twelve joints
that drive it; of a joint, the vertices that inform it.

The shipped weights have learned next to nothing here, as their mesh branch was trained for 400
steps (docs/weights.md): A_f correlates with its prior by 1.00 in all three blocks, and no weight
W_f, 1 at the start, has left 0.87 to 1.12. Train one of your own to see more. Takes seconds.
"""

import argparse
import copy
import sys

import torch
from PIL import Image
from torch import Tensor

from bilayer_graph.body import JOINT_NAMES, LEFT_RIGHT, BodyModel
from bilayer_graph.cli.main import exit_status
from bilayer_graph.cli.numbers import picture_path, positive
from bilayer_graph.errors import InputError
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, Template, body_template, load_model
from bilayer_graph.nn import BidirectionalFusionConv
from bilayer_graph.render import colour_bar, contact_sheet, draw_values

DIRECTIONS = ("drives", "informs")
PANEL = 190
PAIRS = [(joint, other) for joint, other in enumerate(LEFT_RIGHT) if joint < other]
NAMES = [JOINT_NAMES[joint] for pair in PAIRS for joint in pair]


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default=SHIPPED_WEIGHTS, help="checkpoint")
    parser.add_argument("--block", type=positive, help="the drawn one, from 1; default: the last")
    parser.add_argument("--direction", default="drives", choices=DIRECTIONS)
    parser.add_argument("--joints", nargs="+", default=NAMES, choices=NAMES, metavar="JOINT")
    parser.add_argument("--out", type=picture_path, default="out/fusion_graph.png", help="picture")
    return exit_status(lambda: inspect(parser.parse_args()))


def inspect(arguments: argparse.Namespace) -> int:
    """Print what every block has learned, and draw one of them; return the exit status."""
    body = BodyModel.load()
    model = load_model(arguments.weights, body)
    template = body_template(body, model.vertex_index.numel())
    fusions = [part for part in model.modules() if isinstance(part, BidirectionalFusionConv)]
    block = arguments.block or len(fusions)
    if block > len(fusions):
        raise InputError("--block", block, "no such block", f"Give 1 to {len(fusions)}")
    print("block direction correlation weight within 20 cm below 0 symmetry of change")
    for number, fusion in enumerate(fusions, start=1):
        for direction in DIRECTIONS:
            print(f"{number:>5} {direction:<9}", describe(weights(fusion, direction), template))
    pair = weights(fusions[block - 1], arguments.direction)
    joints = [JOINT_NAMES.index(name) for name in arguments.joints]
    draw(pair, joints, model, body).save(arguments.out)
    print(f"Picture of block {block}, {arguments.direction}: {arguments.out}")
    return 0


@torch.no_grad()
def weights(fusion: BidirectionalFusionConv, direction: str) -> Tensor:
    """Return the prior and the learned A_f of one direction, ``[2, J, V]``, a row a joint."""
    start = copy.deepcopy(fusion)
    start.reset_parameters()
    place = DIRECTIONS.index(direction)
    pair = torch.stack([layer.adjacency()[place].to_dense() for layer in (start, fusion)])
    return pair.mT if direction == "drives" else pair


def near_share(weights: Tensor, template: Template) -> Tensor:
    """Return the share of each joint's absolute weight that lies within 20 cm of it, ``[J]``."""
    near = torch.cdist(template.joints, template.vertices) < 0.2
    return (weights.abs() * near).sum(1) / weights.abs().sum(1)


def mirrored(weights: Tensor, template: Template) -> Tensor:
    """Return the weights ``[J, V]`` of the mirrored body."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    vertex = torch.cdist(template.vertices * flip, template.vertices).argmin(1)
    return weights[list(LEFT_RIGHT)][:, vertex]


def correlation(*pair: Tensor) -> float:
    """Return Pearson's correlation of all entries."""
    return torch.corrcoef(torch.stack(pair).flatten(1))[0, 1].item()


def describe(pair: Tensor, template: Template) -> str:
    """Return how the learned A_f differs from the prior."""
    (prior, learned), (before, after) = pair, (near_share(part, template).mean() for part in pair)
    change, below = learned - prior, (learned < 0).float().mean()
    same, symmetry = correlation(prior, learned), correlation(change, mirrored(change, template))
    return f"{same:>11.2f} {before:>9.1%} -> {after:.1%} {below:>8.1%} {symmetry:>10.2f}"


def draw(pair: Tensor, joints: list[int], model: BilayerHMR, body: BodyModel) -> Image.Image:
    """Draw three bodies a joint: the prior, what was learned, and the change."""
    maps = torch.cat([pair, pair[1:] - pair[:1]])[:, joints].transpose(0, 1)
    # Beyond the last percent a few vertices right at a joint would leave the others pale.
    tops = [max(part.abs().quantile(0.99).item(), 1e-6) for part in (maps[:, :2], maps[:, 2])]
    maps = (maps / torch.tensor([tops[0], *tops]).view(3, 1)).flatten(0, 1)
    fine = model.upsample(maps.t().unsqueeze(0))[-1][0].t()
    marks = body.joints(body.v_template)[joints].repeat_interleave(3, dim=0)
    bodies = draw_values(body.v_template, body.faces, fine, PANEL, marks)
    names = [JOINT_NAMES[joint].replace("_", " ") for joint in joints]
    titles = [title for name in names for title in (f"{name}: prior", "learned", "change")]
    legend = [colour_bar("A_f", tops[0], PANEL), colour_bar("change", tops[1], PANEL)]
    return contact_sheet(bodies, 3 * min(2, len(joints)), titles, legend)


if __name__ == "__main__":
    sys.exit(main())
