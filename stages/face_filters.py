"""The filters of face clips: each is a column of the `clips` table held against limits of `faces` in the parameters.

In this order; the first that refuses a clip is its reason. Those of `TRACK` are decided from the track alone, before
anything of the clip is decoded; the others on stored measurements, so other limits cost no new measuring.
"""

from __future__ import annotations

from dataclasses import dataclass

from svfr.params import FaceParams
from svfr.tables import Row


@dataclass(frozen=True)
class Filter:
    """Refuses a clip with `reason` when its `column` is below the parameter `low` or above the parameter `high`."""

    reason: str
    column: str
    what: str
    low: str | None = None
    high: str | None = None

    def limits(self, options: FaceParams) -> tuple[float | None, float | None]:
        """The limits, or None where there is none."""
        low, high = (None if name is None else getattr(options, name) for name in (self.low, self.high))
        return low, high

    def refuses(self, row: Row, options: FaceParams) -> str:
        """What is wrong with `row`, with the measured value beside the limit, or an empty string.

        A column without a value refuses nothing.
        """
        value = row[self.column]
        low, high = self.limits(options)
        if value is not None and low is not None and value < low:
            return f"{self.what} {value:.4g} is below faces.{self.low} = {low:g}"
        if value is not None and high is not None and value > high:
            return f"{self.what} {value:.4g} is above faces.{self.high} = {high:g}"
        return ""


TRACK = (
    Filter("too_short", "n_frames", "number of frames", low="min_frames"),
    Filter("too_brief", "duration", "duration in seconds", low="min_seconds"),
    Filter("other_face", "region_overlap", "share of the face in the source's region", low="min_region_overlap"),
    Filter("small_face", "face_px", "crop in pixels", low="min_face_px"),
    Filter("small_share", "face_proportion", "share of the frame that the face fills", low="min_proportion"),
    Filter("doubtful_face", "confidence", "confidence of the detector", low="min_confidence"),
    Filter("occluded", "coverage", "share of key frames with the face", low="min_coverage"),
)
MEASURED = (
    Filter("cut_inside", "cuts", "number of cuts within the clip", high="max_cuts"),
    Filter("side_face", "alpha_min", "side ratio (smallest)", low="alpha_min"),
    Filter("side_face", "alpha_max", "side ratio (largest)", high="alpha_max"),
    Filter("side_face", "frontal", "margin of the frontal-face detector", low="min_frontal"),
    Filter("text", "text_score", "surest line of text read, score", high="max_text"),
    Filter("blurred", "blur", "sharpness", low="min_blur"),
    Filter("frozen", "change", "change from frame to frame in grey levels", low="min_change"),
    Filter("still", "motion", "motion intensity", low="min_motion"),
    Filter("restless", "motion", "motion intensity", high="max_motion"),
)
FILTERS = (*TRACK, *MEASURED)
NEAR_DUPLICATE = "near_duplicate"  # decided last, between the clips that are left
REASONS = (*dict.fromkeys(f.reason for f in FILTERS), NEAR_DUPLICATE)


def judge(row: Row, filters: tuple[Filter, ...], options: FaceParams) -> tuple[str, str]:
    """(reason, explanation) of the first of `filters` that refuses `row`, or two empty strings."""
    for each in filters:
        if what := each.refuses(row, options):
            return each.reason, what
    return "", ""


def measuring_options(options: FaceParams) -> dict[str, object]:
    """The parameters that measurements and media depend on: all but the limits of filters decided afterwards."""
    after = {name for each in MEASURED for name in (each.low, each.high) if name} | {"max_hash_distance", "device"}
    return options.model_dump(exclude=after)
