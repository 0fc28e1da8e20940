"""Networks of the SVFR family: U-Net, VAE, identity branch, and the folder they are stored in."""
