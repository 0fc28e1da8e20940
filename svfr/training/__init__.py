"""SVFR training: pairs, losses, loop, checkpoints. Nothing here knows Ray, DVC or MLflow."""
