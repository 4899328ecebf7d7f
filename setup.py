"""The one thing pyproject.toml cannot say well: C extensions that may fail to build.

Plain C without headers of Python or torch, loaded through ctypes. Where there is no compiler the
installation goes on without them: the shift is computed as a convolution, and oneDNN computes the
gradients of depthwise convolutions.
"""

import sys

from setuptools import Extension, setup


def _extension(name: str) -> Extension:
    """`lightfer.part._name` from `src/lightfer/part/_name.c`."""
    windows = sys.platform == "win32"
    return Extension(
        name,
        [f"src/{name.replace('.', '/')}.c"],
        libraries=[] if windows else ["m"],
        extra_compile_args=[] if windows else ["-std=gnu11", "-O3"],
        optional=True,
    )


setup(ext_modules=[_extension("lightfer.models._shift"), _extension("lightfer.train._depthwise")])
