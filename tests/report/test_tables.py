"""Tables: rounding, units, and that nothing unknown or quoted passes for a measurement."""

from lightfer.measure.carbon import carbon_of
from lightfer.measure.energy import model_cpu_energy
from lightfer.report.tables import DASH, HEADER, markdown, row, top1
from lightfer.results import Accuracy, Latency, Results
from tests.test_results import ENVIRONMENT, entry

ACCURACY = Accuracy(
    split="test", labels="fer2013", view="single", images=3589, top1=0.61234,
    ci95=(0.5963, 0.6281), macro_f1=0.5555,
)  # fmt: skip


def test_units_and_rounding():
    energy = model_cpu_energy(0.001, threads=2, watts_per_thread=5.0)
    cells = row(
        entry(
            accuracy=ACCURACY,
            params=2_232_263,
            macs=16_243_584,
            latency=(
                Latency.of([[0.0051]], batch_size=1, threads=2),
                Latency.of([[0.064]], batch_size=64, threads=2),
            ),
            inference_total_s=3.589,
            inference_batch_size=64,
            energy=energy,
            carbon=carbon_of(energy),
        )
    )
    assert dict(zip(HEADER, cells, strict=True)) == {
        "Model": "m",
        "Top-1 %": "61.23 [59.6, 62.8]",
        "Macro-F1": "0.555",
        "Params M": "2.232",
        "MMACs": "16.24",
        "1 image ms": "5.10",
        "64 images, ms each": "1.000",
        "Test set s": "3.59",
        "mJ/image": "10.00 (modelled)",
        "gCO2e/1000": "0.0013 (modelled)",
    }


def test_unknown_is_a_dash_and_never_zero():
    assert set(row(entry())[1:]) == {DASH}


def test_what_was_not_measured_here_is_marked():
    import msgspec

    assert top1(msgspec.structs.replace(ACCURACY, source="reference")).endswith("(ref)")
    assert "(synthetic)" in top1(msgspec.structs.replace(ACCURACY, labels="synthetic"))


def test_markdown_has_a_row_per_entry_and_names_failures():
    results = Results(
        environments={"e": ENVIRONMENT},
        entries=(entry("good", params=1), entry("bad", error="RuntimeError: no")),
    )
    text = markdown(results)
    assert text.count("\n| ") == 4
    assert "`bad` failed: RuntimeError: no" in text
    assert "a [1, 2] cpu" in text


def test_another_runtime_or_precision_is_named_with_the_model():
    import msgspec

    other = msgspec.structs.replace(entry(), runtime="openvino", precision="bfloat16")
    assert (row(entry())[0], row(other)[0]) == ("m", "m (openvino bfloat16)")
