"""Records to one flat row per entry, for spreadsheets and data frames: CSV and Parquet.

Columns end in their unit, counts and fractions in none. The raw samples stay in the results file;
what was timed has columns per batch size and number of threads, `latency_b64_t2_median_s`;
those of another clock than the wall name it, `latency_b64_t2_cuda_events_median_s`. `_time_s` is
what tables quote, corrected by the yardstick where there is one, with its interval; `_raw_s` the
same of the uncorrected rounds.
"""

import csv
import io
from pathlib import Path
from statistics import quantiles
from typing import Any

from lightfer._files import atomic_path
from lightfer.errors import ArgumentError
from lightfer.results import Accuracy, Entry, Environment, Latency, Results
from lightfer.results.select import Time, Times, mean_corrupted_top1

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # how one begins, the last four in full width
Row = dict[str, Any]
WHO = ("id", "environment", "model", "family", "device", "runtime", "precision", "output_stride")
INFERENCE = tuple(f"inference_{of}" for of in ("total_s", "per_image_s", "images", "batch_size"))


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
    formula = isinstance(value, str) and value.lstrip().startswith(FORMULA)
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
    # The one other accuracy that work on Kaggle's folder `test` is compared with.
    both = next((a for a in entry.accuracy_other if a.split == "validation + test"), None)
    row: Row = {
        **_named(entry, "", *WHO),
        "weights_sha256": entry.weights,
        **_named(entry, "", "recipe", "seed", "params", "macs", "flops"),
        **_accuracy(entry.accuracy),
        **_named(both, "accuracy_validation_and_test_", "top1", "images"),
        "accuracy_corrupted_top1": mean_corrupted_top1(entry),
    }
    for latency in entry.latency:
        row |= _latency(latency, times.of(entry, latency))
    low, high = (energy and energy.ci95) or (None, None)
    parts = energy and energy.components
    row |= {
        **_named(entry, "", *INFERENCE),
        **_named(energy and energy.gross, "energy_gross_", "joules_per_image"),
        **_named(energy and energy.net, "energy_net_", "joules_per_image"),
        "energy_gross_joules_per_image_low95": low,
        "energy_gross_joules_per_image_high95": high,
        "energy_blocks": len(energy.blocks) if energy else None,
        "energy_simulated": energy and energy.simulated,
        "energy_test_set_kwh": energy and energy.kwh_test_set,
        "energy_gpu_method": parts and parts.gpu.method,
        "energy_cpu_method": parts and parts.cpu.method,
        "energy_dram_method": parts and parts.dram.method,
        "emissions_test_set_kg_co2e": carbon and carbon.kg_co2e_test_set,
        "grid_intensity_g_co2e_per_kwh": carbon and carbon.intensity.g_co2e_per_kwh,
        "training_joules": training and training.energy.joules,
        "images_until_training_is_repaid": training and training.images_until_repaid,
        "error": entry.error,
    }
    if environment:
        row |= {
            **_named(environment, "", "cpu", "gpu", "node", "cores", "threads"),
            "torch": environment.versions.get("torch"),
            "code": environment.code,
            "data": environment.data and environment.data.label,
            "started_utc": environment.started,
            "noise_verdict": environment.noise and environment.noise.verdict,
        }
    return row


def _named(record: Any, before: str, *names: str) -> Row:
    """Figures of a record in columns of their names with `before` in front; None without one."""
    return {before + name: getattr(record, name, None) for name in names}


def _accuracy(accuracy: Accuracy | None) -> Row:
    low, high = accuracy.ci95 if accuracy else (None, None)
    ece_low, ece_high = (accuracy and accuracy.ece_ci95) or (None, None)
    return {
        **_named(accuracy, "accuracy_", "top1"),
        "accuracy_top1_low95": low,
        "accuracy_top1_high95": high,
        **_named(accuracy, "accuracy_", "macro_f1", "ece"),
        "accuracy_ece_low95": ece_low,
        "accuracy_ece_high95": ece_high,
        **_named(accuracy, "accuracy_", "top1_at_80_coverage", "images", "labels", "source"),
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
        f"{name}_passes": sum(latency.passes or ()) or len(samples),
        f"{name}_rounds": latency.rounds,
    }
