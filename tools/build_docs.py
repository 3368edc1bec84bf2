"""Builds the documentation site, and refuses it where a warning, a link or a foreign host is in it.

python tools/build_docs.py --out build/docs --installed
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import api_reference
import tyro

import mfst_jax

ROOT = Path(__file__).parents[1]
BESIDE_DOCS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "RELEASE.md", "SECURITY.md")
"""Pages of the repository that are pages of the site as well."""
FENCED = re.compile(r"(^```.*?^```\n)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
EXAMPLE = re.compile(r"^\[[^]]*\]\(([^)]*examples/\w+\.py)\)$", re.MULTILINE)
PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*<img alt="([^"]+)" src="([^"]+)">'
    r"\s*</picture>"
)
LOADED = {"img": "src", "script": "src", "link": "href", "source": "srcset", "iframe": "src", "video": "src"}


def main(out: Path = ROOT / "build" / "docs", installed: bool = False) -> None:
    """Builds the site.

    Args:
      out: The folder for it, which is replaced.
      installed: Whether to refuse an mfst_jax that is not an installed one but the one of this checkout.
    """
    origin = Path(mfst_jax.__file__).parent
    if installed and origin.is_relative_to(ROOT):
        raise SystemExit(f"mfst_jax: expected an installed one, found that of the checkout, {origin}")
    from sphinx.cmd.build import main as build

    with tempfile.TemporaryDirectory() as scratch:
        staged, built = Path(scratch) / "pages", Path(scratch) / "site"
        stage(staged)
        os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same pages make the same site
        options = ["-b", "html", "-q", "--fail-on-warning", "--keep-going", "--fresh-env"]
        if status := build([*options, "-c", str(ROOT / "docs" / "site"), str(staged), str(built)]):
            raise SystemExit(status)
        if faults := [*faults_of(built)]:
            raise SystemExit("\n".join(faults))
        shutil.rmtree(built / ".doctrees", ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(built, out)
    pages = len([*out.rglob("*.html")])
    print(f"wrote {out}: {pages} pages, of mfst_jax {mfst_jax.__version__} in {origin}")


def stage(folder: Path) -> None:
    """Writes the pages as Sphinx is to read them: docs/ with the pages beside it, and the API reference."""
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("site", "*.md", "__pycache__"))
    shutil.copytree(ROOT / "docs" / "site" / "static", folder / "static")
    for page in pages():
        staged = folder / place(page)
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(for_site(page, folder), encoding="utf-8")
    (folder / "reference").mkdir()
    for name, text in api_reference.pages().items():
        (folder / "reference" / name).write_text(text, encoding="utf-8")


def pages() -> list[Path]:
    """Pages of the repository that the site has, by their path from its root."""
    inside = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
    return [*inside, *map(Path, BESIDE_DOCS)]


def place(page: Path) -> Path:
    """Where a file of the repository lies in the site's sources: docs/ is their root."""
    return page.relative_to("docs") if page.parts[0] == "docs" else page


def for_site(page: Path, folder: Path) -> str:
    """Text of a page with its links as they are in the site. Files that it links to are copied there.

    A paragraph that is a link to an example alone is followed by the example. A picture for light and one for dark
    pages follow the site's own switch.
    """

    def link(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if urlsplit(target).scheme:
            return match[0]
        found = Path(os.path.normpath(page.parent / target))
        if found.suffix != ".md" and (ROOT / found).is_file():
            (folder / place(found)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / found, folder / place(found))
        return Path(os.path.relpath(place(found), place(page).parent)).as_posix() + anchor

    def example(match: re.Match[str]) -> str:
        code = (ROOT / page.parent / match[1]).read_text(encoding="utf-8")
        return f"{match[0]}\n\n```python\n{code}```"

    def picture(match: re.Match[str]) -> str:
        dark, words, light = match[1], match[2], match[3]
        shown = [(light, "light"), (dark, "dark")]
        return "\n\n".join(f"```{{image}} {name}\n:class: only-{which}\n:alt: {words}\n```" for name, which in shown)

    parts = FENCED.split((ROOT / page).read_text(encoding="utf-8"))
    for number in range(0, len(parts), 2):
        parts[number] = LINK.sub(link, EXAMPLE.sub(example, parts[number]))
        parts[number] = PICTURE.sub(picture, parts[number])
    for number in range(1, len(parts), 2):  # a block of no language is text; one that is indented is a command
        parts[number] = re.sub(r"\A```\n", "```text\n", parts[number])
    return "".join(parts)


class _Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if LOADED.get(tag) in given and given.get("rel") not in ("next", "prev", "index", "search", "canonical"):
            self.loaded.append(given[LOADED[tag]])


def faults_of(site: Path) -> Iterator[str]:
    """What is wrong with a built site: links to nowhere, and what its pages would load from other hosts."""
    read = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in read.items():
        name = path.relative_to(site.resolve())
        yield from (f"{name}: loads {each} from another host" for each in page.loaded if urlsplit(each).netloc)
        for each in [*page.links, *page.loaded]:
            parts = urlsplit(each)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{name}: links to {each}, which is not there"
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors:
                yield f"{name}: links to {each}, but nothing there is called so"
    for path in sorted(site.rglob("*.css")):
        for address in re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", path.read_text("utf-8")):
            yield f"{path.relative_to(site)}: loads {address} from another host"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    tyro.cli(main)
