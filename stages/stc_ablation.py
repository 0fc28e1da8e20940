"""The report of BFVR-STC's ablation, `reports/ablation-stc/`: the paper's tables with our figures beside, and Fig. 5.

`python -m stages.stc_ablation` reads the variants that `flows.ablation --family stc` has finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stages.entry import main
from stages.layout import Layout
from stages.stc_ablation_rows import ROWS, STAGE_ONE, TABLES, WITH_PRIOR, WITHOUT_PRIOR, Table, figures
from stages.stc_reconstruction import BOOKS, read_codes
from stages.variants import COLUMNS, finished_folders, named, not_finished
from svfr.artifacts import atomic_write, write_json, write_text
from svfr.params import Params

_COLUMNS = COLUMNS | {"used_spatial": "C_S used", "used_temporal": "C_T used"}


def run(params: Params, root: Path) -> None:
    """Writes `table.md`, `figures.json` and `codebooks.png`. Raises `UserError` if no variant is finished."""
    root = root.resolve()
    folders = finished_folders(ROWS, root, "python -m flows.ablation --family stc")
    done = {name: figures(named(ROWS, name), folder) for name, folder in folders.items()}
    reports = Layout(root).reports / "ablation-stc"
    write_json(reports / "figures.json", done)
    write_text(reports / "table.md", report(done))
    titles = {WITHOUT_PRIOR: "without regularisation", WITH_PRIOR: "with MPR"}
    if shown := {
        title: read_codes(folders[name] / STAGE_ONE / "codes.csv") for name, title in titles.items() if done.get(name)
    }:
        codebook_figure(shown, reports / "codebooks.png")
    print(report(done))


def report(done: Mapping[str, Mapping[str, float]]) -> str:
    """The tables as Markdown, cells ours / the paper's."""
    lines = ["Cells: ours, on this project's held-out clips / the paper's, on VFHQ-test; `-`: not measured."]
    for table in TABLES:
        lines += ["", *_table(table, done)]
    return "\n".join([*lines, *not_finished(ROWS, done)]) + "\n"


def _table(table: Table, done: Mapping[str, Mapping[str, float]]) -> list[str]:
    head = " | ".join(_COLUMNS[name] for name in (*table.columns, *table.also))
    lines = [table.title, "", f"| | {head} |", "|---" * (1 + len(table.columns) + len(table.also)) + "|"]
    for label, name, paper in table.rows:
        ours = done.get(name, {})
        cells = [f"{_value(ours, m)} / {v:.4g}" for m, v in zip(table.columns, paper, strict=True)]
        lines.append(f"| {label} | {' | '.join([*cells, *(_value(ours, m) for m in table.also)])} |")
    return lines


def _value(found: Mapping[str, float], metric: str) -> str:
    return f"{found[metric]:.4g}" if metric in found else "-"


def codebook_figure(shown: Mapping[str, Mapping[str, list[int]]], path: Path) -> None:
    """Writes a PNG: how often each code is chosen, most frequent first, one panel a codebook, one line a variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for panel, book in zip(figure.subplots(1, 2), BOOKS, strict=True):
        for title, counts in shown.items():
            total, used = sum(counts[book]), sum(count > 0 for count in counts[book])
            shares = [count / total for count in sorted(counts[book], reverse=True) if count]
            panel.plot(range(1, used + 1), shares, label=f"{title}: {used} of {len(counts[book])} used")
        panel.set(
            title=f"{book} codebook", xlabel="codes, most frequent first", ylabel="share of latents", yscale="log"
        )
        panel.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


if __name__ == "__main__":
    main(run)
