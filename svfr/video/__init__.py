"""Video in and out: probing, decoding, encoding, stream copy, tar shards, and isolation of untrusted files."""
