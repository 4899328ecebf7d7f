"""Records to one flat row per entry, for spreadsheets and data frames: CSV and Parquet.

Columns end in their unit, counts and fractions in none. The raw samples stay in the results file;
what was timed has columns per batch size and number of threads, `latency_b64_t2_median_s`;
those of another clock than the wall name it, `latency_b64_t2_cuda_events_median_s`. `_time_s` is
what tables quote, corrected by the yardstick where there is one, with its interval; `_raw_s` the
same of the uncorrected rounds.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from statistics import quantiles
from typing import Any

from lightfer._files import atomic_path
from lightfer.errors import ArgumentError
from lightfer.results import Accuracy, Entry, Environment, Latency, Results
from lightfer.results.select import Time, Times, mean_corrupted_top1

Row = dict[str, Any]


def flat_rows(results: Results) -> list[Row]:
    """A row per entry, each with the same columns in the same order; unknown is None."""
    times = Times(results)
    rows = [_row(e, results.environments.get(e.environment), times) for e in results.entries]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in columns} for row in rows]


def csv_text(results: Results) -> str:
    """Comma-separated values with a line of column names; unknown is empty.

    A text that a spreadsheet would compute, as `=1+1`, has an apostrophe in front.
    """
    rows = [{key: _text(value) for key, value in row.items()} for row in flat_rows(results)]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0] if rows else ["id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _text(value: Any) -> Any:
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value


def write_parquet(path: Path, results: Results) -> None:
    """Write the rows as a Parquet file, whole or not at all.

    Raises ArgumentError for a whole number that has no place in 64 bits.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.Table.from_pylist(flat_rows(results))
    except (OverflowError, pyarrow.ArrowInvalid) as error:
        raise ArgumentError(f"the results have no form in Parquet: {error}; write a CSV") from error
    with atomic_path(path) as temporary, temporary.open("wb") as file:  # whatever its name is
        pyarrow.parquet.write_table(table, file)


def _row(entry: Entry, environment: Environment | None, times: Times) -> Row:
    energy, carbon, training = entry.energy, entry.carbon, entry.training
    noise = environment.noise if environment else None
    row: Row = {
        "id": entry.id,
        "environment": entry.environment,
        "model": entry.model,
        "family": entry.family,
        "device": entry.device,
        "runtime": entry.runtime,
        "precision": entry.precision,
        "output_stride": entry.output_stride,
        "weights_sha256": entry.weights,
        "recipe": entry.recipe,
        "seed": entry.seed,
        "params": entry.params,
        "macs": entry.macs,
        "flops": entry.flops,
        **_accuracy("accuracy", entry.accuracy),
        **_both_splits(entry.accuracy_other),
        "accuracy_corrupted_top1": mean_corrupted_top1(entry),
    }
    for latency in entry.latency:
        row |= _latency(latency, times.of(entry, latency))
    row |= {
        "inference_total_s": entry.inference_total_s,
        "inference_per_image_s": entry.inference_per_image_s,
        "inference_images": entry.inference_images,
        "inference_batch_size": entry.inference_batch_size,
        "energy_gross_joules_per_image": energy.gross.joules_per_image
        if energy and energy.gross
        else None,
        "energy_net_joules_per_image": energy.net.joules_per_image
        if energy and energy.net
        else None,
        "energy_gross_joules_per_image_low95": energy.ci95[0] if energy and energy.ci95 else None,
        "energy_gross_joules_per_image_high95": energy.ci95[1] if energy and energy.ci95 else None,
        "energy_blocks": len(energy.blocks) if energy else None,
        "energy_simulated": energy.simulated if energy else None,
        "energy_test_set_kwh": energy.kwh_test_set if energy else None,
        "energy_gpu_method": energy.components.gpu.method if energy else None,
        "energy_cpu_method": energy.components.cpu.method if energy else None,
        "energy_dram_method": energy.components.dram.method if energy else None,
        "emissions_test_set_kg_co2e": carbon.kg_co2e_test_set if carbon else None,
        "grid_intensity_g_co2e_per_kwh": carbon.intensity.g_co2e_per_kwh if carbon else None,
        "training_joules": training.energy.joules if training else None,
        "images_until_training_is_repaid": training.images_until_repaid if training else None,
        "error": entry.error,
    }
    if environment:
        row |= {
            "cpu": environment.cpu,
            "gpu": environment.gpu,
            "node": environment.node,
            "cores": environment.cores,
            "threads": environment.threads,
            "torch": environment.versions.get("torch"),
            "code": environment.code,
            "data": environment.data.label if environment.data else None,
            "started_utc": environment.started,
            "noise_verdict": noise.verdict if noise else None,
        }
    return row


def _both_splits(others: Iterable[Accuracy]) -> Row:
    """The one other accuracy that work on Kaggle's folder `test` is compared with."""
    both = next((a for a in others if a.split == "validation + test"), None)
    return {
        "accuracy_validation_and_test_top1": both.top1 if both else None,
        "accuracy_validation_and_test_images": both.images if both else None,
    }


def _accuracy(name: str, accuracy: Accuracy | None) -> Row:
    low, high = accuracy.ci95 if accuracy else (None, None)
    ece_low, ece_high = (accuracy and accuracy.ece_ci95) or (None, None)
    return {
        f"{name}_top1": accuracy.top1 if accuracy else None,
        f"{name}_top1_low95": low,
        f"{name}_top1_high95": high,
        f"{name}_macro_f1": accuracy.macro_f1 if accuracy else None,
        f"{name}_ece": accuracy.ece if accuracy else None,
        f"{name}_ece_low95": ece_low,
        f"{name}_ece_high95": ece_high,
        f"{name}_top1_at_80_coverage": accuracy.top1_at_80_coverage if accuracy else None,
        f"{name}_images": accuracy.images if accuracy else None,
        f"{name}_labels": accuracy.labels if accuracy else None,
        f"{name}_source": accuracy.source if accuracy else None,
    }


def _latency(latency: Latency, time: Time | None) -> Row:
    clock = "" if latency.clock == "wall" else "_" + latency.clock.replace(" ", "_")
    name = f"latency_b{latency.batch_size}_t{latency.threads}{clock}"
    samples = latency.samples_s
    low, _, high = quantiles(samples, n=4) if len(samples) > 1 else (None, None, None)
    quoted, raw = (time.interval, time.raw) if time else (None, None)
    return {
        f"{name}_time_s": time and time.estimate_s,
        f"{name}_time_low95_s": quoted and quoted.low,
        f"{name}_time_high95_s": quoted and quoted.high,
        f"{name}_raw_s": time and time.raw_s,
        f"{name}_raw_low95_s": raw and raw.low,
        f"{name}_raw_high95_s": raw and raw.high,
        f"{name}_yardstick_s": time and time.reference_s,
        f"{name}_median_s": latency.median_s,
        f"{name}_lower_quartile_s": low,
        f"{name}_upper_quartile_s": high,
        f"{name}_fastest_s": min(samples, default=None),
        f"{name}_passes": len(samples),
        f"{name}_rounds": latency.rounds,
    }
