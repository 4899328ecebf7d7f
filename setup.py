"""The one thing pyproject.toml cannot say well: a C extension that may fail to build.

Plain C without headers of Python or torch, loaded through ctypes. Where there is no compiler the
installation goes on without it, and the shift is computed as a convolution.
"""

import sys

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "lightfer.models._shift",
            ["src/lightfer/models/_shift.c"],
            libraries=[] if sys.platform == "win32" else ["m"],
            extra_compile_args=[] if sys.platform == "win32" else ["-std=gnu11", "-O3"],
            optional=True,
        )
    ]
)
