"""What a run would cost, counted by hand."""

from __future__ import annotations

from svfr.params import RestoreOptions
from svfr.restore.cost import network_calls


def test_calls_are_windows_times_steps_and_a_first_pass() -> None:
    options = RestoreOptions(steps=10, overlap=4, reference_steps=5)
    model = {"family": "svfr", "window": 16}
    assert network_calls(16, options, model) == 10 + 5
    assert network_calls(28, options, model) == 2 * 10 + 5
    assert network_calls(29, options.model_copy(update={"self_refer": False}), model) == 3 * 10


def test_a_model_without_steps_runs_once_a_window() -> None:
    options = RestoreOptions(steps=10, overlap=8)
    assert network_calls(240, options, {"family": "stc", "window": 24}) == 15
