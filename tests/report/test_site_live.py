"""The live page in headless Chromium: faces and probabilities as `lightfer predict` has them.

The pictures are drawn, or made from NASA's portrait of Eileen Collins (public domain); so is what
the browser's camera sees.
"""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from lightfer.data import Dataset
from lightfer.data.crop import Box
from lightfer.inference.predict import Predictor
from lightfer.models.registry import list_models
from tests.conftest import by_day
from tests.report import browser as chromium
from tests.report.browser import until, visiting
from tests.report.test_site_browser import HIDE

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

NETS = list_models(pretrained=True)
LONG_S = 200  # on a machine with other work


@pytest.fixture(scope="module")
def running(astronaut: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium whose camera shows the portrait."""
    film = tmp_path_factory.mktemp("camera") / "portrait.mjpeg"
    film.write_bytes(10 * encoded(scene(astronaut, (640, 480), [(480, 80, 0)]), "JPEG"))
    options = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    with chromium.browser(*options) as started:
        yield started


@pytest.fixture
def live(running: Any, hosts: dict[str, str]) -> Iterator[Any]:
    options = {"permissions": ["camera"], "viewport": {"width": 390, "height": 900}}
    with visiting(running, hosts["isolating"], file="live.html", **options) as shown:
        yield shown
        assert shown.evaluate("document.documentElement.scrollWidth") == 390
        assert shown.evaluate("localStorage.length + sessionStorage.length") == 0


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    written = io.BytesIO()
    picture.save(written, form, quality=95)
    return written.getvalue()


def scene(
    portrait: Image.Image, size: tuple[int, int], places: list[tuple[int, int, int]]
) -> Image.Image:
    """Portraits of (side, x, y) on grey."""
    found = Image.new("RGB", size, (120, 130, 140))
    for side, x, y in places:
        found.paste(portrait.resize((side, side), Image.Resampling.BILINEAR), (x, y))
    return found


def pictures(portrait: Image.Image, faces: Dataset, count: int) -> list[Image.Image]:
    """Portraits of many sizes on noise, transparent ones, without faces, and drawn crops."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        width, height = int(rng.integers(300, 1300)), int(rng.integers(250, 800))
        noise = rng.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((width, height))
        for _ in range(int(rng.integers(1, 5))):
            side = int(rng.integers(150, min(width, height)))
            one = portrait.resize((side, side), Image.Resampling.BILINEAR)
            one = ImageOps.mirror(one) if rng.random() < 0.5 else one
            one = ImageEnhance.Brightness(one).enhance(rng.uniform(0.5, 1.4))
            one = one.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR)
            x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
            picture.paste(one, (int(x), int(y)))
        found.append(picture)
    thin = portrait.copy()
    thin.putalpha(Image.linear_gradient("L").resize(portrait.size))
    drawn = [Image.fromarray(image[0].numpy()) for image in faces["test"].images[:12]]
    return [*found, thin, Image.new("RGB", (640, 400), "grey"), *drawn]


LOOK = """async ([picture, names]) => {
  const site = await (await fetch("site.json")).json();
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const frame = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
  const nets = names.map((name) => site.nets.find((net) => net.name === name));
  const worker = (window.looking ??= new Worker("live/worker.js", { type: "module" }));
  const found = new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
  worker.postMessage({ id: 1, frame, smallest: 32, nets }, [frame]);
  return found;
}"""


def overlap(a: Box | None, b: Box | None) -> float:
    """Intersection over union; 1 where both are whole pictures."""
    if a is None or b is None:
        return float(a is b)
    wide = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    high = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    both = max(0, wide) * max(0, high)
    return both / (a.width * a.height + b.width * b.height - both)


def test_boxes_and_probabilities_are_those_of_predict(
    running: Any, hosts: dict[str, str], astronaut: Image.Image, faces: Dataset
):
    names = ["mobilenet_v2", "squeezenet1_0"]
    predictors = [Predictor(name, "onnxruntime", threads=1) for name in names]
    count = max(by_day([8], [8, 40]))
    shown_pictures = pictures(astronaut, faces, count)
    with visiting(running, hosts["plain"], file="live.html") as shown:
        answers = [
            shown.evaluate(LOOK, [base64.b64encode(encoded(picture)).decode(), names])
            for picture in shown_pictures
        ]
    expected_count = met = 0
    for picture, answer in zip(shown_pictures, answers, strict=True):
        assert "error" not in answer
        boxes = [box and Box(**box) for box in answer["boxes"]]
        for net, predictor in enumerate(predictors):
            expected = [p for p in predictor([picture]) if p.label is not None]
            expected_count += len(expected)
            met += sum(any(overlap(p.box, box) >= 0.8 for box in boxes) for p in expected)
            for box, shares in zip(boxes, answer["read"][net]["shares"], strict=True):
                assert any(overlap(p.box, box) >= 0.8 for p in expected), "one more than Python's"
                for p in expected:
                    if p.box == box:
                        assert p.probabilities is not None
                        assert shares == pytest.approx(list(p.probabilities.values()), abs=0.02)
                        classes = list(p.probabilities)
                        assert classes[int(np.argmax(shares))] == p.label
    assert expected_count >= 2 * count
    assert met >= 0.95 * expected_count


COUNTED = """
window.cameras = 0;
const asked = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => { window.cameras += 1; return asked(wanted); };
0
"""
DRAWN = """[...boxes.getContext('2d').getImageData(0, 0, boxes.width, boxes.height).data]
  .filter((value, i) => i % 4 === 3 && value).length"""
FACE = "boxes.getAttribute('aria-label') === 'Faces: happy'"


def test_the_camera_starts_by_a_key_and_ends_seen(live: Any):
    live.evaluate(COUNTED)
    live.get_by_label("Smallest face").select_option("96")
    assert live.evaluate("window.cameras") == 0
    assert live.evaluate(DRAWN) == 0
    for end in ("key", "hidden", "picture"):
        live.locator("#camera").focus()
        live.keyboard.press("Enter")
        assert live.evaluate("document.activeElement.id") == "stop"
        assert live.locator("#on").is_visible()
        until(live, FACE, LONG_S)
        assert live.evaluate(DRAWN) > 500
        assert "ms a face" in live.locator("#first-time").inner_text()
        assert [m.split("\t")[0] for m in best(live)] == ["happy", "happy"]
        live.evaluate("window.track = video.srcObject.getVideoTracks()[0]")
        assert live.evaluate("window.track.readyState") == "live"
        if end == "key":
            live.keyboard.press("Enter")
            assert live.evaluate("document.activeElement.id") == "camera"
            assert live.locator("#status").inner_text() == "The camera is off."
        elif end == "hidden":
            live.evaluate(HIDE, True)
            assert "this page was hidden" in live.locator("#status").inner_text()
            live.evaluate(HIDE, False)
        else:
            live.get_by_label("Pictures or a video").set_input_files(
                {"name": "a.png", "mimeType": "image/png", "buffer": encoded(grey())}
            )
        assert live.evaluate("[window.track.readyState, video.srcObject]") == ["ended", None]
        assert not live.locator("#on").is_visible()
        until(live, "!document.getElementById('bars').innerText.includes('%')", LONG_S)
        assert live.evaluate(DRAWN) == 0
    live.get_by_text("a.png: No face found").wait_for(timeout=1e3 * LONG_S)
    assert live.evaluate("window.cameras") == 3


def grey() -> Image.Image:
    return Image.new("RGB", (300, 200), "grey")


def best(shown: Any) -> list[str]:
    """The row of each network's largest share."""
    rows = shown.locator("#bars tbody tr")
    return [
        rows.filter(has=shown.locator(f"td:nth-child({net}) .most")).inner_text() for net in (2, 3)
    ]


def test_a_camera_that_is_refused_is_said(running: Any, hosts: dict[str, str]):
    with visiting(running, hosts["isolating"], file="live.html") as shown:
        shown.get_by_role("button", name="Start camera").click()
        shown.get_by_text("No camera: it was not allowed.").wait_for(timeout=20_000)
        assert shown.locator("#camera").is_visible()


def test_pictures_one_after_the_other(live: Any, astronaut: Image.Image):
    two = scene(astronaut, (900, 500), [(450, 0, 0), (400, 480, 50)])
    files = {"two.png": encoded(two), "broken.png": b"no picture", "grey.png": encoded(grey())}
    live.get_by_label("Pictures or a video").set_input_files(
        [{"name": n, "mimeType": "image/png", "buffer": data} for n, data in files.items()]
    )
    live.get_by_text("two.png: 2 faces. happy; happy").wait_for(timeout=1e3 * LONG_S)
    before = live.locator("#bars tbody").inner_text()
    live.get_by_label("Face", exact=True).select_option("1")
    assert live.locator("#bars tbody").inner_text() != before
    live.get_by_label("Second network").select_option("mobilenet_v3_small")
    live.get_by_text("two.png: 2 faces").wait_for(timeout=1e3 * LONG_S)
    assert live.locator("#second-name").inner_text() == "mobilenet_v3_small"
    live.get_by_role("button", name="Next").click()
    live.get_by_text("broken.png: this browser cannot read it").wait_for(timeout=1e3 * LONG_S)
    live.get_by_role("button", name="Next").click()
    live.get_by_text("grey.png: No face found").wait_for(timeout=1e3 * LONG_S)
    assert live.get_by_role("button", name="Next").is_disabled()
    live.get_by_role("button", name="Previous").click()
    live.get_by_text("broken.png").first.wait_for()


DROP = """(bytes) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(bytes)], "film.webm", { type: "video/webm" }));
  document.body.dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def test_a_film_that_is_dropped(live: Any, astronaut: Image.Image, tmp_path: Path):
    path = tmp_path / "film.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 10, (640, 480))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no VP8")
    for _ in range(20):
        writer.write(np.asarray(scene(astronaut, (640, 480), [(480, 80, 0)]))[:, :, ::-1])
    writer.release()
    live.evaluate(DROP, list(path.read_bytes()))
    until(live, FACE, LONG_S)
    assert live.evaluate("[video.controls, video.videoWidth, boxes.width]") == [True, 640, 640]
    assert [m.split("\t")[0] for m in best(live)] == ["happy", "happy"]


def test_it_works_offline_from_a_folder_of_a_plain_host(
    running: Any, hosts: dict[str, str], astronaut: Image.Image
):
    chosen = {"name": "a.png", "mimeType": "image/png", "buffer": encoded(astronaut)}
    with visiting(running, hosts["plain"], file="live.html") as shown:
        for visit in range(2):
            shown.get_by_label("Pictures or a video").set_input_files(chosen)
            shown.get_by_text("a.png: One face. happy").wait_for(timeout=1e3 * LONG_S)
            if visit == 0:
                shown.context.set_offline(True)
                shown.reload()
                shown.wait_for_selector("[data-ready]", timeout=20_000)


UNNAMED = """[...document.querySelectorAll("button, select, input, canvas, video, table")]
  .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.id)"""


def test_little_is_fetched_at_first_and_all_has_a_name(running: Any, hosts: dict[str, str]):
    sizes = "performance.getEntriesByType('resource').map((r) => [r.name, r.transferSize])"
    with visiting(
        running, hosts["plain"], file="live.html", service_workers="block", color_scheme="dark"
    ) as shown:
        fetched = dict(shown.evaluate(sizes))
        assert sum(fetched.values()) < 100_000
        assert not [name for name in fetched if "cascade" in name or "/ort/" in name]
        assert shown.evaluate(UNNAMED) == []


@pytest.mark.parametrize(("width", "scheme"), [(768, "dark"), (1400, "light")])
def test_nothing_is_wider_than_the_screen(
    running: Any, hosts: dict[str, str], width: int, scheme: str
):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with visiting(running, hosts["plain"], file="live.html", **options) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") == width


def test_what_cannot_be_had_is_said_and_asked_for_anew(
    running: Any, hosts: dict[str, str], astronaut: Image.Image
):
    """Until a reload the page said the same of every picture."""
    chosen = {"name": "a.png", "mimeType": "image/png", "buffer": encoded(astronaut)}
    options = {"file": "live.html", "service_workers": "block", "errors": (404,)}
    with visiting(running, hosts["isolating"], **options) as shown:
        shown.get_by_label("Second network").select_option("mobilenet_v2")
        said = "{}: the server says 404"
        for gone, why in {
            "live/worker.js": "the worker could not be started",
            "live/cascade.json": said,
            "ort/ort-wasm-simd-threaded.wasm.gz": said,
            "nets/mobilenet_v2.safetensors": said,
        }.items():
            shown.context.route(f"**/{gone}", lambda route: route.fulfill(status=404, body="gone"))
            shown.get_by_label("Pictures or a video").set_input_files(chosen)
            shown.get_by_text(f"a.png: {why.format(gone)}").wait_for()
            shown.context.unroute(f"**/{gone}")
        shown.get_by_label("Pictures or a video").set_input_files(chosen)
        shown.get_by_text("a.png: One face. happy").wait_for(timeout=1e3 * LONG_S)
