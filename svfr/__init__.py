"""Generalized video face restoration: blind restoration, colorization and inpainting of faces in video."""

import logging

# bitsandbytes, which comes with pyiqa, complains on every CPU machine; nothing here uses it
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
