"""The scoring stage's choice of what makes two scores the same score, without any scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stages import score
from stages.layout import Layout
from svfr.params import Params, ScoreParams, load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


class _StopError(Exception):
    """Ends the stage where the items would be handed out."""


def handed_out(monkeypatch: pytest.MonkeyPatch, options: ScoreParams, sha256: str = "0") -> dict[str, Any]:
    """What the stage gives to the engine for one kept and one rejected clip."""
    row = {"shard": "0.tar", "offset": 512, "size": 3, "sha256": sha256}
    rows = [{"clip_id": "a", "status": "kept", **row}, {"clip_id": "b", "status": "rejected", **row}]
    seen: dict[str, Any] = {}

    def read(self: Layout, table: str, columns: list[str]) -> list[dict[str, Any]]:
        return [{name: row[name] for name in columns} for row in rows]

    def map_items(stage: str, build: Any, items: Any, **options: Any) -> None:
        seen.update(build=build, items=items, **options)
        raise _StopError

    monkeypatch.setattr(Layout, "read", read)
    monkeypatch.setattr(score, "map_items", map_items)
    params: Params = PARAMS.model_copy(update={"score": options})
    with pytest.raises(_StopError):
        score.run(params, Path())
    return seen


def test_only_what_changes_a_score_is_in_its_cache_key(monkeypatch: pytest.MonkeyPatch) -> None:
    base = ScoreParams(metric="piqe")
    key = handed_out(monkeypatch, base)["params"]
    same = base.model_copy(update={"threshold": 3.0, "device": "cuda:1", "batch": 64})
    assert handed_out(monkeypatch, same)["params"] == key
    for change in ({"metric": "niqe"}, {"backend": "torchmetrics"}, {"regressor": "koniq"}, {"frames": 6}):
        assert handed_out(monkeypatch, base.model_copy(update=change))["params"] != key
    whole, coarser = (handed_out(monkeypatch, base, sha256)["items"][0].fingerprint for sha256 in ("0", "1"))
    assert whole != coarser  # the same clip, stored at another quality
    monkeypatch.setattr(score, "backend_version", lambda backend: "0.0.0")
    assert handed_out(monkeypatch, base)["params"] != key


def test_kept_clips_go_to_a_scorer_with_the_chosen_device_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = handed_out(monkeypatch, ScoreParams(metric="niqe", device="cuda:1", batch=16))
    assert [(item.id, sorted(item.payload)) for item in seen["items"]] == [
        ("a", ["clip_id", "offset", "shard", "size"])
    ]
    built: list[Any] = []
    monkeypatch.setattr(score, "build_scorer", lambda *a, **k: built.append((a, k)))
    seen["build"].tools()
    assert built == [(("niqe", "pyiqa"), {"regressor": "live", "device": "cuda:1", "batch": 16})]


@pytest.mark.parametrize("device", ["auto", "gpu", "cuda:", "cuda:x", "CPU"])
def test_a_device_is_named_exactly(device: str) -> None:
    assert ScoreParams(device="cuda:3").device == "cuda:3"
    with pytest.raises(ValidationError, match="device"):
        ScoreParams(device=device)
