"""Oracle: a simulated device of known capacity, on which epochs take longer only beyond it."""

import pytest

from lightfer.train.sweep.filling import Filling


def fill(capacity: float, items: int = 32, epochs: int = 200) -> int:
    """Workers after `epochs` rounds; every item takes 1 to 2 seconds per epoch when alone."""
    filling = Filling()
    for _ in range(epochs):
        running = {f"item{i}" for i in range(filling.workers)}
        slower = max(1.0, len(running) / capacity)
        for i, name in enumerate(sorted(running)):
            if filling.add_after(name, (1 + i / items) * slower, running):
                break
    return filling.workers


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 8])
def test_ends_one_worker_beyond_the_capacity(capacity: int):
    """The one that brought nothing is how the capacity was found."""
    assert fill(capacity) == capacity + 1


def test_a_device_that_is_never_full_gets_no_more_than_there_are_items():
    filling = Filling()
    for _ in range(10):
        filling.add_after("only", 1.0, {"only"})
    assert filling.workers == 2  # a second was asked for; as none runs, no third


def test_items_that_come_and_go_do_not_fill_by_chance():
    """Nothing can be compared: no item was there before the worker was added."""
    filling = Filling()
    assert [filling.add_after("a", 1.0, {"a"}) for _ in range(2)] == [False, True]
    for name in ("b", "c", "b", "c"):
        assert not filling.add_after(name, 1.0, {"b", "c"})
    assert filling.full
