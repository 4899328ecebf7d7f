"""What pyproject.toml cannot say: C extensions that may fail to build, two more files of a package.

Plain C without headers of Python or torch, loaded through ctypes. Where there is no compiler the
installation goes on without them: the shift is computed as a convolution, and training takes
torch's own depthwise convolutions and batch norms.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent


class Build(build_py):
    """Puts the published results.json into the package, where `lightfer choose` looks for it, and
    the commit, which results files name.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "lightfer"
            shutil.copy("results.json", package / "results.json")
            write_commit(package)


class SourceWithCommit(sdist):
    """What is built from it later knows its commit, too."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir) / "src/lightfer")


def write_commit(package: Path) -> None:
    """The commit of this checkout into `package`/commit.txt, where this is one and git is there."""
    git = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+dirty"]
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        (package / "commit.txt").write_text(done.stdout)


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
    cmdclass={"build_py": Build, "sdist": SourceWithCommit},
)
