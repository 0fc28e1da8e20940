"""Training of BFVR-STC: stage I, the 3D-VQGAN, and stage II, the code predictors. Shares order, history, checkpoints
with `svfr.training`."""
