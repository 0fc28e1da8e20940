"""Reading weights: tensors only, exact keys and shapes, no NaN."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from svfr.errors import UserError
from svfr.models.loading import check_state, load_strict, read_state


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"weight": _Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="may run code"):
        read_state(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_both_formats_are_read(tmp_path: Path) -> None:
    state = {"a": torch.randn(2, 3), "b": torch.tensor(4)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        read = read_state(tmp_path / name)
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_state(tmp_path / "none.pth")
    for name in ("torn.pth", "torn.safetensors"):
        (tmp_path / name).write_bytes(b"\x80\x02half a file")
        with pytest.raises(UserError, match=name):
            read_state(tmp_path / name)
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    torch.save({1: torch.zeros(1)}, tmp_path / "numbered.pth")
    torch.save({"a": torch.eye(2).to_sparse()}, tmp_path / "sparse.pth")
    for name in ("nested.pth", "numbered.pth", "sparse.pth"):
        with pytest.raises(UserError, match="flat state dict"):
            read_state(tmp_path / name)


def test_states_are_checked_key_by_key() -> None:
    expected: dict[str, tuple[int, ...]] = {"a": (2,), "bn.num_batches_tracked": ()}
    check_state({"a": torch.zeros(2)}, expected, "net")
    for state, message in (
        ({}, "1 keys missing"),
        ({"a": torch.zeros(2), "c": torch.zeros(1)}, r"1 unknown \(such as c\)"),
        ({"a": torch.zeros(2), 1: torch.zeros(1)}, r"1 unknown \(such as 1\)"),
        ({"a": torch.zeros(3)}, r"shape \(3,\), \(2,\) expected"),
        ({"a": torch.tensor([0.0, torch.inf])}, "NaN or infinity"),
    ):
        with pytest.raises(UserError, match=message):
            check_state(state, expected, "net")


def test_a_module_on_the_meta_device_is_filled() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    state = dict(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict())
    del state["1.num_batches_tracked"]
    load_strict(module, state, "net")
    assert module(torch.randn(3, 2)).shape == (3, 2)
