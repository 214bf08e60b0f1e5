"""Draw the learned fusion graph A_f on the body: which vertices each joint is tied to.

    python examples/inspect_fusion_graph.py
    python examples/inspect_fusion_graph.py --block 1 --direction informs --joints left_wrist

One body a joint for the prior (1 / distance, normalised), for what was learned, and for the change;
crosses mark the joints. Each matrix is normalised over its sources: of a vertex, the twelve joints
that drive it; of a joint, the vertices that inform it.

What the shipped weights have learned, as the script prints it (means over the joints):

    block direction  correlation  weight within 20 cm  below 0   symmetry
                     with prior     prior -> learned             of change
        1 drives            0.61        32.0% -> 29.2%    11.3%       0.90
        1 informs           0.98        35.4% -> 37.8%     0.0%       0.08
        2 drives            0.88        32.0% -> 37.6%     3.0%       0.75
        2 informs           0.60        35.4% -> 24.2%     2.8%       0.66
        3 drives            0.91        32.0% -> 38.7%     2.0%       0.96
        3 informs           0.79        35.4% -> 30.2%     2.2%       0.84

The last block ties vertices to their own limb: ankles and wrists gain the feet and the hands, knees
the thighs, each hip lets go of the other leg, and the shoulders gain the head, which has no joint.
In the first block the two hips weigh 2.3 times their prior on the whole mesh. Left and right change
alike (correlation of the change with its mirror image) although nothing in the training asks for
it. Takes seconds on a CPU.
"""

import argparse
import copy
import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bilayer_graph.body import LEFT_RIGHT, SMPL_JOINT_NAMES, BodyModel, project
from bilayer_graph.cli.numbers import picture_path
from bilayer_graph.errors import InputError
from bilayer_graph.models import SHIPPED_WEIGHTS, BilayerHMR, Template, body_template, load_model
from bilayer_graph.nn import BidirectionalFusionConv
from bilayer_graph.render.clay import shade

DIRECTIONS = ("drives", "informs")
NEAR = 0.2
TINY = 1e-6
PANEL = 190
TEXT = 16
PAPER, INK = 250, (40, 40, 40)
# Blue for weights below 0, grey for 0, red for weights above 0.
COLOURS = torch.tensor([[0.13, 0.40, 0.80], [0.93, 0.92, 0.90], [0.85, 0.12, 0.14]])


def main() -> int:
    """Inspect; return the exit status."""
    try:
        inspect(parse_arguments())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="checkpoint")
    parser.add_argument("--body", type=Path, help="body file with SMPL's fields")
    parser.add_argument("--block", type=int, help="block that is drawn, from 1; default: the last")
    parser.add_argument(
        "--direction",
        default="drives",
        choices=DIRECTIONS,
        help="drives: joints to vertices; informs: vertices to joints",
    )
    parser.add_argument("--joints", nargs="+", help="joints that are drawn; default: all")
    parser.add_argument("--out", type=picture_path, default="out/fusion_graph.png", help="picture")
    return parser.parse_args()


def inspect(arguments: argparse.Namespace) -> None:
    """Print what every block has learned, then print and draw one block joint by joint."""
    body = BodyModel.load(arguments.body)
    model = load_model(arguments.weights, body)
    fusions = [module for module in model.modules() if isinstance(module, BidirectionalFusionConv)]
    block = len(fusions) if arguments.block is None else arguments.block
    if not 1 <= block <= len(fusions):
        remedy = f"Give a number from 1 to {len(fusions)}"
        raise InputError("--block", block, f"the model has {len(fusions)} blocks", remedy)
    joints = choose_joints(arguments.joints, body.skeleton.names)
    template = body_template(body, model.vertex_index.numel())
    print_blocks(fusions, template)
    prior, learned = fusion_weights(fusions[block - 1], arguments.direction)
    print_joints(prior, learned, joints, template, body)
    picture = draw(prior, learned, joints, model, body, template)
    # A palette makes the file three times as small.
    picture.quantize(256, Image.Quantize.MAXCOVERAGE).save(arguments.out, optimize=True)
    print(f"Picture of block {block}, {arguments.direction}: {arguments.out}")


def choose_joints(chosen: list[str] | None, names: tuple[str, ...]) -> list[int]:
    """Return the rows of the chosen joints; by default all, the right one before the left."""
    if chosen is None:
        pairs = [(joint, other) for joint, other in enumerate(LEFT_RIGHT) if joint < other]
        return [joint for pair in pairs for joint in pair]
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise InputError(
            "--joints", unknown[0], "no such joint", f"Give some of {', '.join(names)}"
        )
    return [names.index(name) for name in chosen]


@torch.no_grad()
def fusion_weights(fusion: BidirectionalFusionConv, direction: str) -> tuple[Tensor, Tensor]:
    """Return the prior and the learned A_f of one direction, [J, V] each, a row a joint."""
    start = copy.deepcopy(fusion)
    start.reset_parameters()
    weights = []
    for layer in (start, fusion):
        dense = layer.adjacency()[DIRECTIONS.index(direction)].to_dense()
        weights.append(dense.t() if direction == "drives" else dense)
    return weights[0], weights[1]


def correlation(first: Tensor, second: Tensor) -> float:
    """Return Pearson's correlation of all entries."""
    return torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].item()


def near_share(weights: Tensor, template: Template) -> Tensor:
    """Return the share of each joint's absolute weight that lies within 20 cm of it, [J]."""
    near = torch.cdist(template.joints, template.vertices) < NEAR
    return (weights.abs() * near).sum(1) / weights.abs().sum(1)


def mirrored(weights: Tensor, template: Template) -> Tensor:
    """Return the weights [J, V] of the mirrored body."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    vertex = torch.cdist(template.vertices * flip, template.vertices).argmin(1)
    return weights[list(LEFT_RIGHT)][:, vertex]


def print_blocks(fusions: list[BidirectionalFusionConv], template: Template) -> None:
    """Print one line for each block and direction."""
    print("block direction  correlation  weight within 20 cm  below 0   symmetry")
    print("                 with prior     prior -> learned             of change")
    for number, fusion in enumerate(fusions, start=1):
        for direction in DIRECTIONS:
            prior, learned = fusion_weights(fusion, direction)
            before, after = (near_share(weights, template).mean() for weights in (prior, learned))
            change = learned - prior
            print(
                f"{number:>5} {direction:<9} {correlation(prior, learned):>12.2f}"
                f" {before:>12.1%} -> {after:.1%} {(learned < 0).float().mean():>8.1%}"
                f" {correlation(change, mirrored(change, template)):>10.2f}"
            )


def print_joints(
    prior: Tensor, learned: Tensor, joints: list[int], template: Template, body: BodyModel
) -> None:
    """Print for each joint where its weight went."""
    part = body.weights[template.index].argmax(1)
    change = learned - prior
    by_part = torch.zeros(len(change), len(SMPL_JOINT_NAMES)).index_add_(1, part, change)
    before, after = near_share(prior, template), near_share(learned, template)
    print("joint            weight   within 20 cm      gains most     loses most")
    for joint in joints:
        total = learned[joint].abs().sum() / prior[joint].abs().sum()
        gains = SMPL_JOINT_NAMES[int(by_part[joint].argmax())]
        loses = SMPL_JOINT_NAMES[int(by_part[joint].argmin())]
        print(
            f"{body.skeleton.names[joint]:<15} x{total:>6.2f} {before[joint]:>7.1%} ->"
            f" {after[joint]:>5.1%}   {gains:<14} {loses}"
        )


def draw(
    prior: Tensor,
    learned: Tensor,
    joints: list[int],
    model: BilayerHMR,
    body: BodyModel,
    template: Template,
) -> Image.Image:
    """Draw three bodies a joint: the prior, what was learned, and the change."""
    maps = torch.stack([prior, learned, learned - prior], dim=1)[joints]
    # Beyond the last percent a few vertices right at a joint would leave the others pale.
    tops = [max(part.abs().quantile(0.99).item(), TINY) for part in (maps[:, :2], maps[:, 2])]
    maps = maps / torch.tensor([tops[0], tops[0], tops[1]]).view(3, 1)
    fine = model.upsample(maps.flatten(0, 1).t().unsqueeze(0))[-1][0].t()
    upright = torch.tensor([1.0, -1.0, -1.0])
    vertices = (body.v_template - (body.J_regressor[:1] @ body.v_template)) * upright
    low, high = vertices.amin(0), vertices.amax(0)
    scale = 1.9 / float((high - low)[:2].max())
    camera = torch.tensor([scale, *(-(low + high)[:2] / 2).tolist()])
    count = len(fine)
    rgb, mask = shade(
        vertices.expand(count, -1, -1),
        body.faces,
        (project(vertices[None], camera[None]) + 1).expand(count, -1, -1) * (PANEL / 2),
        (PANEL, PANEL),
        blend(fine),
    )
    pictures = ((rgb * mask + (1 - mask) * PAPER / 255) * 255).round().byte().permute(0, 2, 3, 1)
    spots = (project((template.joints * upright)[None], camera[None])[0] + 1) * PANEL / 2
    names = [body.skeleton.names[joint].replace("_", " ") for joint in joints]
    return lay_out(pictures.unflatten(0, (-1, 3)), names, spots[joints], tops)


def blend(values: Tensor) -> Tensor:
    """Return the colours [.., 3] of values in [-1, 1]."""
    share = values.clamp(-1, 1).unsqueeze(-1)
    return torch.lerp(COLOURS[1], torch.where(share < 0, COLOURS[0], COLOURS[2]), share.abs())


def lay_out(pictures: Tensor, names: list[str], spots: Tensor, tops: list[float]) -> Image.Image:
    """Place the bodies [J, 3, S, S, 3] two joints a row, with titles and colour bars."""
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    size = (columns * 3 * PANEL, rows * (PANEL + TEXT) + 3 * TEXT)
    canvas = Image.new("RGB", size, (PAPER,) * 3)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(12)
    for place, (triple, name, spot) in enumerate(zip(pictures, names, spots.tolist(), strict=True)):
        x, y = place % columns * 3 * PANEL, place // columns * (PANEL + TEXT)
        for step, title in enumerate((f"{name}: prior", "learned", "learned - prior")):
            left = x + step * PANEL
            canvas.paste(Image.fromarray(triple[step].numpy()), (left, y + TEXT))
            pen.text((left + PANEL / 2, y), title, INK, font, "ma")
            cross(pen, left + spot[0], y + TEXT + spot[1])
    for place, (title, top) in enumerate(zip(("A_f", "learned - prior"), tops, strict=True)):
        corner = (round((0.25 + 0.5 * place) * size[0]), size[1] - 2 * TEXT)
        bar(canvas, pen, font, corner, title, top)
    return canvas


def cross(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """Mark a joint."""
    for step in (-4, 4):
        pen.line([x - 4, y - step, x + 4, y + step], INK)


def bar(
    canvas: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    corner: tuple[int, int],
    title: str,
    top: float,
) -> None:
    """Draw the colours and what they stand for; the middle of the upper edge is at ``corner``."""
    left, up = corner[0] - PANEL // 2, corner[1]
    colours = blend(torch.linspace(-1, 1, PANEL)) * 255
    strip = colours.byte().expand(TEXT // 2, -1, -1).contiguous()
    canvas.paste(Image.fromarray(strip.numpy()), (left, up))
    for share, text in ((0, f"{-top:.2g}"), (0.5, f"{title} = 0"), (1, f"{top:.2g}")):
        pen.text((left + share * PANEL, up + TEXT // 2 + 2), text, INK, font, "ma")


if __name__ == "__main__":
    sys.exit(main())
