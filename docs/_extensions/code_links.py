"""Links from code in running text to the API reference.

The code ``jaxlin.fit`` or ``folds.k_fold(...)`` in a page or a docstring becomes a link
to the entry whose name it ends. A name that begins with ``jaxlin.`` or ``experiments.``
and cannot be imported is a warning. So no page needs the syntax of references, and no
name goes stale.
"""

import pkgutil
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

_LOGGER = logging.getLogger(__name__)
_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.\w+)+)(?:\(.*\))?", re.DOTALL)


class LinkCode(SphinxPostTransform):
    """Wraps code that names an entry of the API reference in a link to it."""

    default_priority = 200

    def run(self, **_: Any) -> None:
        """Replaces nodes of the current page."""
        entries = self.env.domaindata["py"]["objects"]
        for node in [*self.document.findall(nodes.literal)]:
            name = _DOTTED.fullmatch(node.astext())
            if not name or isinstance(node.parent, nodes.reference):
                continue
            found = _full_name(name[1], entries)
            if found:
                entry = entries[found]
                link = make_refnode(
                    self.app.builder,
                    self.env.docname,
                    entry.docname,
                    entry.node_id,
                    [],
                    found,
                )
                node.replace_self(link)
                link += node
            elif name[1].startswith(("jaxlin.", "experiments.")):
                _require(name[1], node)


def _full_name(name: str, entries: dict[str, Any]) -> str | None:
    """Name of the only entry that is ``name`` or ends with it after a dot."""
    if name in entries:
        return name
    ending = [entry for entry in entries if entry.endswith(f".{name}")]
    return ending[0] if len(ending) == 1 else None


def _require(name: str, node: nodes.Node) -> None:
    """Warns unless the name, of a constant or an experiment, can be imported."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        _LOGGER.warning("no such name: %s", name, location=node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.add_post_transform(LinkCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
