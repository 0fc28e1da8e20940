"""Every third-party file the project can use: what it is, where it comes from, under which licence.

A digest is stated only where it was read from the file itself or from the record of the place that publishes it.
Elsewhere it is None, and the first fetch records it (`svfr.weights`). Names that contain the first hex digits of
their SHA-256, as PyTorch's do, are checked against them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weight:
    """One file. `file` is its place relative to the weights folder; `megabytes` is about its size, None if unknown."""

    name: str
    file: str
    url: str
    licence: str
    what: str
    megabytes: float | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None


_SVFR = "non-commercial research only (README of wangzhiyaoo/SVFR); a mirror of the authors' Google Drive folder"
_SVFR_URL = "https://huggingface.co/fffiloni/SVFR/resolve/main/face_restoration/"
_SVD = "Stability AI Community License"
_SVD_URL = "https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt/resolve/main/"
_FAN = "BSD-3-Clause (face-alignment)"
_FAN_URL = "https://www.adrianbulat.com/downloads/python-fan/"
_TORCH = "BSD-3-Clause (torchvision)"
_TORCH_URL = "https://download.pytorch.org/models/"
_IQA = "CC BY-NC-SA 4.0 (chaofengc/IQA-PyTorch-Weights)"
_IQA_URL = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/"
_STC = "none stated (Dixin-Lab/BFVR-STC has no licence file)"
_STC_URL = "https://github.com/Dixin-Lab/BFVR-STC/releases/download/init/"

_ALL = (
    Weight("svfr-unet", "svfr/unet.pth", _SVFR_URL + "unet.pth", _SVFR, "SVFR U-Net, 12 channels, fp16", 3050),
    Weight(
        "svfr-id-linear", "svfr/id_linear.pth", _SVFR_URL + "id_linear.pth", _SVFR, "SVFR identity projection", 1.05
    ),
    Weight(
        "arcface",
        "svfr/insightface_glint360k.pth",
        _SVFR_URL + "insightface_glint360k.pth",
        "non-commercial research only (insightface model zoo)",
        "ArcFace iResNet-100, glint360k",
        261,
    ),
    Weight(
        "svd-vae",
        "svd-xt/vae/diffusion_pytorch_model.fp16.safetensors",
        _SVD_URL + "vae/diffusion_pytorch_model.fp16.safetensors",
        _SVD,
        "SVD-XT temporal autoencoder, fp16",
        196,
        sha256="af602cd0eb4ad6086ec94fbf1438dfb1be5ec9ac03fd0215640854e90d6463a3",
    ),
    Weight("svd-vae-config", "svd-xt/vae/config.json", _SVD_URL + "vae/config.json", _SVD, "its config", 0.001),
    Weight(
        "svd-unet",
        "svd-xt/unet/diffusion_pytorch_model.fp16.safetensors",
        _SVD_URL + "unet/diffusion_pytorch_model.fp16.safetensors",
        _SVD,
        "SVD-XT U-Net, 8 channels, fp16: the start of training",
        3050,
    ),
    Weight("svd-unet-config", "svd-xt/unet/config.json", _SVD_URL + "unet/config.json", _SVD, "its config", 0.001),
    Weight(
        "svd-scheduler",
        "svd-xt/scheduler/scheduler_config.json",
        _SVD_URL + "scheduler/scheduler_config.json",
        _SVD,
        "noise levels",
        0.001,
    ),
    Weight(
        "arniqa",
        "quality/ARNIQA.pth",
        _IQA_URL + "ARNIQA.pth",
        _IQA,
        "ARNIQA encoder",
        112,
        sha256="ad2022e59b1040d5bab24f9325c10d0215956a2061248a36c15edaec3e60fcd1",
    ),
    Weight(
        "arniqa-live", "quality/regressor_live.pth", _IQA_URL + "regressor_live.pth", _IQA, "ARNIQA regressor, LIVE"
    ),
    Weight(
        "resnet50",
        "quality/resnet50-0676ba61.pth",
        _TORCH_URL + "resnet50-0676ba61.pth",
        _TORCH,
        "ResNet-50, ImageNet: ARNIQA's skeleton in pyiqa",
        98,
        sha256_prefix="0676ba61",
    ),
    Weight(
        "niqe", "quality/niqe_modelparameters.mat", _IQA_URL + "niqe_modelparameters.mat", _IQA, "NIQE, pristine model"
    ),
    Weight("brisque", "quality/brisque_svm_weights.pth", _IQA_URL + "brisque_svm_weights.pth", _IQA, "BRISQUE, SVM"),
    Weight(
        "musiq",
        "quality/musiq_koniq_ckpt-e95806b9.pth",
        _IQA_URL + "musiq_koniq_ckpt-e95806b9.pth",
        _IQA,
        "MUSIQ, KonIQ-10k",
        104,
        sha256_prefix="e95806b9",
    ),
    Weight(
        "topiq-nr",
        "quality/cfanet_nr_koniq_res50-9a73138b.pth",
        _IQA_URL + "cfanet_nr_koniq_res50-9a73138b.pth",
        _IQA,
        "TOPIQ without reference, KonIQ-10k",
        sha256_prefix="9a73138b",
    ),
    Weight(
        "clip-rn50",
        "quality/RN50.pt",
        "https://openaipublic.azureedge.net/clip/models/"
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
        "MIT (openai/CLIP)",
        "CLIP, ResNet-50: the network of CLIP-IQA",
        sha256="afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    ),
    Weight(
        "fan",
        "faces/2DFAN4-11f355bf06.pth.tar",
        _FAN_URL + "2DFAN4-11f355bf06.pth.tar",
        _FAN,
        "2D-FAN-4, 68 landmarks",
        91,
        sha256_prefix="11f355bf06",
    ),
    Weight(
        "sfd",
        "faces/s3fd-619a316812.pth",
        _FAN_URL + "s3fd-619a316812.pth",
        _FAN,
        "S3FD face detector",
        86,
        sha256_prefix="619a316812",
    ),
    Weight(
        "yunet",
        "faces/face_detection_yunet_2023mar.onnx",
        "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        "MIT (OpenCV zoo)",
        "YuNet face detector",
        0.23,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    ),
    Weight(
        "retinaface",
        "faces/retinaface_mobilenet0.25.pth",
        _FAN_URL + "retinaface_mobilenet0.25.pth",
        "MIT (biubug6/Pytorch_Retinaface)",
        "RetinaFace detector, MobileNet 0.25",
        1.8,
    ),
    Weight(
        "scrfd",
        "faces/det_2.5g.onnx",
        "https://github.com/yakhyo/facial-analysis/releases/download/v0.0.1/det_2.5g.onnx",
        "non-commercial research only (insightface model zoo)",
        "SCRFD 2.5G face detector",
        3.3,
    ),
    Weight(
        "alexnet",
        "metrics/alexnet-owt-7be5be79.pth",
        _TORCH_URL + "alexnet-owt-7be5be79.pth",
        _TORCH,
        "AlexNet, backbone of LPIPS",
        233,
        sha256_prefix="7be5be79",
    ),
    Weight(
        "vgg16",
        "metrics/vgg16-397923af.pth",
        _TORCH_URL + "vgg16-397923af.pth",
        _TORCH,
        "VGG-16, backbone of LPIPS",
        528,
        sha256_prefix="397923af",
    ),
    Weight(
        "raft_large",
        "metrics/raft_large_C_T_V1-22a6c225.pth",
        _TORCH_URL + "raft_large_C_T_V1-22a6c225.pth",
        _TORCH,
        "RAFT optical flow",
        21,
        sha256_prefix="22a6c225",
    ),
    Weight(
        "i3d_torchscript",
        "metrics/i3d_torchscript.pt",
        "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1",
        "Apache-2.0 (DeepMind kinetics-i3d), converted for StyleGAN-V",
        "I3D, Kinetics-400: features of FVD. TorchScript: it holds code, so run it only if you trust its source",
        51,
    ),
    Weight(
        "ir_se50",
        "metrics/recognition_arcface_ir_se50.pth",
        "https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
        "Apache-2.0 (facexlib)",
        "ArcFace IR-SE-50: identity similarity of VFRxBenchmark",
        175,
    ),
    Weight(
        "dinov2-vits14",
        "training/dinov2_vits14_pretrain.pth",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "Apache-2.0 (facebookresearch/dinov2)",
        "DINOv2 ViT-S/14: features of the critic that trains STC's stage I",
        84,
    ),
    Weight("stc-bfvr", "stc/ckpt-bfvr.pth", _STC_URL + "ckpt-bfvr.pth", _STC, "BFVR-STC, blind restoration"),
    Weight("stc-deflicker", "stc/ckpt-defilcker.pth", _STC_URL + "ckpt-defilcker.pth", _STC, "BFVR-STC, de-flickering"),
    Weight(
        "stc-deflicker-sd",
        "stc/ckpt-deflickersd.pth",
        _STC_URL + "ckpt-deflickersd.pth",
        _STC,
        "BFVR-STC, de-flickering of diffusion results",
    ),
)

WEIGHTS: dict[str, Weight] = {weight.name: weight for weight in _ALL}
