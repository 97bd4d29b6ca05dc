"""Compiled programs of the experiments, kept on disk between processes.

JAX compiles for seconds at each start. `enable` keeps the programs in a folder of the
user's cache, by release of jaxlib; JAX's own variables win where they are set. An entry
that cannot be read, such as one that a killed process has half written, is removed: it
costs one compilation, and no warning at every start.
"""

import os
import pathlib
import re
import warnings

import jax
import jaxlib.version

_UNREADABLE = re.compile(
    r"Error reading persistent compilation cache entry for '(.+?)'"
)


def enable() -> pathlib.Path | None:
    """Turns the cache on for this process.

    Returns:
      The folder; None where JAX_COMPILATION_CACHE_DIR is set, to which all is left.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    release = f"jaxlib-{jaxlib.version.__version__}"
    folder = pathlib.Path(cache) / "jaxlin" / "programs" / release
    jax.config.update("jax_compilation_cache_dir", str(folder))
    for option in (
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    ):
        if option.upper() not in os.environ:
            jax.config.update(option, 0)
    _remove_what_cannot_be_read(folder)
    return folder


def _remove_what_cannot_be_read(folder: pathlib.Path) -> None:
    show = warnings.showwarning

    def remove_or_show(message, category, filename, lineno, file=None, line=None):
        unreadable = _UNREADABLE.match(str(message))
        if unreadable is None:
            show(message, category, filename, lineno, file, line)
            return
        # JAX names the program, and a file of a program is its name and a hash.
        for path in folder.glob(f"{unreadable[1]}-*"):
            path.unlink(missing_ok=True)

    warnings.showwarning = remove_or_show
