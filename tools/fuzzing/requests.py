"""Seeds and readers of the rest: requests to the page of `--select`, command lines, exported trackers, downloads."""

import hashlib
import json
import socket
import zipfile
from contextlib import suppress
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from fuzzing.parser import Content, Parser, each_tried
from fuzzing.weights import METADATA, STATE
from mfst_jax.config import override
from mfst_jax.export.files import read_metadata
from mfst_jax.export.running import open_exported
from mfst_jax.export.signature import FORMAT
from mfst_jax.export.stablehlo import ABOUT
from mfst_jax.media.source import Source
from mfst_jax.presets import PAPER
from mfst_jax.program.box_arguments import choose_targets
from mfst_jax.select.frames import StoredFrames
from mfst_jax.select.server import Server, parse_choice
from weight_port import fetching
from weight_port.formats import torch_files

SOURCE = Source("s", (48, 64), 2, 25.0, None, lambda: (("0", np.zeros((48, 64, 3), np.uint8)) for _ in range(2)))
CHOICE = {"frame": 1, "targets": [{"name": "a", "box": [1, 2.5, 10, 20]}, {"name": "", "box": [-5, 40, 10.5, 20]}]}
ABOUT_EXPORT = {"format": FORMAT, "mfst_jax": "0.1.0", "config": {}, "frame_shape": [64, 64, 3], "platforms": ["cpu"]}


def choose(folder: Path) -> None:
    """Reads a choice that a page sent."""
    with StoredFrames(SOURCE) as frames:
        parse_choice((folder / "body").read_bytes(), frames)


def ask(folder: Path) -> None:
    """Sends a whole request to a server of the page, and reads the answer. The server must stay as it was."""
    server, problems = _server()
    request = (folder / "request").read_bytes()
    request = request.replace(b"TOKEN", server.token.encode()).replace(b"PORT", str(server.port).encode())
    # A request that is too long is not heard to its end.
    with socket.create_connection(("127.0.0.1", server.port), timeout=4) as connection, suppress(OSError):
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    server._settled = False  # the next input chooses again
    if problems:
        raise problems.pop()


@cache
def _server() -> tuple[Server, list[BaseException]]:
    """Server of this process, and what was raised in it by anything but a connection that broke off."""
    import sys

    server, problems = Server(StoredFrames(SOURCE), 0), []

    def note(request: object, client_address: object) -> None:
        if (error := sys.exception()) is not None and not isinstance(error, ConnectionError | TimeoutError):
            problems.append(error)

    server._http.handle_error = note  # pyrefly: ignore[bad-assignment]
    server.__enter__()
    return server, problems


def request(path: str, body: str | None = None) -> Content:
    """Request to the server of the page."""
    head = f"{'GET' if body is None else 'POST'} /TOKEN/{path} HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
    if body is not None:
        head += f"Origin: http://127.0.0.1:PORT\r\nContent-Length: {len(body)}\r\n"
    return {"request": f"{head}Connection: close\r\n\r\n{body or ''}"}


def command_line() -> Content:
    """Settings and boxes, an argument a line."""
    settings = "scale_step=1.03\nmodels=siamfc\nalexnet_weights=.1,.6,.3\nse=none\nscale_count=5\nwindow_influence=0.2"
    return {"arguments": settings + "\n\na=1,2,10,20\nb b=3.5,4,10,10"}


def read_command_line(folder: Path) -> None:
    """Reads settings and boxes as a command line gives them."""
    arguments = (folder / "arguments").read_bytes().decode("utf-8", "surrogateescape").split("\n\n")
    settings, boxes = arguments[0].split("\n"), arguments[-1].split("\n")
    each_tried([partial(override, PAPER, settings), partial(choose_targets, SOURCE, boxes)])


def onnx_file() -> Content:
    """ONNX model with what `mfst export` says in it."""
    from onnx import TensorProto, helper

    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT, shape=[4])
    graph = helper.make_graph([helper.make_node("Identity", ["frame"], ["box"])], "x", [value("frame")], [value("box")])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, {"mfst_jax": json.dumps(ABOUT_EXPORT)})
    return {"x": model.SerializeToString(deterministic=True)}


@cache
def stablehlo_file() -> Content:
    """Archive as `mfst export` writes it, with tiny programs."""
    program = jax.export.export(jax.jit(lambda x: {"x": x + 1}))(jax.ShapeDtypeStruct((4,), jnp.float32)).serialize()
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((ABOUT, json.dumps(ABOUT_EXPORT).encode()), ("init.bin", program), ("step.bin", program)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), bytes(data))
    return {"x": buffer.getvalue()}


def open_export(folder: Path) -> None:
    """Reads what an exported tracker says, and opens it."""
    read_metadata(folder / "x")
    open_exported(folder / "x", threads=1)


def download() -> Content:
    """Downloaded file of weights, and the note of its SHA-256."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder, "x")
        torch_files.write_legacy(path, STATE, METADATA)
        return {"x.pth": path.read_bytes(), "x.pth.sha256": hashlib.sha256(path.read_bytes()).hexdigest() + "\n"}


def check_download(folder: Path) -> None:
    """Checks a download against the note beside it, and as weights."""
    published = next(iter(fetching.PUBLISHED.values()))
    from dataclasses import replace

    fetching.check(folder / "x.pth", replace(published, url="https://localhost/x.pth", sha256=None), record=True)


REQUESTS = (
    *(partial(request, path) for path in ("", "page.css", "source.json", "frame/1.jpg")),
    *(partial(request, path, "{}") for path in ("alive", "freeze", "open", "cancel")),
    partial(request, "start", json.dumps(CHOICE)),
)
PARSERS = (
    Parser("select: a choice", choose, (lambda: {"body": json.dumps(CHOICE)},), text=0.9, share=4),
    Parser("select: requests", ask, REQUESTS, text=0.7, compiled=True),
    Parser("command line", read_command_line, (command_line,), text=0.9, share=4),
    Parser("export: ONNX", open_export, (onnx_file,), text=0.3, share=0.5, compiled=True),
    Parser("export: StableHLO", open_export, (stablehlo_file,), text=0.3, share=0.5, compiled=True),
    Parser("a checked download", check_download, (download,), text=0.3, share=0.5),
)
