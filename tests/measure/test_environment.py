"""The environment: what people share holds none of their folders."""

import pytest

from lightfer.measure.environment import command_text


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
