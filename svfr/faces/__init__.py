"""Faces in video: detection, landmarks, tracks, crops, and the embedding that tells people apart."""
