"""The released checkpoints of BFVR-STC: which tensors they hold, and which of them a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from svfr.errors import UserError
from svfr.models.loading import check_state, load_strict, shapes_of
from svfr.models.stc.autoencoder import SPACE
from svfr.models.stc.unused import UNUSED

if TYPE_CHECKING:
    from svfr.models.stc.network import VQGAN

Variant = Literal["bfvr", "deflicker", "stage1"]
_RELEASED: dict[int, Variant] = {
    9: "bfvr",
    6: "deflicker",
    0: "stage1",
}  # by layers; heads cannot be read off any shape
_LAYER = "s_ft_layers."


def tensors_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a released checkpoint by name: `params_ema` if it is there, else `params`, else itself.

    A leading `module.` is stripped. Raises `UserError` if anything but tensors is left.
    """
    held: Any = checkpoint
    for key in ("params_ema", "params"):
        if key in checkpoint:
            held = checkpoint[key]
            break
    if not isinstance(held, Mapping) or not all(isinstance(v, Tensor) for v in held.values()):
        raise UserError(
            "this is no checkpoint of BFVR-STC: tensors by name are needed, or params_ema or params of them"
        )
    return {str(name).removeprefix("module."): value for name, value in held.items()}


def layers_in(state: Mapping[str, Tensor]) -> int:
    """Layers of each lookup transformer in a state dict; 0 for the 3D-VQGAN alone."""
    return len({name.split(".")[1] for name in state if name.startswith(_LAYER)})


def variant_of(layers: int, what: str) -> Variant:
    """The released variant with so many layers. Raises `UserError`, naming `what`, if there is none."""
    if layers not in _RELEASED:
        known = ", ".join(f"{name} {count}" for count, name in _RELEASED.items())
        raise UserError(f"{what} has lookup transformers of {layers} layers, the released ones have {known}")
    return _RELEASED[layers]


def load_official(module: VQGAN, checkpoint: Mapping[str, Any]) -> None:
    """See `VQGAN.load_official`."""
    state = tensors_of(checkpoint)
    _check_variant(module, state)
    wanted = shapes_of(module)
    kept = {name: value.clone() for name, value in state.items() if name in wanted or not name.startswith(UNUSED)}
    what = f"STC checkpoint for variant {module.config.variant}"
    check_state(kept, wanted, what)
    load_strict(module, kept, what)


def _check_variant(module: VQGAN, state: Mapping[str, Tensor]) -> None:
    found, (_, layers) = layers_in(state), module.config.transformer
    if found != layers:
        raise UserError(
            f"this checkpoint is {_describe(found)}, the network is {module.config.variant} of {layers} layers: "
            f"build it with build_stc({_RELEASED.get(found, 'layers=' + str(found))!r})"
        )
    if module.config.space != SPACE:
        raise UserError(
            f"the released networks have latents of {SPACE} pixels a side, this one of {module.config.space}"
        )
    rows = len(state["position_emb_s"]) if "position_emb_s" in state else 0
    if layers and rows and rows != module.config.tokens:
        raise UserError(
            f"this checkpoint has {rows} position embeddings, the network {module.config.tokens}: "
            f"build it with tokens={rows}"
        )


def _describe(layers: int) -> str:
    name = _RELEASED.get(layers, "a stage II network")
    return f"{name} ({layers} layers)" if layers else "stage1 (no lookup transformer)"
