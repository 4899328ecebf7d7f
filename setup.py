"""What pyproject.toml cannot say: C extensions that may fail to build, and a file of the root.

Plain C without headers of Python or torch, loaded through ctypes. Where there is no compiler the
installation goes on without them: the shift is computed as a convolution, and training takes
torch's own depthwise convolutions and batch norms.
"""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py


class BuildWithResults(build_py):
    """Puts the published results.json into the package, where `lightfer choose` looks for it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copy("results.json", Path(self.build_lib) / "lightfer/results.json")


def _extension(name: str) -> Extension:
    """`lightfer.part._name` from `src/lightfer/part/_name.c`."""
    windows = sys.platform == "win32"
    return Extension(
        name,
        [f"src/{name.replace('.', '/')}.c"],
        libraries=[] if windows else ["m"],
        extra_compile_args=[] if windows else ["-std=gnu11", "-O3", "-Wno-psabi"],
        optional=True,
    )


setup(
    ext_modules=[_extension("lightfer.models._shift"), _extension("lightfer.train._kernels")],
    cmdclass={"build_py": BuildWithResults},
)
