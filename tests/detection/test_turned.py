import torch

from bilayer_graph.detection.turned import TURNS, consensus, turned, turned_back


def test_points_of_turned_pictures_come_back():
    """A bright pixel of a picture that is not square, found after each turn."""
    picture = torch.zeros(3, 5, 8)
    picture[:, 1, 6] = 1
    for quarters in (0, *TURNS):
        view = turned(picture, quarters)
        row, column = (view[0] == 1).nonzero()[0].tolist()
        middle = torch.tensor([column + 0.5, row + 0.5, 0.9])
        back = turned_back(middle, quarters, 5, 8)
        torch.testing.assert_close(back, torch.tensor([6.5, 1.5, 0.9]))


def a_look(generator, noise, confidence):
    x, y = torch.meshgrid(torch.arange(17.0), torch.tensor([1.0]), indexing="ij")
    points = torch.cat([10 * x, 40 * y], dim=1)
    points = points + noise * torch.randn(17, 2, generator=generator)
    return torch.cat([points, torch.full((17, 1), confidence)], dim=1)


def test_equal_looks_are_their_consensus():
    look = a_look(torch.Generator().manual_seed(0), 1.0, 0.6)
    torch.testing.assert_close(consensus(look.expand(4, -1, -1)), look)


def test_one_wild_look_has_no_say():
    """A joint far off in one of four looks, even a little surer than the others there."""
    generator = torch.Generator().manual_seed(1)
    looks = torch.stack([a_look(generator, 0.5, 0.5) for _ in range(4)])
    calm = consensus(looks)
    looks[2, 3] = torch.tensor([500.0, 500.0, 0.7])
    torch.testing.assert_close(consensus(looks)[3, :2], calm[3, :2], atol=1.0, rtol=0)


def test_a_sure_look_beats_agreeing_doubtful_ones():
    generator = torch.Generator().manual_seed(2)
    sure, doubtful = a_look(generator, 0.0, 0.9), a_look(generator, 0.0, 0.1)
    doubtful[:, 1] += 100
    result = consensus(torch.stack([doubtful, sure, doubtful]))
    torch.testing.assert_close(result, sure, atol=0.01, rtol=0)


def test_looks_without_any_confidence_give_numbers():
    look = a_look(torch.Generator().manual_seed(3), 1.0, 0.0)
    assert consensus(look.expand(4, -1, -1)).isfinite().all()
