"""Sums in the memory of a result: only where nobody else has seen it."""

import pytest
import torch

from bilayer_graph.nn import GCNBlock
from bilayer_graph.nn.accumulate import accumulate

OUT = torch.arange(6.0).view(2, 3)


@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_the_sum_takes_the_memory_of_the_result(shape):
    out, other = OUT.clone(), torch.full(shape, 0.5)
    assert accumulate(out, other) is out
    assert torch.equal(out, OUT + 0.5)


@pytest.mark.parametrize(
    "other",
    [torch.ones(2, 3, dtype=torch.float64), torch.ones(4, 2, 3), torch.ones(2, 1)],
    ids=["wider", "more", "spread"],
)
def test_what_does_not_fit_becomes_a_new_tensor(other):
    out = OUT.clone()
    total = accumulate(out, other)
    assert torch.equal(out, OUT)
    assert torch.equal(total, OUT + other)
    assert total.dtype == other.dtype


def test_what_a_hook_may_have_kept_stays():
    kept, maker = [], torch.nn.Identity()
    with maker.register_forward_hook(lambda *seen: kept.append(seen[-1])):
        total = accumulate(maker(OUT.clone()), torch.ones(3), maker)
    assert torch.equal(kept[0], OUT)
    assert torch.equal(total, OUT + 1)


@pytest.mark.parametrize("kind", ["full_backward_hook", "full_backward_pre_hook"])
def test_a_result_that_a_backward_hook_wraps_stays(kind):
    maker, x = torch.nn.Linear(3, 3), OUT.clone().requires_grad_()
    getattr(maker, f"register_{kind}")(lambda *_: None)
    accumulate(maker(x), torch.ones(3), maker).sum().backward()
    torch.testing.assert_close(x.grad, maker.weight.sum(0).expand(2, 3))


def test_a_hook_on_all_modules_sees_what_each_returns():
    block = GCNBlock(16, 16)
    x, edges = torch.randn(5, 16), torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    kept = {}
    record = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, out: kept.setdefault(module, out)
    )
    with record:
        out = block(x, edges)
    assert torch.equal(out, kept[block])
    torch.testing.assert_close(kept[block.lin_out] + x, out)


def test_gradients_pass_through():
    out, other = OUT.clone().requires_grad_(), torch.ones(3).requires_grad_()
    accumulate(2 * out, other).square().sum().backward()
    assert torch.equal(out.grad, 4 * (2 * OUT + 1))
    assert torch.equal(other.grad, (2 * (2 * OUT + 1)).sum(0))


def test_under_vmap_the_result_may_be_the_smaller():
    total = torch.func.vmap(lambda other: accumulate(OUT.clone(), other))(torch.ones(4, 2, 3))
    assert torch.equal(total, (OUT + 1).expand(4, 2, 3))
