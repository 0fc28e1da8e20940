"""From sources to degraded pairs: the engine and the data stages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from svfr.params.section import Section


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
