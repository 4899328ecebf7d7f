"""Zip files that mean harm or are damaged. Nothing is ever written to disk by reading them."""

import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow
import pytest

from lightfer.data import DataError, Dataset, load
from lightfer.data.members import open_members
from tests.data.writers import image_folder, kaggle_csv, zipped


def write(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name",
    ["../fer2013.csv", "/etc/fer2013.csv", "./../b.csv", "a/../../b.csv", "a\\..\\..\\b.csv",
     "C:/fer2013.csv", "C:fer2013.csv"],
)  # fmt: skip
def test_a_path_that_climbs_out_is_refused(name: str, tmp_path: Path):
    with pytest.raises(DataError, match="unsafe path in an archive"):
        load(write(tmp_path / "data.zip", {name: b"emotion,pixels,Usage\n"}))
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_a_time_in_a_name_is_no_drive(tmp_path: Path):
    """The archive was called unsafe."""
    members = {"faces 2024-05-01 12:30/train/happy/1.png": b"x"}
    assert names(write(tmp_path / "data.zip", members)) == [*members]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path):
    with pytest.raises(DataError, match=r"would unpack to 30,000,000, more than 150 times"):
        load(write(tmp_path / "data.zip", {"fer2013.csv": bytes(30_000_000)}))


def test_many_members_that_each_look_harmless_are_refused_together(tmp_path: Path):
    members = {f"train/happy/{i}.png": bytes(1_000_000) for i in range(40)}
    with pytest.raises(DataError, match="as in a zip bomb"):
        load(write(tmp_path / "data.zip", members))


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path):
    inner = io.BytesIO()
    zipfile.ZipFile(inner, "w").close()
    with pytest.raises(DataError, match="no data found among 1 files"):
        load(write(tmp_path / "data.zip", {"inner.zip": inner.getvalue()}))


def test_damage_is_noticed(faces: Dataset, tmp_path: Path):
    path = zipped(kaggle_csv)(tmp_path, faces)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"archive\.zip, member fer2013\.csv"):
        load(path)
    path.write_bytes(content[:1000])
    with pytest.raises(DataError, match=r"archive\.zip: damaged zip .*Download it again"):
        load(path)


def test_an_encrypted_zip_says_what_to_do(faces: Dataset, tmp_path: Path):
    path = zipped(kaggle_csv)(tmp_path, faces)
    content = path.read_bytes()
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the encryption bit
        at = content.index(signature) + offset
        content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"zip is encrypted; unpack it first and pass the folder$"):
        load(path)


def test_hidden_files_broken_links_and_loops_are_passed_over(tmp_path: Path):
    for name in ("a/x.png", ".git/x.png", "__MACOSX/x.png", "a/.x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with open_members(tmp_path) as members:
        assert [member.name for member in members] == ["a/x.png", "gone.png (broken link)"]
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    with open_members(tmp_path) as members:
        assert [member.name for member in members] == ["a/x.png", "gone.png (broken link)"]


def names(folder: Path) -> list[str]:
    with open_members(folder) as members:
        return [member.name for member in members]


def tree(folder: Path) -> list[str]:
    """Two files in a folder that is called v1."""
    for name in ("train/happy/a.png", "train/sad/b.png"):
        (folder / "v1" / name).parent.mkdir(parents=True)
        (folder / "v1" / name).write_bytes(b"x")
    return ["v1/train/happy/a.png", "v1/train/sad/b.png"]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("latest", "v1"),  # sorts before v1
        ("zlatest", "v1"),
        ("v1/train/again", "."),
        ("v1/up", ".."),
        ("v1/train/happy/up", "../../.."),
        ("v1/train/happy/same.png", "a.png"),
        ("all/happy", "../v1/train/happy"),
    ],
)
def test_a_link_into_the_folder_adds_nothing(tmp_path: Path, link: str, target: str):
    expected = tree(tmp_path / "data")
    (tmp_path / "data" / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "data" / link).symlink_to(target)
    assert names(tmp_path / "data") == expected


def test_links_that_lead_elsewhere_are_followed(tmp_path: Path):
    """As in a cache that keeps its files under their hashes: equal images are one file there."""
    tree(tmp_path / "elsewhere")
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("one.png", "two.png"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "blob")
    (tmp_path / "data" / "broken.png").symlink_to("nothing")
    expected = [
        "broken.png (broken link)",
        "linked/v1/train/happy/a.png",
        "linked/v1/train/sad/b.png",
        "one.png",
        "two.png",
    ]
    assert names(tmp_path / "data") == expected


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path):
    expected = tree(tmp_path)
    os.mkfifo(tmp_path / "v1" / "train" / "happy" / "pipe.png")
    assert names(tmp_path) == sorted([*expected, "v1/train/happy/pipe.png (no file)"])


def test_names_with_backslashes_are_folders(faces: Dataset, tmp_path: Path):
    """As some programs for Windows pack them."""
    folder = image_folder(tmp_path, faces)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("faces\\", b"")
        for path in sorted(folder.rglob("*.png")):
            name = str(path.relative_to(tmp_path)).replace("/", "\\")
            archive.writestr(name, path.read_bytes())
    assert load(tmp_path / "data.zip").sha256() == load(folder).sha256()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_with_one_name_the_last_counts(faces: Dataset, tmp_path: Path):
    """As unpacking has it, of a tar that was added to: each was an image more."""
    folder = image_folder(tmp_path, faces)
    files = [(str(p.relative_to(folder)), p.read_bytes()) for p in sorted(folder.rglob("*.png"))]
    members = [(name, files[0][1]) for name, _ in files[:3]] + files
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    for ending in (".tar", ".zip"):
        assert load(tmp_path / f"data{ending}").sha256() == load(folder).sha256()


@pytest.mark.parametrize("write_name", ["./{}".format, lambda name: f".\\{name}"])
def test_a_zip_with_a_dot_in_front_of_its_names(write_name, faces: Dataset, tmp_path: Path):
    """Every member passed for a hidden file: no data was found."""
    folder = image_folder(tmp_path, faces)
    members = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}
    named = {write_name(name): content for name, content in members.items()}
    path = write(tmp_path / "data.zip", {"./": b"", "./.hidden.png": b"x", **named})
    assert names(path) == sorted(members)
    assert load(path).sha256() == faces.sha256()


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"])
@pytest.mark.parametrize("form", [kaggle_csv, image_folder], ids=["csv", "images"])
def test_a_tar_is_read_without_being_unpacked(faces: Dataset, tmp_path: Path, form, ending: str):
    inside = tmp_path / "inside"
    inside.mkdir()
    form(inside, faces)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        archive.add(inside, arcname=".")
        link = tarfile.TarInfo("train/happy/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    path = tmp_path / f"data{ending}"
    path.write_bytes(packed(plain.getvalue(), ending))
    assert load(path).sha256() == faces.sha256()


def packed(content: bytes, ending: str) -> bytes:
    kind = {"gz": "gzip", "tgz": "gzip", "bz2": "bz2", "zst": "zstd"}.get(ending.split(".")[-1])
    if ending.endswith(".xz"):
        return lzma.compress(content)
    if kind is None:
        return content
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, kind) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_packed_csv_is_a_csv(faces: Dataset, tmp_path: Path, ending: str):
    plain = kaggle_csv(tmp_path, faces)
    path = tmp_path / "data" / f"fer2013.csv{ending}"
    path.parent.mkdir()
    path.write_bytes(packed(plain.read_bytes(), ending))
    assert load(path).sha256() == faces.sha256()
    assert load(path.parent).sha256() == faces.sha256()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=rf"fer2013\.csv{ending}"):
        load(path)


def hard_link(name: str, to: str) -> tarfile.TarInfo:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.LNKTYPE, to
    return link


def test_a_hard_link_in_a_tar_is_the_file_that_it_leads_to(faces: Dataset, tmp_path: Path):
    """Equal pictures, which tar packs so, were left out without a word."""
    folder = image_folder(tmp_path, faces)
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        for number, path in enumerate(sorted(folder.rglob("*.png"))):
            name = str(path.relative_to(folder))
            archive.add(path, f".blobs/{number}")
            archive.addfile(hard_link(f".blobs/again-{number}", f"./.blobs/{number}"))
            archive.addfile(hard_link(f"./{name}", f".blobs/again-{number}"))
    assert load(tmp_path / "data.tar").sha256() == load(folder).sha256()


def test_a_hard_link_to_the_past_of_a_name_keeps_it(tmp_path: Path):
    """As unpacking has it: what comes later under the name is another file."""
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        for content in (b"old", b"new"):
            info = tarfile.TarInfo("a.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            archive.addfile(hard_link(f"{content.decode()}.png", "a.png"))
    with open_members(tmp_path / "data.tar") as members:
        assert {m.name: m.read() for m in members} == {
            "a.png": b"new",
            "new.png": b"new",
            "old.png": b"old",
        }


def test_hard_links_to_links_are_passed_over_as_these(tmp_path: Path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "b.png"
        archive.addfile(link)
        archive.addfile(hard_link("b.png", "a.png"))
        archive.addfile(hard_link(".hidden", "gone"))
    assert names(tmp_path / "data.tar") == []


@pytest.mark.parametrize("to", ["gone.png", "../b.png", "/etc/passwd", "train/happy/a.png", ""])
def test_a_hard_link_to_what_is_not_in_the_tar_is_one_error(to: str, tmp_path: Path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.addfile(hard_link("train/happy/a.png", to))
    with pytest.raises(
        DataError, match=rf"a\.png: a hard link to {to}, which does not stand before"
    ):
        load(tmp_path / "data.tar")


def test_hard_links_that_would_be_more_than_a_tar_can_hold_are_a_bomb(tmp_path: Path):
    """Their own sizes are 0."""
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        info = tarfile.TarInfo("train/happy/0.png")
        info.size = 1_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))
        for number in range(1, 300):
            archive.addfile(hard_link(f"train/happy/{number}.png", info.name))
    with pytest.raises(DataError, match="as in a zip bomb"):
        load(tmp_path / "data.tar")


@pytest.mark.parametrize("name", ["../fer2013.csv", "/fer2013.csv"])
def test_a_path_that_climbs_out_of_a_tar_is_refused(name: str, tmp_path: Path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match="unsafe path in an archive"):
        load(tmp_path / "data.tar")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz"])
def test_what_is_no_tar_is_one_error(ending: str, tmp_path: Path):
    (tmp_path / f"data{ending}").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match=rf"data{ending}"):
        load(tmp_path / f"data{ending}")


def test_a_csv_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("lightfer.data.members.MAX_MEMBER_BYTES", 100_000)
    lines = f"emotion,pixels,Usage\n{f'0,{chr(48)} ' + '0 ' * 2303}\n"
    path = tmp_path / "fer2013.csv.gz"
    path.write_bytes(packed(lines.encode() + b"\n" * 1_000_000, ".gz"))
    with pytest.raises(DataError, match=r"fer2013\.csv\.gz"):
        load(path)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "cut in a header", "flip"])
def test_a_tar_that_ends_at_a_damaged_header_is_refused(
    damage: str, ending: str, faces: Dataset, tmp_path: Path
):
    """It was read as a whole one of fewer images."""
    folder, plain = image_folder(tmp_path, faces), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.add(path, str(path.relative_to(folder)))
    plain.seek(0)
    with tarfile.open(fileobj=plain) as archive:
        at = archive.getmembers()[45].offset
    content = bytearray(plain.getvalue())
    content[at + 5] ^= 1
    if damage != "flip":
        content = content[: at + 300 * (damage != "cut")]
    (tmp_path / f"data{ending}").write_bytes(packed(bytes(content), ending))
    with pytest.raises(DataError, match=r"damaged tar .*behind 45 entries\). Download it again"):
        load(tmp_path / f"data{ending}")
