"""What the executors of other packages have in common."""

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any


class Engine(Executor):
    """Another engine's futures as those of the standard library, its losses as BrokenExecutor."""

    def __init__(
        self,
        start: Callable[..., Future],
        lost: Callable[[BaseException], bool],
        close: Callable[[], object],
    ) -> None:
        self.start, self.lost, self.close = start, lost, close

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_running_or_notify_cancel()

        def hear(ended: Future) -> None:
            error = CancelledError() if ended.cancelled() else ended.exception()
            if error is None:
                future.set_result(ended.result())
            elif isinstance(error, CancelledError) or self.lost(error):
                future.set_exception(BrokenExecutor(str(error)))
            else:
                future.set_exception(error)

        self.start(fn, *args, **kwargs).add_done_callback(hear)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.close()
