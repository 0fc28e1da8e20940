"""The second model family: BFVR-STC, which restores and de-flickers in one pass by looking up clean codes."""

from svfr.models.stc.network import VQGAN, CodeRestorer, STCConfig, STCOutput, build_stc, config_of

__all__ = ["VQGAN", "CodeRestorer", "STCConfig", "STCOutput", "build_stc", "config_of"]
