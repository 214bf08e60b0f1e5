"""Which samples an epoch sees."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class FreshSamples(Sampler[int]):
    """A walk through a dataset once over many epochs, so that no sample is seen twice.

    Of several devices each takes every n-th sample, as many an epoch as one device alone would:
    a training on more devices has the same number of steps, on larger batches.

    Args:
        epoch_size: Number of samples an epoch and device.
        rank: Which of the devices this is.
        devices: Number of devices.
    """

    def __init__(self, epoch_size: int, rank: int = 0, devices: int = 1) -> None:
        self.epoch_size = epoch_size
        self.rank = rank
        self.devices = devices
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this, also when a training is resumed."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of the current epoch."""
        first = self.epoch * self.epoch_size * self.devices
        return iter(range(first + self.rank, first + self.epoch_size * self.devices, self.devices))

    def __len__(self) -> int:
        return self.epoch_size
