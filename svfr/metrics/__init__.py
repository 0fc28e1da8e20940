"""Metrics of restored face video: frame, colour, identity, landmark, temporal, distribution; each names its network."""
