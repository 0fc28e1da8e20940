"""`python -m stages.report`: one page, `reports/index.html`, that shows what a run did with every input.

Everything is inside the page: tables, figures, contact sheet. Parts whose stage has not run are left out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from stages.entry import main
from stages.eval_summary import DEGRADED, MODEL, cost_rows, ordered, verdicts
from stages.fates import OPEN, REFUSED, USED, Fate, Tables, fates
from stages.layout import Layout
from stages.pages import CURATION, GALLERY, data_uri, environment
from stages.report_figures import loss_curves
from svfr.artifacts import write_text
from svfr.params import Params

_PAGES = ((CURATION, "Curation"), (GALLERY, "Degradations"))


def run(params: Params, root: Path) -> None:
    """Writes `reports/index.html` and prints where it lies."""
    page = build_report(Layout(root), params)
    print(f"report: {page}")


def build_report(layout: Layout, params: Params, restored: Path | None = None) -> Path:
    """Writes the page from what lies below the project's root; `restored` is the folder of restored videos."""
    tables = Tables.read(layout)
    found = fates(tables)
    evaluation = _evaluation(layout, params)
    history = layout.reports / "train" / "history.csv"
    curves = layout.reports / "train" / "loss.png"
    drawn = history.exists() and loss_curves(history, curves)
    templates = environment()
    templates.filters["number"] = _number
    templates.filters["filesize"] = _filesize
    html = templates.get_template("report.html").render(
        fates=found,
        counts=Counter(fate.state for fate in found),
        states=(USED, REFUSED, OPEN),
        funnel=funnel(tables, found),
        refusals=tables.refusals(),
        evaluation=evaluation,
        training=_json(layout.reports / "train" / "metrics.json"),
        curves=_embedded(curves) if drawn else None,
        sheet=_embedded(layout.reports / "eval" / "contact_sheet.png"),
        chart=_embedded(layout.reports / "eval" / "psnr.png"),
        register=_json(layout.reports / "register.json"),
        pages=[(page, title) for page, title in _PAGES if (layout.reports / page).exists()],
        restored=_restored(restored or layout.root / "restored", layout.reports),
        params=params.model_dump(by_alias=True),
    )
    page = layout.reports / "index.html"
    write_text(page, html)
    return page


def funnel(tables: Tables, found: list[Fate]) -> list[dict[str, Any]]:
    """The stages with what each handed on: {stage, label, count, note}; stages that have not run are left out."""
    steps = [{"stage": "sources", "label": "listed", "count": len(tables.sources), "note": ""}]
    rows = tables.rows
    if "videos" in rows:
        seconds = sum(row["duration"] for row in rows["videos"])
        steps.append(_step("download", "videos", rows["videos"], f"{seconds:.0f} s of film"))
    if "clips" in rows:
        kept = [clip for clip in rows["clips"] if clip["status"] == "kept"]
        steps.append(_step("faces", "face clips", kept, f"of {len(rows['clips'])} found"))
    if "scores" in rows:
        good = [row for row in rows["scores"] if row["kept"]]
        steps.append(_step("score", "good clips", good, f"of {len(rows['scores'])} scored"))
    if "pairs" in rows:
        split = Counter(pair["split"] for pair in rows["pairs"])
        note = ", ".join(f"{split[name]} {name}" for name in ("train", "val", "test") if split[name])
        steps.append(_step("degrade", "degraded views", rows["pairs"], note))
    if "latents" in rows:
        steps.append(_step("encode", "clips encoded", rows["latents"], ""))
    if "results" in rows:
        pairs = {row["pair_id"] for row in rows["results"]}
        steps.append(_step("evaluate", "views measured", sorted(pairs), ""))
    return steps


def _step(stage: str, label: str, rows: list[Any], note: str) -> dict[str, Any]:
    return {"stage": stage, "label": label, "count": len(rows), "note": note}


def _evaluation(layout: Layout, params: Params) -> dict[str, Any] | None:
    """The table of means: rows of cells, the best restorer of each row, how it was measured, and what it took."""
    folder = layout.reports / "eval"
    summary, protocol = _json(folder / "metrics.json"), _json(folder / "protocol.json")
    if summary is None or protocol is None:
        return None
    names = [DEGRADED, *params.evaluate.baselines, MODEL, *(Path(name).name for name in params.evaluate.also)]
    rows = []
    for task, metrics in ordered(summary):
        for metric, values in metrics:
            about = protocol["metrics"].get(metric, {"backend": "", "unit": "", "higher_is_better": False})
            present = {name: values[name] for name in names if name in values}
            best = (max if about["higher_is_better"] else min)(present.values())
            rows.append({"task": task, "metric": metric, "values": values, "about": about, "best": best})
    taken = cost_rows(_json(folder / "cost.json") or {})
    return {"rows": rows, "names": names, "protocol": protocol, "verdicts": verdicts(summary), "costs": taken}


def _restored(folder: Path, reports: Path) -> dict[str, Any] | None:
    """The files of `restored/report.json`, their links made relative to the page."""
    told = _json(folder / "report.json")
    if told is None:
        return None
    link = Path("..") / folder.resolve().relative_to(reports.resolve().parent) if _near(folder, reports) else folder
    files = [row | {"link": str(link / Path(row["output"]).name) if row["output"] else ""} for row in told["files"]]
    return {"files": files, "summary": told["summary"], "page": str(link / "report.html")}


def _near(folder: Path, reports: Path) -> bool:
    return folder.resolve().is_relative_to(reports.resolve().parent)


def _json(path: Path) -> Any:
    """The file's content, or None if it is not there; a damaged one is named and left out."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        print(f"report: {path} is damaged and left out ({error})", file=sys.stderr)
        return None


def _embedded(path: Path) -> str | None:
    """A PNG as a data URI, or None if it is not there."""
    return data_uri(path.read_bytes()) if path.exists() else None


def _number(value: float) -> str:
    """Four significant digits, without an exponent where people do not expect one."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _filesize(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"


if __name__ == "__main__":
    main(run)
