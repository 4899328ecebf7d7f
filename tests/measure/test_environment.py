"""The environment: what people share holds none of their folders."""

import re
import subprocess
from pathlib import Path

import pytest

from lightfer.measure import environment
from lightfer.measure.environment import (
    code_version,
    command_text,
    cpu_name,
    microarchitecture,
    without_folders,
)


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("/home/me/data", "data"),
        ("/home/me/data/", "data"),
        ("../me/a.safetensors", "a.safetensors"),
        ("--out=/home/me/my results/r.json", "--out=r.json"),
        ("net=/home/a.pt,other=/home/b.pt", "net=a.pt,other=b.pt"),
        (r"C:\Users\me\data", "data"),
        ("--ten-crop", "--ten-crop"),
        ("--out=r\udcff.json", "--out=r\\xff.json"),  # bytes of a name that is not UTF-8
        ("results.json", "results.json"),
        ("ray:ray://10.0.0.5:10001", "ray"),
        ("--executor=dask:tcp://head.cluster:8786", "--executor=dask"),
        ("package.module:factory", "package.module:factory"),
    ],
)
def test_a_command_names_files_without_their_folders(argument: str, written: str):
    assert command_text(["/usr/bin/lightfer", "bench", argument]) == f"lightfer bench {written}"


def test_a_module_that_is_run_has_the_name_of_its_command():
    assert command_text(["/site/lightfer/__main__.py", "bench"]) == "lightfer bench"


X86 = """processor : 0
vendor_id : AuthenticAMD
cpu family : 23
model  : 1
model name : AMD EPYC
flags  : fpu avx2 fma
"""


def test_processors_of_one_name_are_told_apart_by_design_and_instructions():
    newer = X86.replace(": 23", ": 25").replace("avx2", "avx2 avx512f avx512_vnni")
    assert cpu_name(X86) == cpu_name(newer) == "AMD EPYC"
    assert microarchitecture(X86) == "vendor_id AuthenticAMD, cpu family 23, model 1, avx2"
    assert microarchitecture(newer) == (
        "vendor_id AuthenticAMD, cpu family 25, model 1, avx2, avx512f, avx512_vnni"
    )
    pi, server = (
        f"processor : 0\nFeatures : fp asimd {more}\nCPU implementer : 0x41\nCPU part : {part}\n"
        for part, more in (("0xd08", ""), ("0xd40", "asimddp sve"))
    )
    assert microarchitecture(pi) == "CPU implementer 0x41, CPU part 0xd08, asimd"
    assert microarchitecture(server) == "CPU implementer 0x41, CPU part 0xd40, asimd, asimddp, sve"
    assert microarchitecture("") is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("FileNotFoundError: '/home/me/nets/a.onnx'", "FileNotFoundError: 'a.onnx'"),
        (r"C:\Users\me\a.onnx: no such file", "a.onnx: no such file"),
        ("load(~/data/fer.csv) failed", "load(fer.csv) failed"),
        ("see https://pytorch.org/docs/a.html", "see https://pytorch.org/docs/a.html"),
        ("expected 1/2 of it, and/or more", "expected 1/2 of it, and/or more"),
        ("r\udcff.onnx", r"r\xff.onnx"),
    ],
)
def test_an_error_names_files_without_their_folders(text: str, written: str):
    assert without_folders(text) == written


def test_code_that_was_changed_after_the_commit_has_a_version_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "src" / "lightfer"
    (package / "measure").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(package / "measure" / "environment.py"))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (package / "net.py").write_text("a = 1\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    versions = [code_version()]
    for text in ("a = 2\n", "a = 3\n"):
        (package / "net.py").write_text(text)
        versions.append(code_version())
    (package / "new.py").write_text("b = 1\n")
    versions.append(code_version())
    commit = versions[0]
    assert re.fullmatch(r"[0-9a-f]{12}", commit)
    assert all(re.fullmatch(rf"{commit}\+dirty\.[0-9a-f]{{6}}", v) for v in versions[1:])
    assert len(set(versions)) == 4
