"""The rows of `lightfer compare`: rounded and with units."""

from typing import TYPE_CHECKING

from lightfer.report.cells import DASH, number

if TYPE_CHECKING:
    from lightfer.report.compare import Change

HEADER = (
    "Model",
    "What",
    "Before",
    "After",
    "Change",
    "95 % interval",
    "Machine",
    "p (Holm)",
    "Verdict",
)
FORMS = {  # kind -> format, factor, unit
    "time": (".3f", 1e3, " ms"),
    "energy": (".3f", 1e3, " mJ"),
    "accuracy": (".2f", 100.0, " %"),
    "params": (",.0f", 1.0, ""),
    "macs": (",.0f", 1.0, ""),
}


def row(change: "Change") -> tuple[str, ...]:
    """One change, in the order of `HEADER`."""
    form, factor, unit = FORMS[change.kind]
    before, after = (
        number(value, form, factor) + (unit if value is not None else "")
        for value in (change.a, change.b)
    )
    if change.difference is not None:
        amount = f"{100 * change.difference:+.2f} points"
        interval = _interval(change, 0.0, "+.2f")
    elif change.ratio is not None and change.ratio != 1:
        amount = f"{100 * (change.ratio - 1):+.1f} %"
        interval = _interval(change, 1.0, "+.1f")
    else:
        amount, interval = DASH, _interval(change, 1.0, "+.1f")
    what = f"{change.kind}, {change.what}" if change.what != change.kind else change.what
    machine = DASH if change.machine is None else f"{100 * (change.machine - 1):+.1f} %"
    p = number(change.p_holm, ".3g")
    return (change.model, what, before, after, amount, interval, machine, p, change.verdict)


def _interval(change: "Change", origin: float, form: str) -> str:
    if change.low is None or change.high is None:
        return DASH
    return f"[{100 * (change.low - origin):{form}}, {100 * (change.high - origin):{form}}]"
