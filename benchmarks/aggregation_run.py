"""One point of the aggregation benchmark: its problem, and its backends ready to be timed."""

from collections.abc import Callable
from importlib.util import find_spec

import harness
import torch
from aggregation_backends import BACKENDS, FLOOR, Layout, Problem, arrange, item
from harness import DTYPES, Point, Report
from torch import Tensor

from bilayer_graph.testing import assert_close

FORWARD, BOTH = "forward", "forward+backward"

Run = Callable[[], tuple[Tensor, ...]]


def measure_point(
    report: Report, point: Point, problem: Problem, backends: list[str], seconds: float, seed: int
) -> None:
    """Measure backends at one point; the report keeps the reason of those that cannot run.

    The first result of each is compared with the float64 product before anything is timed.
    """
    torch.compiler.reset()
    passes = Passes(point, problem, seed)
    runs: dict[str, Run] = {}
    for name in backends:
        backend = BACKENDS[name]
        if find_spec(backend.module) is None:
            report.skip(point, name, f"missing: {backend.package} is not installed")
            continue
        try:
            runs[name] = passes.prepare(name)
        except Exception as error:  # Whatever a peer raises is its result.
            report.skip(point, name, harness.failure(error))
    with torch.set_grad_enabled(point["pass"] == BOTH):
        report.measure(point, runs, seconds)


class Passes:
    """Features of a point in every layout, and the passes of its backends over them."""

    def __init__(self, point: Point, problem: Problem, seed: int) -> None:
        self.problem, self.backward = problem, point["pass"] == BOTH
        x, grad = sample(point, seed), sample(point, seed + 1)
        self.expected = [multiply(problem, x[0])]
        if self.backward:
            self.expected.append(multiply(problem.transposed(), grad[0]))
        self.features = {
            layout: (
                arrange(x, layout).detach().requires_grad_(self.backward),
                arrange(grad, layout) if self.backward else None,
            )
            for layout in Layout
        }

    def prepare(self, name: str) -> Run:
        """Return a pass of a backend that checks its own first result."""
        backend = BACKENDS[name]
        product = backend.build(self.problem)
        x, grad = self.features[backend.layout]

        def run() -> tuple[Tensor, ...]:
            out = product(x)
            return (out,) if grad is None else (out, *torch.autograd.grad(out, x, grad))

        return run if name == FLOOR else _checked(run, lambda out: self.check(out, backend.layout))

    def check(self, out: tuple[Tensor, ...], layout: Layout) -> None:
        """Raise ``AssertionError`` unless the first item of a batch is right."""
        for actual, expected in zip(out, self.expected, strict=True):
            assert_close(item(actual, layout, self.problem.batch, 0), expected)


def sample(point: Point, seed: int) -> Tensor:
    """Draw normal features ``[B, N, C]``."""
    device = torch.device(point["device"])
    generator = torch.Generator(device).manual_seed(seed)
    size = point["batch"], point["vertices"], point["channels"]
    return torch.randn(size, generator=generator, device=device).to(DTYPES[point["dtype"]])


def multiply(problem: Problem, x: Tensor) -> Tensor:
    """Multiply the adjacency with one item ``[N, C]``, edge by edge in float64."""
    messages = problem.weight.double().unsqueeze(-1) * x[problem.source].double()
    return torch.zeros_like(x, dtype=torch.float64).index_add(0, problem.target, messages)


def _checked(run: Run, check: Callable[[tuple[Tensor, ...]], None]) -> Run:
    unchecked = [check]

    def checked() -> tuple[Tensor, ...]:
        out = run()
        if unchecked:
            unchecked.pop()(out)
        return out

    return checked
