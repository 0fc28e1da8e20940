"""Puts the trained STC model into the registry, under a name of its own; rules as in `stages.register`."""

from __future__ import annotations

from pathlib import Path

from stages.entry import main
from stages.layout import Layout
from stages.register import register_model
from svfr.params import Params


def run(params: Params, root: Path) -> None:
    """Registers `models/stc` by its own figures in `reports/eval/stc` and writes `reports/register-stc.json`."""
    layout, own = Layout(root.resolve()), {"name": params.stc.name, "metric": params.stc.metric}
    params = params.model_copy(update={"register_": params.register_.model_copy(update=own)})
    evaluation = layout.reports / "eval" / layout.stc_model.name
    register_model(params, layout, layout.stc_model, evaluation, layout.reports / "register-stc.json")


if __name__ == "__main__":
    main(run)
