"""`params.yaml` as frozen, typed models: an unknown or mistyped key is refused by name, never ignored.

One class per section; a stage receives its section and nothing else, so `dvc.yaml` can list what it depends on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from svfr.errors import UserError


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EngineParams(Section):
    """How items are spread over processes. Nothing here may change a result, so no stage depends on it in DVC."""

    workers: int = Field(2, ge=1)
    threads: int = Field(1, ge=1)  # per worker
    gpus_per_worker: float = Field(0.0, ge=0)
    servers: int = Field(0, ge=0)  # processes that run the networks of faces and score for all workers; 0: each its own
    gpus_per_server: float = Field(0.0, ge=0)
    item_timeout: float = Field(600.0, gt=0)  # seconds
    item_memory: float = Field(8.0, ge=0)  # GiB of address space an item may add to its CPU worker; 0 = no limit
    cache: str = "cache/items"


class DownloadParams(Section):
    """Which sources are fetched and what is refused."""

    sources: str = "data/sources.txt"  # one path or URI a line, or CSV with columns uri, licence, source_dataset
    retries: int = Field(3, ge=0)
    timeout: float = Field(60.0, gt=0)  # seconds without a byte
    max_rate: int = Field(0, ge=0)  # bytes a second of each worker; 0: as fast as it goes
    youtube_url: str = Field("https://www.youtube.com/watch?v={id}", pattern=r"^https?://.*\{id\}")  # or a mirror
    page_format: str = (
        "bv*[protocol^=http]/bv*"  # yt-dlp's words for which file of a page; ours: best picture, one file
    )
    max_bytes: int = Field(8 << 30, gt=0)
    max_pixels: int = Field(7680 * 4320, gt=0)
    max_duration: float = Field(6 * 3600.0, gt=0)  # seconds
    shard_bytes: int = Field(1 << 30, gt=0)


class FaceParams(Section):
    """Detection, tracking, crops and filters. Thresholds default to the papers' (BFVR-STC supplement, SVFR supp.)."""

    detector: Literal["mtcnn", "dlib_hog", "yunet", "retinaface", "sfd"] = "yunet"
    detector_options: dict[str, Any] = {}
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")  # of detector, landmarker and embedder that can
    landmarker: Literal["dlib68", "fan"] = "fan"
    embedder: Literal["dlib", "arcface"] = "arcface"
    key_every: int = Field(5, ge=1)  # detection on every n-th frame, tracking between
    min_score: float = Field(0.9, ge=0, le=1)
    enlarge: float = Field(0.2, ge=0)  # SVFR supp.: square face boxes enlarged by 0.2
    crop: Literal["static", "smooth"] = "static"  # one square for the clip, or one that follows the face
    size: int = Field(512, ge=16)  # side of the stored crop
    max_frames: int = Field(240, ge=1)  # longer tracks are cut into several clips
    max_clips_per_track: int = Field(4, ge=1)
    crf: int = Field(4, ge=0, le=51)

    # filters, in their order; see stages/face_filters.py. Those up to min_coverage are decided before measuring.
    min_frames: int = Field(16, ge=1)
    min_seconds: float = Field(0.0, ge=0)
    min_region_overlap: float = Field(0.5, ge=0, le=1)  # only where the source names a region
    min_face_px: int = Field(512, ge=1)  # SVFR supp.: smaller crops are dropped
    min_proportion: float = Field(0.0, ge=0, le=1)  # of the frame's area
    min_confidence: float = Field(0.0, ge=0, le=1)  # mean score of the track; min_score bounds each detection
    min_coverage: float = Field(0.5, ge=0, le=1)  # share of key frames with a detection
    max_cuts: int = Field(0, ge=0)
    alpha_min: float = Field(0.4, gt=0)  # BFVR-STC supp. B
    alpha_max: float = Field(2.5, gt=0)
    min_frontal: float = Field(0.0, ge=-1)  # margin of dlib's frontal detector, whose own limit is 0
    max_text: float = Field(0.95, ge=0, le=1)  # BFVR-STC supp. C: score of the surest line read
    min_blur: float = Field(0.0, ge=0)  # variance of the Laplacian at `size` pixels
    min_change: float = Field(0.1, ge=0)  # grey levels; stills and drawn animation have less (measured: 0.02 to 0.2)
    min_motion: float = Field(0.0, ge=0, le=1)  # BFVR-STC 6.2 gives no threshold
    max_motion: float = Field(1.0, ge=0, le=1)
    max_hash_distance: float = Field(0.08, ge=0, le=1)  # share of differing bits up to which clips are one


class ScoreParams(Section):
    """No-reference quality filter (SVFR supp.: ARNIQA, regressor live, > 0.75)."""

    metric: str = "arniqa"
    backend: Literal["pyiqa", "torchmetrics"] = "pyiqa"
    regressor: str = "live"
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")  # cuda: with engine.gpus_per_worker above 0
    batch: int = Field(8, ge=1)  # frames at once, where the metric takes several
    frames: int = Field(5, ge=1)  # sampled evenly from the clip
    threshold: float = 0.75  # a mean on the wrong side is rejected


class DegradeParams(Section):
    """How low-quality views are drawn; see svfr.degrade."""

    presets: list[str] = Field(["stc"], min_length=1)
    pairs_per_clip: int = Field(8, ge=1)
    noise_free_share: float = Field(0.0, ge=0, le=1)  # of a training clip's views; 1 is BFVR-STC's first phase
    vary: Literal["clip", "frame"] = "clip"  # training views: one draw for the clip, or new ones in every frame
    test_tasks: list[list[str]] = [["bfr"], ["color"], ["inpaint"], ["bfr", "color", "inpaint"]]
    task_weights: dict[str, float] = {}  # "bfr+color": 2.0; empty = the seven combinations alike
    val_share: float = Field(0.1, ge=0, lt=1)
    test_share: float = Field(0.1, ge=0, lt=1)
    same_identity: float = Field(0.45, gt=0)  # embedding distance below which two clips show one person
    seed: int = 0


class IdentityParams(Section):
    """Where the 49 identity tokens come from."""

    backend: Literal["arcface", "dlib"] = "arcface"
    channels: int = Field(512, ge=1)  # of the map that id_linear projects


class BaseParams(Section):
    """The network that training starts from: SVD-XT's weights, or small networks that are built here."""

    kind: Literal["svd-xt", "tiny"] = "svd-xt"
    svd_folder: str = ""
    unet: dict[str, Any] = {}
    vae: dict[str, Any] = {}
    scheduler: dict[str, Any] = {}
    identity: IdentityParams = IdentityParams()
    steps: int = Field(30, ge=1)  # what the model folder states as its own sampler settings
    guidance: float = Field(2.0, ge=0)
    seed: int = 0


class EncodeParams(Section):
    """Latent cache."""

    chunk: int = Field(8, ge=1)  # frames per encoder call
    lq: bool = False  # also store the degraded views' latents (half precision), so that training encodes nothing
    shard_bytes: int = Field(512 << 20, gt=0)


class RunParams(Section):
    """What every training run has, of whatever model."""

    workers: int = Field(2, ge=1)
    threads: int = Field(1, ge=1)
    gpus_per_worker: float = Field(0.0, ge=0)
    steps: int = Field(1000, ge=1)
    batch_clips: int = Field(2, ge=1)  # clips of a step over all workers
    lr: float = Field(1e-5, gt=0)
    warmup: int = Field(0, ge=0)
    lr_decay: Literal["constant", "cosine"] = "cosine"
    clip_norm: float = Field(1.0, gt=0)
    precision: Literal["no", "bf16"] = "no"
    ema: float = Field(0.999, ge=0, lt=1)
    checkpoint_every: int = Field(500, ge=1)
    keep_checkpoints: int = Field(3, ge=1)
    validate_every: int = Field(500, ge=1)
    loader_workers: int = Field(0, ge=0)  # processes that read, decode and degrade ahead of the step
    max_failures: int = Field(2, ge=0)
    seed: int = 0


class TrainParams(RunParams):
    """SVFR training (paper eq. total loss; values the authors did not publish are ours and said so in the README)."""

    frames: int = Field(16, ge=1)
    parts: Literal["all", "temporal", "lora"] = "all"  # which layers of the U-Net are trained
    lora_rank: int = Field(16, ge=1)
    strategy: Literal["ddp", "fsdp"] = "ddp"  # copies of the model on all workers, or its shards (FSDP2)
    weight_decay: float = Field(0.01, ge=0)
    accumulate: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    sigma_mean: float = 0.7  # ln sigma ~ N(mean, std); SVD fine-tuning practice
    sigma_std: float = Field(1.6, gt=0)
    weighting: Literal["edm", "snr", "min_snr", "soft_min_snr"] = "edm"  # of the noise loss; see svfr.diffusion.edm
    weighting_gamma: float = Field(5.0, gt=0)  # the SNR at which min_snr and soft_min_snr level off
    lambda_ulr: float = Field(0.01, ge=0)  # SVFR supp. Tab. 1
    lambda_prior: float = Field(0.1, ge=0)
    ulr_tau: float = Field(0.1, gt=0)  # unknown in the paper; ours
    ulr_dim: int = Field(256, ge=1)
    ulr_depth: int = Field(2, ge=1)
    wing_w: float = Field(10.0, gt=0)  # Wing loss paper's defaults, in pixels of a 256 px face
    wing_epsilon: float = Field(2.0, gt=0)
    noise_free_clips: int = Field(0, ge=0)  # this many clips (of all workers) first show noise-free views, then full
    reference_drop: float = Field(0.5, ge=0, le=1)  # paper: reference and identity dropped together
    validation_pairs: int = Field(4, ge=1)
    preview_steps: int = Field(0, ge=0)  # sampling steps of the picture restored at every validation; 0 = none
    prefetch: int = Field(2, ge=1)  # batches that each loader worker keeps ready
    peak_tflops: float = Field(0.0, ge=0)  # of one device, for the utilisation; 0 = measured by a matrix product


class STCNetworkParams(Section):
    """Sizes of the BFVR-STC network; the defaults are the released ones. `heads` and `layers` 0 are the variant's."""

    variant: Literal["bfvr", "deflicker"] = "bfvr"  # deflicker: brightness only
    legacy_residual: bool = False  # True: the released temporal query, which ties a network to its number of frames
    channels: int = Field(32, ge=1)
    embedding: int = Field(256, ge=1)
    codes: int = Field(1024, ge=2)
    heads: int = Field(0, ge=0)
    layers: int = Field(0, ge=0)
    feedforward: int = Field(512, ge=1)
    norm_groups: int = Field(32, ge=1)
    fusion: Literal["add", "conv", "fft"] = "add"  # of both codes of a place; BFVR-STC Table 4b


class STCStageParams(RunParams):
    """What both training stages of BFVR-STC have in common."""

    batch_clips: int = Field(1, ge=1)  # clips of a step over all workers
    frames: int = Field(24, ge=2, multiple_of=2)
    size: int = Field(0, ge=0, multiple_of=8)  # pixels a side that crops are shrunk to; 0 = as they are
    lr: float = Field(2e-5, gt=0)
    lr_decay: Literal["constant", "cosine"] = "constant"
    ema: float = Field(0.995, ge=0, lt=1)
    validation_clips: int = Field(4, ge=1)


class STCVqganParams(STCStageParams):
    """Stage I, the 3D-VQGAN (BFVR-STC Eq. 5-8); weights are those of the released options."""

    perceptual: Literal["none", "lpips-vgg"] = "lpips-vgg"  # none: L1 alone, no file needed
    adversarial: Literal["none", "patch", "dinov2"] = "dinov2"  # patch: a small critic of our own, no file needed
    lambda_perceptual: float = Field(1.0, ge=0)
    lambda_commitment: float = Field(1.0, ge=0)  # |sg(z_q) - z|^2
    lambda_codebook: float = Field(0.25, ge=0)  # |z_q - sg(z)|^2
    lambda_prior: float = Field(0.1, ge=0)
    prior_power: float = Field(1.0, gt=0)  # of the inverse distance: 1 in the paper, 2 in the released code
    lambda_adversarial: float = Field(0.4, ge=0)
    adversarial_from: int = Field(2001, ge=0)  # the step at which the critic comes in
    codes_from_data: bool = False  # ours: the spatial codebook starts as latents of the first clips


class STCPredictorParams(STCStageParams):
    """Stage II, the code predictors (BFVR-STC Eq. 10); weights are those of the released options."""

    lambda_code: float = Field(10.0, ge=0)
    lambda_ce: float = Field(1.0, ge=0)
    noise_free_clips: int = Field(0, ge=0)  # this many clips (of all workers) are first shown without noise
    vary: Literal["view", "frame"] = "view"  # frame: another degradation in every frame, whatever the view says
    preset: str = ""  # degradation preset; empty = the bfr views of the pairs table ("flicker" for variant deflicker)


class STCParams(Section):
    """The second model family."""

    network: STCNetworkParams = STCNetworkParams()
    vqgan: STCVqganParams = STCVqganParams()
    predictor: STCPredictorParams = STCPredictorParams()
    name: str = "stc"  # in the registry; where that lies, and how large uploads may be, says the section register
    metric: str = "bfr/psnr"  # as register.metric


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


class Params(Section):
    """The whole of `params.yaml`."""

    engine: EngineParams
    download: DownloadParams
    faces: FaceParams
    score: ScoreParams
    degrade: DegradeParams
    base: BaseParams
    encode: EncodeParams
    train: TrainParams
    evaluate: EvaluateParams
    register_: RegisterParams = Field(alias="register")
    restore: RestoreParams
    stc: STCParams = STCParams()


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks `path`. Raises `UserError` naming the first bad key, the reason and what is allowed."""
    if not path.exists():
        raise UserError(f"{path} is missing: run from the project's root or name the file with --params")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the top level"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        owner: Any = Params
        for part in first["loc"][:-1]:
            owner = next(field.annotation for name, field in _fields(owner) if name == part)
        known = ", ".join(sorted(name for name, _ in _fields(owner)))
        return f"unknown key '{place}'; known keys here: {known}{more}"
    if first["type"] == "missing":
        return f"'{place}' is missing{more}"
    return f"'{place}': {first['msg']}, got {first['input']!r}{more}"


def _fields(section: type[Section]) -> list[tuple[str, FieldInfo]]:
    """The keys of a section as they are written in the file."""
    return [(field.alias or name, field) for name, field in section.model_fields.items()]
