"""One point of the aggregation benchmark: its problem, and its backends ready to be timed."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec

import harness
import scipy.sparse
import torch
from aggregation_backends import FLOOR
from aggregation_problem import Backend, Layout, Problem, arrange, item
from harness import DTYPES, Point, Report
from torch import Tensor

from bilayer_graph.testing import assert_close

FORWARD, BOTH = "forward", "forward+backward"

Run = Callable[[], tuple[Tensor, ...]]


def measure_point(
    report: Report,
    point: Point,
    problem: Problem,
    backends: Mapping[str, Backend],
    seconds: float,
    seed: int,
) -> None:
    """Measure backends at one point; the report keeps the reason of those that cannot run.

    The first result of each is compared with the float64 product before anything is timed.
    """
    torch.compiler.reset()
    passes = Passes(point, problem, seed)
    runs: dict[str, Run] = {}
    for name, backend in backends.items():
        if find_spec(backend.module) is None:
            report.skip(point, name, f"missing: {backend.package} is not installed")
            continue
        try:
            run = passes.prepare(backend)
        except Exception as error:  # Whatever a peer raises is its result.
            report.skip(point, name, harness.failure(error))
            continue
        runs[name] = run if name == FLOOR else passes.checked(run, backend.layout)
    with torch.set_grad_enabled(point["pass"] == BOTH):
        report.measure(point, runs, seconds)


class Passes:
    """Features of a point in every layout, and the passes of its backends over them."""

    def __init__(self, point: Point, problem: Problem, seed: int) -> None:
        self.problem, self.backward = problem, point["pass"] == BOTH
        x, grad = sample(point, seed), sample(point, seed + 1)
        self.features = {
            layout: (
                arrange(x, layout).detach().requires_grad_(self.backward),
                arrange(grad, layout) if self.backward else None,
            )
            for layout in Layout
        }
        adjacency = reference(problem)
        self.work = [(adjacency, x), (adjacency.T, grad)][: 1 + self.backward]

    def prepare(self, backend: Backend) -> Run:
        """Return a pass of a backend."""
        product = backend.build(self.problem)
        x, grad = self.features[backend.layout]

        def run() -> tuple[Tensor, ...]:
            out = product(x)
            return (out,) if grad is None else (out, *torch.autograd.grad(out, x, grad))

        return run

    def checked(self, run: Run, layout: Layout) -> Run:
        """Return a pass that checks its own first result."""
        unchecked = [self.check]

        def checked() -> tuple[Tensor, ...]:
            out = run()
            if unchecked:
                unchecked.pop()(out, layout)
            return out

        return checked

    def check(self, out: tuple[Tensor, ...], layout: Layout) -> None:
        """Raise ``AssertionError`` unless a whole result is right, item by item to save memory."""
        shape = self.features[layout][0].shape
        for actual, (adjacency, x) in zip(out, self.work, strict=True):
            assert actual.shape == shape, f"shape {list(actual.shape)} instead of {list(shape)}"
            for index, features in enumerate(x):
                expected = torch.from_numpy(adjacency @ features.cpu().double().numpy())
                assert_close(item(actual, layout, self.problem.batch, index), expected)


def sample(point: Point, seed: int) -> Tensor:
    """Draw normal features ``[B, N, C]``."""
    device = torch.device(point["device"])
    generator = torch.Generator(device).manual_seed(seed)
    size = point["batch"], point["vertices"], point["channels"]
    return torch.randn(size, generator=generator, device=device).to(DTYPES[point["dtype"]])


def reference(problem: Problem) -> scipy.sparse.csr_matrix:
    """Return the adjacency for products in float64 that no backend has a part in."""
    weight, *edges = (
        each.cpu().numpy() for each in (problem.weight.double(), problem.target, problem.source)
    )
    return scipy.sparse.csr_matrix((weight, edges), shape=(problem.num_nodes, problem.num_nodes))
