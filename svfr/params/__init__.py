"""`params.yaml` as frozen, typed models: an unknown or mistyped key is refused by name, never ignored.

One class per section; a stage receives its section and nothing else, so `dvc.yaml` can list what it depends on.
"""

from svfr.params.data import DegradeParams, DownloadParams, EngineParams, FaceParams, ScoreParams
from svfr.params.stc import STCNetworkParams, STCParams, STCPredictorParams, STCStageParams, STCVqganParams
from svfr.params.train import BaseParams, EncodeParams, IdentityParams, RunParams, TrainParams
from svfr.params.use import EvaluateParams, RegisterParams, RestoreOptions, RestoreParams
from svfr.params.whole import Params, load_params

__all__ = [
    "BaseParams",
    "DegradeParams",
    "DownloadParams",
    "EncodeParams",
    "EngineParams",
    "EvaluateParams",
    "FaceParams",
    "IdentityParams",
    "Params",
    "RegisterParams",
    "RestoreOptions",
    "RestoreParams",
    "RunParams",
    "STCNetworkParams",
    "STCParams",
    "STCPredictorParams",
    "STCStageParams",
    "STCVqganParams",
    "ScoreParams",
    "TrainParams",
    "load_params",
]
