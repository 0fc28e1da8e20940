"""Plan `official`: the released code's denoising loop, number for number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from svfr.diffusion.denoiser import Denoiser
from svfr.diffusion.solvers import euler
from svfr.diffusion.windows import cyclic_windows, triangular_weights


def denoise_official(
    denoiser: Denoiser,
    x_NCHW: Tensor,
    lq_NCHW: Tensor,
    sigmas: Tensor,
    scales: Tensor,
    *,
    window: int,
    overlap: int,
    window_batch: int = 1,
    on_windows: Callable[[int], None] = lambda count: None,
) -> Tensor:
    """Denoises noisy latents x (N,4,h,w) at sigmas[0] to sigma 0, in x's dtype, as the released code does.

    Each window takes its own Euler step; the results are averaged with triangular weights. Windows of a step are
    independent, so `window_batch` of them share a network call. `on_windows(count)` is told of finished windows.
    """
    n = len(x_NCHW)
    weights_F = triangular_weights(window).to(x_NCHW)
    levels = sigmas.tolist()
    for step in range(len(levels) - 1):
        total = torch.zeros_like(x_NCHW)
        weight_N = torch.zeros(n, device=x_NCHW.device, dtype=x_NCHW.dtype)
        windows = [index.to(x_NCHW.device) for index in cyclic_windows(n, window, overlap, step)]
        for first in range(0, len(windows), window_batch):
            group = windows[first : first + window_batch]
            x = torch.stack([x_NCHW[index] for index in group])
            lq = torch.stack([lq_NCHW[index] for index in group])
            v = denoiser(x, lq, sigmas[step].expand(len(group)), scales[step].expand(len(group)))
            stepped = euler(x.float(), v, levels, step, None)[0].to(x_NCHW.dtype)
            for index, result in zip(group, stepped, strict=True):
                total.index_add_(0, index, weights_F[:, None, None, None] * result)
                weight_N.index_add_(0, index, weights_F)
            on_windows(len(group))
        x_NCHW = total / weight_N[:, None, None, None]
    return x_NCHW
