"""Being asked to stop: one line that says what is kept, exit code 130 or 143, nothing half written.

Standard library only.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from lightfer._files import remove_unfinished, stop_asked

ASKED = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
AS_IT_WAS = "files are as they were; run it again"
KEPT = {
    "bench": "what was measured is kept; the same command goes on with it",
    "train": "the state after the last whole epoch is kept; the same command goes on with it",
    "teach": "the answers of teachers that had finished are kept; the same command goes on",
    "queue": "the state after the last whole epochs is kept; the same command goes on with it",
    "predict --executor": "finished parts are kept; the same command goes on with them",
    "predict": "finished pictures are kept, --out and a film are as they were; run it again",
}
"""By command; what the others write is there as a whole or as it was."""
SOCKETS = -100
"""The priority at which `multiprocessing` removes the folder of its sockets."""


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM): what is half written is removed on the way out."""


class Stoppable:
    """Around a whole command, outside of everything else: ends the process when it was stopped.

    SIGINT raises KeyboardInterrupt, as ever, SIGTERM and SIGHUP raise Terminated; where code that
    cannot pass them on has swallowed or changed them, the stop is made up for here. What is ignored
    from the start, as under nohup, stays ignored. Only in the main thread of this process: its
    children end as they did.
    """

    def __init__(self, command: str) -> None:
        self.command, self.asked = command, 0

    def __enter__(self) -> None:
        self.owner = os.getpid()
        stop_asked.clear()
        if threading.current_thread() is threading.main_thread():
            for number in ASKED:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._stop)
            sys.unraisablehook = self._unraisable

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """With a stop the process ends here: threads that wait for a read are not waited for."""
        told = isinstance(error, KeyboardInterrupt | Terminated)
        if told or (
            self.asked and error is not None and getattr(error, "code", 1) not in (0, None)
        ):
            for number in ASKED:
                signal.signal(number, signal.SIG_IGN)
            remove_unfinished()
            if util := sys.modules.get("multiprocessing.util"):
                util._run_finalizers(0)  # else its tracker complains of what is left
                for (priority, _), finalizer in [*util._finalizer_registry.items()]:
                    if priority == SOCKETS:  # those between may wait for processes that are gone
                        finalizer()
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            with suppress(OSError, ValueError):
                kept = KEPT.get(self.command, AS_IT_WAS)
                print(f"lightfer: stopped; {kept}", file=sys.stderr, flush=True)
            os._exit(128 + (self.asked or signal.SIGINT))
        for number in ASKED:  # what was to be done is done, and needs no message any more
            if signal.getsignal(number) == self._stop:
                signal.signal(number, signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.asked = number
        stop_asked.set()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(128 + number)

    def _unraisable(self, args: Any) -> None:
        """A stop that fell into code which cannot raise, as a destructor, is raised behind it."""
        if self.asked and isinstance(args.exc_value, KeyboardInterrupt | Terminated):
            threading.Timer(0.01, os.kill, (os.getpid(), self.asked)).start()
        else:
            sys.__unraisablehook__(args)
