"""The family's forward pass written a second time: functional, per pixel where that is plainer, full matrices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def full_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1) @ v


def norm(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    return F.group_norm(x, groups, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)


def conv(x: Tensor, state: State, name: str, padding: int = 1) -> Tensor:
    return F.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)


def block_attention(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    h = norm(x, state, f"{name}.norm", groups)
    q, k, v = (conv(h, state, f"{name}.{part}", 0).flatten(2).transpose(1, 2) for part in "qkv")
    out = full_attention(q, k, v).transpose(1, 2).reshape(x.shape)
    return x + conv(out, state, f"{name}.proj_out", 0)


def temporal_attention(z: Tensor, state: State, groups: int) -> Tensor:
    h = norm(z, state, "quantize.SA.norm", groups)
    q, k, v = (conv(h, state, f"quantize.SA.{part}", 0) for part in "qkv")
    out = torch.zeros_like(z)
    for y in range(z.shape[3]):
        for x in range(z.shape[4]):
            parts = [part[:, :, :, y, x].transpose(1, 2) for part in (q, k, v)]
            out[:, :, :, y, x] = full_attention(*parts).transpose(1, 2)
    return conv(out, state, "quantize.SA.proj_out", 0)


def memory_order_residual(z: Tensor) -> Tensor:
    b, c, t, h, w = z.shape
    flat = z.permute(1, 0, 2, 3, 4).contiguous().view(-1)
    n = c * b * h * w
    d = torch.tensor([0.0 if i < n else float(flat[i] - flat[i - n]) for i in range(len(flat))])
    return d.view(t, b, h, w, c).permute(1, 4, 0, 2, 3)


def lookup_layer(x: Tensor, position: Tensor, state: State, name: str, heads: int) -> Tensor:
    attention = torch.nn.MultiheadAttention(x.shape[-1], heads, batch_first=True)
    prefix = f"{name}.self_attn."
    attention.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    n = F.layer_norm(x, x.shape[-1:], state[f"{name}.norm1.weight"], state[f"{name}.norm1.bias"])
    x = x + attention(n + position, n + position, n)[0]
    n = F.layer_norm(x, x.shape[-1:], state[f"{name}.norm2.weight"], state[f"{name}.norm2.bias"])
    hidden = F.gelu(F.linear(n, state[f"{name}.linear1.weight"], state[f"{name}.linear1.bias"]))
    return x + F.linear(hidden, state[f"{name}.linear2.weight"], state[f"{name}.linear2.bias"])


def indices(query: Tensor, state: State, kind: str, heads: int, layers: int) -> Tensor:
    b, c, t, h, w = query.shape
    x = query.permute(0, 2, 3, 4, 1).reshape(b * t, h * w, c)
    for layer in range(layers):
        x = lookup_layer(x, state[f"position_emb_{kind}"], state, f"{kind}_ft_layers.{layer}", heads)
    head = f"{kind}_idx_pred_layer"
    n = F.layer_norm(x, x.shape[-1:], state[f"{head}.0.weight"], state[f"{head}.0.bias"])
    return F.linear(n, state[f"{head}.1.weight"]).argmax(-1)
