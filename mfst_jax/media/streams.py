"""Addresses of videos and cameras: which are opened, with what options, and what they are called without passwords."""

import re
from typing import Any
from urllib.parse import urlsplit

from mfst_jax.errors import InputError

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Beginning of an address such as http://..., as opposed to a path: drives have one letter."""
PROTOCOLS = {
    "http": "http,https,httpproxy,tcp,tls",
    "https": "https,httpproxy,tcp,tls",
    "rtsp": "rtp,tcp,tls,udp",
    "rtsps": "rtp,tcp,tls,udp",
}
"""Schemes that are read, and the protocols that FFmpeg may use for each. A redirection from HTTPS to HTTP is none."""
FORMATS = (
    "3g2,3gp,asf,avi,flv,h264,hevc,ivf,live_flv,m4a,m4v,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mpjpeg,nut,ogg,"
    "webm"
)
"""FFmpeg's names of the formats that are read from an address: none is a playlist, which would lead elsewhere."""
PATIENCE = 20.0
"""Seconds that a stream may take to answer, and for each frame."""
LONGEST_PATIENCE = 3600.0


def is_address(text: str) -> bool:
    """Whether a text is an address, of whatever scheme, and not a path."""
    return ADDRESS.match(text) is not None


def is_stream(text: str) -> bool:
    """Whether a text is an address that is read."""
    return is_address(text) and text.partition(":")[0].lower() in PROTOCOLS


def name_of_stream(address: str) -> str:
    """Name of a stream in messages and files: its address without user, password, query and fragment.

    Raises:
      InputError: it is no sound address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        if not host or not address.isprintable() or " " in address:
            raise ValueError
    except ValueError:
        scheme = address.partition(":")[0]
        raise InputError(f"source {scheme}://...: expected an address with a host, found none that is sound") from None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{host}{'' if port is None else f':{port}'}{parts.path}"


def options_for(address: str, patience: float | int) -> dict[str, Any]:
    """Options by which PyAV opens an address.

    Args:
      address: of a stream.
      patience: seconds that it may take to answer, and for each packet.

    Raises:
      InputError: a patience that is none.
    """
    if not 0 < patience <= LONGEST_PATIENCE:
        raise InputError(f"patience: expected seconds above 0, up to {LONGEST_PATIENCE:g}, found {patience}")
    scheme = address.partition(":")[0].lower()
    options = {"protocol_whitelist": PROTOCOLS[scheme]}
    if scheme.startswith("http"):
        # Where the connection is kept, FFmpeg tells one that breaks off from one that ends.
        options |= {"format_whitelist": FORMATS, "multiple_requests": "1"}
    else:
        options |= {"format_whitelist": "rtsp", "rtsp_transport": "tcp"}
    return {"options": options, "timeout": float(patience)}
