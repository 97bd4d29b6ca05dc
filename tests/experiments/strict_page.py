"""A strict parser of pages."""

import html.parser

VOID = {"meta", "img", "br", "hr", "link", "input"}
REFERENCES = {"src", "href", "srcset", "action", "data", "poster", "background"}


class Page(html.parser.HTMLParser):
    """Parses a page strictly and keeps what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.references, self.images, self.classes = [], [], {}
        self.text = {}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [attributes[n] for n in REFERENCES if n in attributes]
        assert not any(name.startswith("on") for name in attributes)
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        self.classes.setdefault(tag, []).append(attributes.get("class"))
        if tag not in VOID:
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open, f"closes nothing: {tag}"
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.text[tag][-1] += data


def assert_stands_alone(page):
    """Fails if a page loads anything, or runs a script besides its own."""
    assert page.references
    assert all(
        ref.startswith(("#", "data:image/png;base64,")) for ref in page.references
    )
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "url(" not in page.text["style"][0]
    assert "@import" not in page.text["style"][0]
