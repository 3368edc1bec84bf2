"""The elements of an HTML page, which must be well-formed."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    children: list["Element"] = field(default_factory=list)
    text: str = ""
    """With that of the elements inside."""


class Tree(HTMLParser):
    """The elements of a page, every one of which must be closed."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        element = Element(tag, dict(attrs), self.open[-1] if self.open else None)
        self.elements.append(element)
        if element.parent is not None:
            element.parent.children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag, **attributes):
        return [
            each
            for each in self.elements
            if each.tag == tag and all(each.attributes.get(name) == value for name, value in attributes.items())
        ]

    def table(self, label):
        """The cells of a table's body, row by row."""
        (region,) = self.all("div", **{"aria-label": label})
        rows = [row for row in self.all("tr") if row.parent.tag == "tbody" and row.parent.parent.parent is region]
        return [row.children for row in rows]

    def strip(self, sequence):
        """The element with the frames of a sequence."""
        (head,) = [each for each in self.all("h3") if each.text == sequence]
        return head.parent.parent
