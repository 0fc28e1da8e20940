"""Any no-reference metric of pyiqa, by its name there, on local files only."""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svfr.errors import UserError
from svfr.quality.pyiqa_files import Find, find_weight, local_files

# Networks of pyiqa that give every picture of a batch the score it has alone (measured: tests/quality/test_pyiqa.py).
BATCHED = ("ARNIQA", "BRISQUE", "CFANet", "CLIPIQA", "Entropy", "MUSIQ", "NIQE", "PIQE")
_OFFERED = "arniqa, niqe, brisque, musiq, topiq_nr, clipiqa, piqe or entropy"
_LANGUAGE = "is a language model of many files that brings code of its own"
_SETS = "judges a set of pictures, not one"
_UNFIT = {
    "QAlign": _LANGUAGE,
    "QReAlign": _LANGUAGE,
    "Compare2Score": _LANGUAGE,
    "FGResQ": "takes a CLIP model of several files from the Hugging Face hub",
    "CLIPScore": "needs a caption of every picture",
    "FID": _SETS,
    "InceptionScore": _SETS,
}
# The checkpoint holds the backbone too, so its ImageNet weights need not be there.
_OPTIONS = {"CFANet": {"backbone_pretrain": False}}


@dataclass(frozen=True)
class Metric:
    """`score` maps (B,3,H,W) in [0,1] to (B,); without `batched` its B must be 1."""

    score: Callable[[Tensor], Tensor]
    higher_is_better: bool
    batched: bool


def pyiqa_metric(name: str, device: str, find: Find = find_weight) -> Metric:
    """Builds pyiqa's metric `name` on `device`, with the files that `find` gives for their addresses.

    Raises `UserError` for a name that pyiqa does not have, a metric that needs more than single pictures, an absent
    package and a file that does not fit; `WeightsMissing` for an absent file.
    """
    kind = _kind(name)
    _import(name, kind)
    import pyiqa

    try:
        with contextlib.redirect_stdout(io.StringIO()), local_files(find):
            metric = pyiqa.create_metric(name, device=torch.device(device), **_OPTIONS.get(kind, {}))
    except ImportError as error:
        raise _absent(name, error) from error
    except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError) as error:
        raise UserError(
            f"a file of metric '{name}' does not fit pyiqa's network: {(str(error) or repr(error)).splitlines()[0]}"
        ) from error

    def score(x_BCHW: Tensor) -> Tensor:
        # pyiqa's own wrapper turns TF32 on, which moves scores by more than rounding between devices
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            return metric.net(x_BCHW).reshape(len(x_BCHW))

    return Metric(score, not metric.lower_better, kind in BATCHED and "-face" not in name)


def _kind(name: str) -> str:
    """The class of pyiqa's metric `name`; raises `UserError` unless it judges single pictures."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    config: dict[str, Any] | None = DEFAULT_CONFIGS.get(name)
    if config is None:
        raise UserError(f"pyiqa has no metric '{name}': choose {_OFFERED}, or another no-reference one of its list")
    if config["metric_mode"] != "NR":
        raise UserError(f"metric '{name}' needs a reference picture, which clips do not have: choose {_OFFERED}")
    kind: str = config["metric_opts"]["type"]
    if kind in _UNFIT:
        raise UserError(f"metric '{name}' {_UNFIT[kind]}: choose {_OFFERED}")
    return kind


def _import(name: str, kind: str) -> None:
    """Imports the module of pyiqa that defines class `kind`, so that an absent package is named."""
    import pyiqa.archs

    for path in Path(pyiqa.archs.__path__[0]).glob("*_arch.py"):
        if f"class {kind}(" in path.read_text(encoding="utf-8"):
            try:
                importlib.import_module(f"pyiqa.archs.{path.stem}")
            except ImportError as error:
                raise _absent(name, error) from error
            return
    raise UserError(f"this version of pyiqa lists metric '{name}' without its network: choose {_OFFERED}")


def _absent(name: str, error: ImportError) -> UserError:
    package = (error.name or str(error)).split(".")[0]
    return UserError(
        f"metric '{name}' needs the package '{package}', which is not here: install it, or choose {_OFFERED}"
    )
