"""Named tensors in safetensors shards: what goes in comes out, whatever its kind; what does not fit is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from svfr.training.shards import read_tensors, write_tensors


def test_tensors_of_every_kind_come_back_in_place(tmp_path: Path) -> None:
    saved = {
        "a.weight": torch.randn(3, 4),
        "a.scalar": torch.tensor(7.5),
        "b.half": torch.randn(5).bfloat16(),
        "b.count": torch.tensor([1, 2, 3]),
        "b.turned": torch.randn(2, 3).T,
    }
    write_tensors(tmp_path, saved)
    (file,) = tmp_path.iterdir()
    assert file.suffix == ".safetensors"
    assert torch.equal(load_file(file)["a.weight"], saved["a.weight"])
    found = {name: torch.zeros_like(value) for name, value in saved.items()}
    kept = found["a.weight"]
    read_tensors(tmp_path, found)
    assert all(torch.equal(found[name], value) for name, value in saved.items())
    assert torch.equal(kept, saved["a.weight"])


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path, {"a": torch.zeros(3)})
    with pytest.raises(ValueError, match="b"):
        read_tensors(tmp_path, {"b": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"[Ss]ize"):
        read_tensors(tmp_path, {"a": torch.zeros(4)})


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_tensors(tmp_path / "file" / "below", {"a": torch.zeros(3)})
