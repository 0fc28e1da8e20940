"""EDM diffusion: preconditioning, schedule, guidance, windows, and the sampler with its two plans."""
