"""Settings of the documentation: ``python -m sphinx docs docs/_build``."""

import os
import sys
from pathlib import Path

import jaxlin

# Most of the build is compiling, so programs are compiled with few optimisations and
# kept for the next build.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / "_build" / ".programs")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "jaxlin"
author = "The jaxlin authors"
release = version = jaxlin.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "api_pages",
    "code_links",
]
exclude_patterns = ["_build", "_extensions", "jupyter_execute"]

# Pages run at build, a kernel each. Outputs are kept in _build until the code of a page
# changes; after a change of the library, add -E -D nb_execution_mode=force.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / ".jupyter_cache")
nb_execution_raise_on_error = True
nb_execution_in_temp = True  # pages write files
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove"  # remarks of the compiler; the tests refuse warnings

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3

# Single backticks in docstrings name objects of their module; `code_links` adds others.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# The generated pages document every name once; summaries only point to them.
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "jaxlin"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False
html_show_sphinx = False
