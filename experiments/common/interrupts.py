"""Ctrl-C that waits for a safe moment.

An exception that breaks into JAX while it traces or compiles can be swallowed by a
callback, and the run goes on, or leave threads behind that crash the process at its
end. So the first Ctrl-C is only noted, and obeyed where the caller says that all is
saved:

with held_back() as stop_if_asked:
    for chunk in chunks:
        save(chunk)
        stop_if_asked()
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

_NOTED = b"\nstopping after the next save; Ctrl-C again stops at once\n"


@contextlib.contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Notes Ctrl-C instead of raising KeyboardInterrupt; a second one does raise it.

    What was noted and not obeyed inside is obeyed at the end.

    Yields:
      A function that raises KeyboardInterrupt if Ctrl-C was pressed before. Outside the
      main thread, where Python delivers no signals, it never does.
    """
    asked = False

    def note(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # Not print: a handler may run in the middle of another print.
        os.write(2, _NOTED)

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, before)
    stop_if_asked()
