"""What pyiqa's metrics would download, looked up among verified local files instead; nothing goes over the network.

pyiqa, and timm, CLIP and facexlib below it, fetch a file when it is not in their own cache. Inside `local_files` that
cache is an empty folder, and every fetch becomes a link to a file of the weights folder.
"""

from __future__ import annotations

import re
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import torch

from svfr.errors import UserError, WeightsMissing
from svfr.weight_list import WEIGHTS, Weight
from svfr.weights import RECORD, get, require, weights_folder

Find = Callable[[str], Path]  # the address that a package would fetch -> the local file

_PACKAGES = ("torch.hub", "pyiqa.", "timm.", "facexlib.", "clip.")
_LOCK = threading.Lock()  # the redirection holds for the whole process, so one at a time


def find_weight(url: str) -> Path:
    """The verified local file for `url`: an entry of the list of weights, or a file put below `quality/` by hand.

    The latter is checked against the digest in its address where there is one (CLIP's: whole, PyTorch's: its first
    digits), else against the one recorded at its first use. Raises `WeightsMissing` with the file, its address and
    the way to get it; `UserError` if the digest is another one.
    """
    for weight in WEIGHTS.values():
        if urlsplit(weight.url).path == urlsplit(url).path:
            return require(weight.name)
    weight = _unlisted(url)
    path = weights_folder() / weight.file
    if not path.is_file():
        known = weight.sha256 or weight.sha256_prefix
        check = (
            f"must begin with {known}" if known else f"is recorded in {RECORD} at its first use and holds from then on"
        )
        raise WeightsMissing(f"{path} is missing ({weight.what}): fetch {url} and put it there; its SHA-256 {check}")
    return get(weight, offline_folder=path.parent)  # it is there, so this only verifies it


@contextmanager
def local_files(find: Find = find_weight) -> Iterator[None]:
    """Answers every fetch in the block with the file that `find` names for the address; opens no connection.

    Modules that fetch must be imported before the block. `torch.load` reads tensors only, whatever a package asks for.
    """
    hub = torch.hub.get_dir()
    with _LOCK, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.callback(torch.hub.set_dir, hub)
        torch.hub.set_dir(folder)
        substitutes = _substitutes(find, folder)
        for key, module in list(sys.modules.items()):
            if key.startswith(_PACKAGES):
                for name in substitutes.keys() & vars(module).keys():
                    _swap(stack, module, name, substitutes[name])
        _swap(stack, torch, "load", _tensors_only(torch.load))
        _swap(stack, socket, "getaddrinfo", _no_network())
        yield


def _swap(stack: ExitStack, module: ModuleType, name: str, substitute: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, substitute)


def _substitutes(find: Find, folder: str) -> dict[str, Any]:
    """By name, what stands in for the packages' functions and folders."""

    def to_file(url: str, dst: str, *_: Any, **__: Any) -> None:
        Path(dst).symlink_to(find(url).resolve())

    def from_hugging_face(repo_id: str, filename: str, **_: Any) -> str:
        return str(find(f"https://huggingface.co/{repo_id}/resolve/main/{filename}"))

    return {
        "download_url_to_file": to_file,
        "hf_hub_download": from_hugging_face,
        "_download": lambda url, root: str(find(url)),  # CLIP's
        "DEFAULT_CACHE_DIR": folder,
    }


def _tensors_only(load: Callable[..., Any]) -> Callable[..., Any]:
    def checked(file: Any, *arguments: Any, **options: Any) -> Any:
        return load(file, *arguments, **{**options, "weights_only": True})

    return checked


def _no_network() -> Callable[..., Any]:
    """A `socket.getaddrinfo` for which this thread has no network; other threads keep theirs."""
    lookup, builder = socket.getaddrinfo, threading.get_ident()

    def refuse(host: Any, *arguments: Any, **options: Any) -> Any:
        if threading.get_ident() != builder:
            return lookup(host, *arguments, **options)
        raise UserError(f"a quality metric asked for a file at {host} in a way that is not served: choose another one")

    return refuse


def _unlisted(url: str) -> Weight:
    """A file that the list does not have, as an entry of it."""
    parts = Path(urlsplit(url).path).parts
    name = parts[-1]
    hub = re.search(r"huggingface\.co/[^/]+/([^/]+)/resolve/", url)
    folder = f"quality/{hub[1]}" if hub and hub[1] != "IQA-PyTorch-Weights" else "quality"  # else all model.safetensors
    prefix = re.search(r"-([0-9a-f]{8,64})\.", name)
    whole = parts[-2] if re.fullmatch("[0-9a-f]{64}", parts[-2]) else None
    what = "a network of a quality metric; see the licence at its source"
    return Weight(name, f"{folder}/{name}", url, "", what, sha256=whole, sha256_prefix=prefix[1] if prefix else None)
