"""What is done to the process that measures."""

import gc
import weakref

from lightfer.measure.process import look_no_more, looked_once, without_collection


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_looked_through_is_left_alone_and_what_is_new_is_not():
    """Each visit looked through all objects again, half a second where a net had been exported."""
    with looked_once():
        look_no_more()
        known, ring = gc.get_freeze_count(), Ring()
        assert known > 1000
        with without_collection():
            assert not gc.isenabled()
        gone = weakref.ref(ring)  # as a net that the next round opens anew
        del ring
        with without_collection():
            assert gone() is None
        assert gc.isenabled()
        assert gc.get_freeze_count() <= known
    assert gc.get_freeze_count() == 0
