"""Pickles made by hand, an instruction at a time, and those of Python 2."""

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np

PROTOCOLS = (2, 3, 4, 5)
REFUSAL = (pickle.UnpicklingError, ValueError)
POINT = b"cnumpy.core.multiarray\n_reconstruct\n)R"

# numpy.save("x.npy", {"c": [numpy.arange(2, dtype="f4"), numpy.array(1, "i4")]}) by NumPy 1.16 and Python 2.7
PYTHON_2 = (
    b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }" + b" " * 63 + b"\n"
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01)cnumpy\n"
    b"dtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x06}q\x07U\x01"
    b"c]q\x08(h\x01h\x02K\x00\x85U\x01b\x87Rq\t(K\x01K\x02\x85h\x04U\x02f4K\x00K\x01\x87Rq\n(K\x03U\x01<NNNJ\xff\xff\xff"
    b"\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x00\x00\x00\x00\x80?tbh\x01h\x02K\x00\x85U\x01b\x87Rq\x0b(K\x01)h"
    b"\x04U\x02i4K\x00K\x01\x87Rq\x0c(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x00\x00\x00"
    b"tbesatb."
)


def text(value: str | Path) -> bytes:
    return b"X" + struct.pack("<I", len(str(value))) + str(value).encode()


def npy(value: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(value), version)
    return file.getvalue()
