"""Building the site: how pages of the repository become pages of the site, and what a built site is refused for."""

import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import build_docs

PICTURE = """<picture>
  <source media="(prefers-color-scheme: dark)" srcset="a_dark.webp">
  <img alt="Two maps" src="a.webp">
</picture>
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a few pages."""
    root = tmp_path / "repository"
    for name in ("docs/jax.md", "docs/tutorials/start.md", "ARCHITECTURE.md", "examples/a.py", "train/recipes/b.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    monkeypatch.setattr(build_docs, "ROOT", root)
    monkeypatch.setattr(build_docs, "BESIDE_DOCS", ("ARCHITECTURE.md",))
    return root


def converted(repository: Path, page: str, text: str) -> str:
    (repository / page).write_text(text)
    return build_docs.for_site(Path(page), repository.parent / "staged")


def test_the_site_has_the_pages_of_docs_and_those_beside_it(repository: Path):
    assert [str(page) for page in build_docs.pages()] == ["docs/jax.md", "docs/tutorials/start.md", "ARCHITECTURE.md"]
    assert [str(build_docs.place(page)) for page in build_docs.pages()] == [
        "jax.md",
        "tutorials/start.md",
        "ARCHITECTURE.md",
    ]


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("docs/tutorials/start.md", "../jax.md#gradients", "../jax.md#gradients"),
        ("docs/tutorials/start.md", "../../ARCHITECTURE.md", "../ARCHITECTURE.md"),
        ("docs/jax.md", "../ARCHITECTURE.md#rules", "ARCHITECTURE.md#rules"),
        ("ARCHITECTURE.md", "docs/jax.md", "jax.md"),
        ("docs/jax.md", "#gradients", "#gradients"),
        ("docs/jax.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_leads_to_the_same_page_in_the_site(repository: Path, page: str, link: str, expected: str):
    assert converted(repository, page, f"See [there]({link}).") == f"See [there]({expected})."


def test_a_file_that_a_page_links_to_comes_along(repository: Path):
    text = converted(repository, "docs/tutorials/start.md", "The [recipe](../../train/recipes/b.py).\n")
    assert text == "The [recipe](../train/recipes/b.py).\n"
    assert (repository.parent / "staged" / "train" / "recipes" / "b.py").read_text() == "# train/recipes/b.py\n"


def test_a_link_to_an_example_alone_shows_it(repository: Path):
    text = converted(
        repository, "docs/tutorials/start.md", "[examples/a.py](../../examples/a.py)\n\nor [a](../../examples/a.py)\n"
    )
    expected = "[examples/a.py](../examples/a.py)\n\n```python\n# examples/a.py\n```\n\nor [a](../examples/a.py)\n"
    assert text == expected


def test_code_stays_as_it_is(repository: Path):
    block = "```python\nx[0](../ARCHITECTURE.md)\n```\n"
    assert converted(repository, "docs/jax.md", block) == block


def test_a_block_of_no_language_is_text(repository: Path):
    blocks = "```\n->\n```\n\n```sh\nmfst demo\n```\n"
    assert converted(repository, "docs/jax.md", blocks) == blocks.replace("```\n->", "```text\n->")


def test_pictures_for_light_and_dark_pages_follow_the_switch_of_the_site(repository: Path):
    text = converted(repository, "docs/jax.md", PICTURE)
    shown = [
        f"```{{image}} a{end}.webp\n:class: only-{which}\n:alt: Two maps\n```"
        for end, which in (("", "light"), ("_dark", "dark"))
    ]
    assert text == "\n\n".join(shown) + "\n"


def site(folder: Path, body: str, css: str = "") -> list[str]:
    (folder / "a.html").write_text(f"<html><body>{body}</body></html>")
    (folder / "b.html").write_text('<html><body><h1 id="here">b</h1></body></html>')
    (folder / "a.css").write_text(css)
    return [*build_docs.faults_of(folder)]


@pytest.mark.parametrize(
    "body",
    [
        '<a href="b.html#here">b</a>',
        '<a href="b.html">b</a><a href="#top" id="top">t</a>',
        '<a href="https://example.org">e</a>',
    ],
)
def test_a_site_whose_links_lead_somewhere_has_no_faults(tmp_path: Path, body: str):
    assert site(tmp_path, body, "a { background: url(data:image/png;base64,AA==) }") == []


@pytest.mark.parametrize(
    ("body", "css", "fault"),
    [
        ('<a href="c.html">c</a>', "", "a.html: links to c.html, which is not there"),
        ('<a href="b.html#gone">b</a>', "", "a.html: links to b.html#gone, but nothing there is called so"),
        ('<img src="c.png">', "", "a.html: links to c.png, which is not there"),
        (
            '<script src="https://cdn.example/x.js"></script>',
            "",
            "a.html: loads https://cdn.example/x.js from another host",
        ),
        (
            '<link rel="stylesheet" href="//cdn.example/x.css">',
            "",
            "a.html: loads //cdn.example/x.css from another host",
        ),
        ("", "@import 'https://fonts.example/a.css';", "a.css: loads https://fonts.example/a.css from another host"),
        ("", "a { src: url(//fonts.example/a.woff) }", "a.css: loads //fonts.example/a.woff from another host"),
    ],
)
def test_a_site_is_refused_for_links_to_nowhere_and_for_other_hosts(tmp_path: Path, body: str, css: str, fault: str):
    assert site(tmp_path, body, css) == [fault]


def test_an_installed_package_is_asked_for_where_the_checkout_is_imported():
    if not Path(build_docs.mfst_jax.__file__).is_relative_to(ROOT):
        pytest.skip("an installed mfst_jax is tested")
    with pytest.raises(SystemExit, match="expected an installed one, found that of the checkout"):
        build_docs.main(installed=True)


@pytest.mark.slow  # Sphinx takes half a minute
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    pytest.importorskip("sphinx", reason="Sphinx is not installed: the extra `docs`")
    pytest.importorskip("furo", reason="furo is not installed: the extra `docs`")
    # In a process of its own: what Sphinx's own code is warned of would be an error here, and the build sets variables
    # of its environment.
    command = [sys.executable, str(ROOT / "tools" / "build_docs.py"), "--out", str(tmp_path / "site")]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.returncode == 0, process.stdout
    for name in ("index.html", "faq.html", "reference/mfst_jax.html", "tutorials/own_video.html"):
        assert (tmp_path / "site" / name).is_file()
