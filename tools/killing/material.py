"""Material of the commands that are killed: clips, weights, a recipe, and a slow server of weights."""

import contextlib
import dataclasses
import hashlib
import importlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def make_material(folder: Path) -> None:
    """Clips, weights of other programs and a recipe."""
    import weight_port
    from mfst_jax.checkpoints import weight_names
    from mfst_jax.params import Contents
    from weight_port.reading import Source

    importlib.import_module("clips").write_clips(folder / "clips", rounds=1)
    shutil.rmtree(folder / "clips" / "Toy")  # of another shape, which would take a compilation of its own
    random_numbers = np.random.default_rng(0)
    published = folder / "published"
    published.mkdir()
    for number, contents, layout in (
        (0, Contents(siamfc=False, alexnet="torchvision"), "torchvision-alexnet"),
        (1, Contents(siamfc=False, alexnet="torchvision"), "torchvision-alexnet"),
        (2, Contents(siamfc=True, alexnet=None, siamfc_bias=True), "matconvnet"),
    ):
        shapes = weight_names.expected(contents)
        arrays = {name: random_numbers.uniform(0.5, 1, shape).astype(np.float32) for name, shape in shapes.items()}
        source = Source("random", arrays, {name: name for name in arrays}, {"tool": "kill_campaign", "sources": []})
        weight_port.export(
            source, folder / (f"net{number}.mat" if layout == "matconvnet" else f"net{number}.pth"), layout
        )
    (folder / "recipe.py").write_text(
        "from mfst_jax.train.recipe import Recipe\n"
        'RECIPE = Recipe(model="alexnet", factors=(1.0, 1.0, 1.0), epochs=3, pairs_per_epoch=16, batch_size=4,\n'
        "                cached_pairs=12, validation_pairs=4)\n"
    )


@contextlib.contextmanager
def serving(material: Path) -> Iterator[None]:
    """Serves the weights of `weights get` from a process of its own, slowly, and lets the package expect them."""
    import servers

    from mfst_jax.checkpoints import known_weights

    class Slow(servers.Handler):
        """Answers at about 40 MB/s, so that kills fall into downloads."""

        def setup(self) -> None:
            super().setup()
            plain = self.wfile.write

            def write(content: bytes) -> int:
                for start in range(0, len(content), 1 << 18):
                    plain(content[start : start + (1 << 18)])
                    time.sleep(0.006)
                return len(content)

            self.wfile.write = write  # type: ignore[method-assign]

    server = servers.Server()
    server.RequestHandlerClass = Slow
    for what, name in (("alexnet", "net0.pth"), ("siamfc", "net2.mat")):
        content = (material / name).read_bytes()
        known = known_weights.PUBLISHED[what]
        server.files[known.name] = content
        pinned = None if known.sha256 is None else hashlib.sha256(content).hexdigest()
        size = None if known.size is None else len(content)
        known_weights.PUBLISHED[what] = dataclasses.replace(known, sha256=pinned, size=size)
    (material / "server").write_text(server.url)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            server.serve_forever()
        os._exit(0)
    server.server_close()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
