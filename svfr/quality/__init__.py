"""Measurements that decide which clips are worth training on; each is a number first and a threshold second."""
