"""What trained models are put to: evaluation, registry, restoration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from svfr.params.section import Section


class EvaluateParams(Section):
    """Which held-out pairs are restored and measured."""

    model: str = "models/svfr"  # below the project
    split: Literal["val", "test"] = "test"
    max_pairs: int = Field(100, ge=1)
    max_frames: int = Field(24, ge=1)
    steps: int = Field(30, ge=1)
    guidance: float = Field(2.0, ge=0)
    self_refer: bool = True
    keep_known: bool = True  # known pixels (inpaint alone) and luma (color alone) come from the input, as restore does
    metrics: list[str] = [
        "psnr", "ssim", "lpips", "ids", "vidd", "lmd", "akd", "flicker", "chroma_error", "colourfulness_gap",
        "psnr_hole", "warp_error", "fvd",
    ]  # fmt: skip
    also: list[str] = []  # further model folders, measured beside the first on the tasks that they have
    lpips: Literal["alex", "vgg"] = "alex"
    identity: Literal["dlib", "arcface", "ir_se50"] = "ir_se50"  # behind ids and vidd
    landmarks: Literal["dlib68", "fan"] = "fan"  # behind lmd and akd
    baselines: list[str] = ["classical"]
    sheet_rows: int = Field(2, ge=1)  # rows of the contact sheet for each task
    seed: int = 77


class RegisterParams(Section):
    """Model registry."""

    name: str = "svfr"
    metric: str = "bfr/psnr"  # champion changes hands when the newcomer is better by this held-out figure
    tracking_uri: str = "sqlite:///mlflow.db"
    experiment: str = "svfr"
    upload_max_bytes: int = Field(512 << 20, ge=0)  # larger models are registered by reference into `store`
    store: str = "cache/models"  # content-addressed folder of registered models; a shared one on a cluster


class RestoreOptions(Section):
    """Everything a restored file depends on besides its input and the model; see svfr.restore."""

    tasks: list[Literal["bfr", "color", "inpaint", "deflicker"]] = Field(["bfr"], min_length=1)  # what the model can
    auto: bool = False  # bfr, with color if the input is grey, with inpaint if there is a mask; `tasks` is not used
    steps: int = Field(30, ge=1)
    guidance: float = Field(2.0, ge=0)
    self_refer: bool = True  # a first pass over one window finds the reference frame of a track
    reference_steps: int = Field(0, ge=0)  # of that first pass; 0 = as many as `steps`
    strength: float = Field(1.0, gt=0, le=1)  # share of the steps that is run, from a lower noise level on
    noise_aug: float = Field(0.0, ge=0)  # standard deviation of noise added to what the network is shown
    solver: Literal["euler", "dpmpp_2m"] = "euler"  # second order needs fewer steps; lossy
    guidance_interval: list[float] | None = Field(None, min_length=2, max_length=2)  # guide in these sigmas only; lossy
    deep_every: int = Field(1, ge=1)  # the deep blocks at every k-th step only; lossy
    reference: list[str] = []  # photos of persons, "photo.jpg" or "N=photo.jpg"; replace their first pass
    link_faces: bool = True  # tracks of one person share a reference
    drift_limit: float = Field(0.0, ge=0)  # a segment whose faces are further from it gets a new one; 0 = never
    region: Literal["faces", "frame"] = "faces"  # "frame": the whole picture is one region, no face needed
    detector: Literal["mtcnn", "dlib_hog", "yunet", "retinaface", "sfd"] = "yunet"
    detector_options: dict[str, Any] = {}
    key_every: int = Field(5, ge=1)  # detection on every n-th frame
    min_score: float = Field(0.9, ge=0, le=1)
    min_face: int = Field(24, ge=1)  # pixels; smaller faces pass through
    enlarge: float = Field(0.2, ge=0)
    feather: float = Field(0.1, ge=0, le=0.5)  # share of the crop's side over which it fades into the frame
    match_colour: bool = True
    mask: str = ""  # picture or video (white = hole), or "box:x1,y1,x2,y2" in source pixels
    crop_only: bool = False  # write the restored crop of the largest face instead of the whole frame
    overlap: int = Field(3, ge=0, le=16)  # frames shared by neighbouring windows
    segment: int = Field(64, ge=16)  # frames between two points at which a killed run goes on
    codec: Literal["libx264", "libx265", "libvpx-vp9", "ffv1"] = "libx264"
    crf: int = Field(16, ge=0, le=63)
    max_frames: int = Field(0, ge=0)  # 0 = the whole video
    seed: int = 77
    side_by_side: bool = True
    contact_sheet: bool = True
    png_frames: bool = False  # the restored frames of a video as PNG files as well


class RestoreParams(RestoreOptions):
    """Batch restoration."""

    model: str = "models:/svfr@champion"
    item_timeout: float = Field(24 * 3600.0, gt=0)  # seconds a file; what was done is kept for the next run
