"""Networks of the two families, SVFR and BFVR-STC (`stc`), and the folder that a model is stored in."""
