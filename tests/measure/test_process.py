"""What is done to the process that measures."""

import gc
import weakref

from lightfer.measure.process import collected_once, without_collection


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_looked_through_is_left_alone_until_the_end():
    """Each visit looked through all objects again, half a second where a net had been exported."""
    with collected_once():
        with without_collection():
            assert not gc.isenabled()
            known = gc.get_freeze_count()
            assert known > 1000
            dropped = weakref.ref(Ring())
            assert dropped() is not None
        assert gc.isenabled()
        with without_collection():
            assert dropped() is None
            assert gc.get_freeze_count() >= known
    assert gc.get_freeze_count() == 0
