"""Links from code in running text to the API reference.

The code ``jaxlin.fit`` or ``folds.k_fold(...)`` in a page or a docstring becomes a link
to the only entry with that ending. Code that begins with ``jaxlin.``, ``experiments.``
or a module of jaxlin, and names nothing, is a warning. So no page needs the syntax of
references, and no name goes stale.
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
_FILES = (".npz", ".npy", ".py", ".md", ".json", ".jsonl", ".csv", ".html")


class LinkCode(SphinxPostTransform):
    """Wraps code that names an entry of the API reference in a link to it."""

    # After references, which leave code that they do not resolve.
    default_priority = 200

    def run(self, **_: Any) -> None:
        """Replaces nodes of the current page."""
        entries = self.env.domaindata["py"]["objects"]
        modules = self.env.domaindata["py"]["modules"]
        heads = {"jaxlin", "experiments", *(name.split(".")[-1] for name in modules)}
        for node in [*self.document.findall(nodes.literal)]:
            match = _DOTTED.fullmatch(node.astext())
            if not match or match[1].endswith(_FILES):
                continue
            name = match[1]
            found = [entry for entry in entries if f".{entry}".endswith(f".{name}")]
            exact = name if name in entries else None
            if exact or len(found) == 1:
                self._link(node, exact or found[0])
            elif not found and name.split(".")[0] in heads:
                _require(name, node)

    def _link(self, node: nodes.literal, name: str) -> None:
        if isinstance(node.parent, nodes.reference):
            return
        entry = self.env.domaindata["py"]["objects"][name]
        link = make_refnode(
            self.app.builder, self.env.docname, entry.docname, entry.node_id, [], name
        )
        node.replace_self(link)
        link += node


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
