"""The `svfr` command. Every heavy import waits for the command that needs it."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from svfr.errors import UserError

app = typer.Typer(
    name="svfr",
    help="Restores faces in video: sharpens, colours, fills holes, in one model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
weights_app = typer.Typer(help="Third-party weights: their sources, and whether they are here.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


def _model_folder(given: Path) -> Path:
    """A bare name means the folder below `models/`, where there is no folder of that name here."""
    below = Path("models") / given
    return below if len(given.parts) == 1 and not given.exists() and below.is_dir() else given


Model = Annotated[
    Path,
    typer.Option(
        help="Model folder (model.json and its weights), or its name below models/.",
        envvar="SVFR_MODEL",
        callback=_model_folder,
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")]
References = Annotated[
    list[str] | None,
    typer.Option(help="A clear photo of a person; again for others. N=photo.jpg: of person N of the report."),
]
DriftLimit = Annotated[
    float, typer.Option(help="New reference where the identity distance to the old one exceeds this; 0 = never.")
]
Auto = Annotated[bool, typer.Option("--auto", help="Choose the tasks: color for grey input, inpaint for a mask.")]


@app.command(epilog="Example: svfr restore old.mp4 new.mp4 --model models/svfr --tasks bfr,color")
def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Video, picture, a folder of them, list (.txt) or manifest (.csv).")],
    destination: Annotated[Path, typer.Argument(help="Output file; a folder if the input is many.")],
    model: Model = Path("models/svfr"),
    tasks: Annotated[str, typer.Option(help="Any of bfr, color, inpaint, comma-separated; or deflicker.")] = "bfr",
    auto: Auto = False,
    steps: Annotated[int, typer.Option(help="Denoising steps; 0 = the model's own.")] = 0,
    guidance: Annotated[float, typer.Option(help="Guidance scale; negative = the model's own.")] = -1.0,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 77,
    strength: Annotated[float, typer.Option(help="Share of the steps to run; less keeps more of the input.")] = 1.0,
    mask: Annotated[str, typer.Option(help="Holes: picture, video (white is filled) or box:x1,y1,x2,y2.")] = "",
    reference: References = None,
    drift_limit: DriftLimit = 0.0,
    link_faces: Annotated[
        bool, typer.Option("--link/--no-link", help="A face that returns is restored from the same reference.")
    ] = True,
    detector: Annotated[str, typer.Option(help="mtcnn, dlib_hog, yunet, retinaface or sfd.")] = "mtcnn",
    min_face: Annotated[int, typer.Option(help="Faces in crops smaller than this (pixels) stay as they are.")] = 24,
    whole: Annotated[bool, typer.Option("--whole-frame", help="Restore the whole picture, not its faces.")] = False,
    crop_only: Annotated[bool, typer.Option("--crop-only", help="Write only the largest face's crop.")] = False,
    frames_folder: Annotated[bool, typer.Option("--frames", help="The folder holds frames of one video.")] = False,
    codec: Annotated[str, typer.Option(help="libx264, libx265, libvpx-vp9 or ffv1 (lossless).")] = "libx264",
    crf: Annotated[int, typer.Option(help="Quality of the encoder, lower is better.")] = 16,
    max_frames: Annotated[int, typer.Option(help="Restore only the first frames; 0 = all.")] = 0,
    side_by_side: Annotated[bool, typer.Option(help="Also write input and result next to each other.")] = False,
    contact_sheet: Annotated[bool, typer.Option(help="Also write a picture of a few frames.")] = False,
    png_frames: Annotated[bool, typer.Option("--png", help="Also write the restored frames as PNG files.")] = False,
    solver: Annotated[str, typer.Option(help="euler or dpmpp_2m (second order, for fewer steps; lossy).")] = "euler",
    guide_within: Annotated[str, typer.Option(help="LOW,HIGH: guide only at these noise levels; lossy, faster.")] = "",
    deep_every: Annotated[int, typer.Option(help="Compute deep features every n-th step; lossy, faster.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Folder for the report of a single file.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16; auto is float16 on CUDA.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    device: Device = "auto",
) -> None:
    """Restore the faces of a video, a picture, or many of them.

    Size, frame rate, time stamps, sound and subtitles are kept; pixels outside the faces stay as they are. A run that
    was interrupted goes on where it stopped when the same command is given again; a run over many files skips those
    that are done and ends with a table and a report.
    """
    from svfr.params import RestoreOptions
    from svfr.restore.command import RestoreCommand

    # options are named as the fields of RestoreOptions, but for those that are said otherwise on a command line
    choices = {name: value for name, value in context.params.items() if name in RestoreOptions.model_fields}
    choices |= {"tasks": _words(tasks), "reference": reference or []}
    choices |= {"region": "frame" if whole else "faces", "guidance_interval": _words(guide_within) or None}
    if steps == 0:
        del choices["steps"]
    if guidance < 0:
        del choices["guidance"]
    command = RestoreCommand(source, destination, model, choices, device, dtype, frames_folder, report)
    raise typer.Exit(command.show_plan() if dry_run else command.run())


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


@app.command(epilog="Example: svfr evaluate restored/ ground_truth/ --metrics psnr,ssim")
def evaluate(
    restored: Annotated[Path, typer.Argument(help="Restored video, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(help="The original video, or a folder with the same names.")],
    metrics: Annotated[str, typer.Option(help="Comma-separated names.")] = "psnr,ssim",
    frames: Annotated[int, typer.Option(help="Frames of each video that are measured.")] = 24,
    output: Annotated[Path | None, typer.Option(help="Also write the rows as JSON to this file.")] = None,
) -> None:
    """Measure restored videos against their originals."""
    from svfr.restore.command import evaluate_command

    evaluate_command(restored, truth, _words(metrics), frames, output)


@app.command(epilog="Example: svfr sample data/sample --old data/old")
def sample(
    folder: Annotated[Path, typer.Argument(help="Where the videos are written.")] = Path("data/sample"),
    old: Annotated[Path | None, typer.Option(help="Also write noisy videos to restore into this folder.")] = None,
) -> None:
    """Write the sample set: short videos from public-domain portraits that ship inside packages."""
    from svfr.sample import write_old, write_samples

    for path in [*write_samples(folder), *(write_old(old) if old else [])]:
        print(path)


@app.command(epilog="Example: svfr doctor --model models/svfr")
def doctor(model: Model = Path("models/svfr")) -> None:
    """Check this machine: Python, packages, video codecs, disk, GPU, weights, model. Exit status 1 if a part fails."""
    from svfr.doctor import checks, table

    found = checks(model)
    typer.echo(table(found))
    raise typer.Exit(0 if all(check.good for check in found if check.needed) else 1)


@app.command(epilog="Example: svfr serve --model models/svfr --port 7860")
def serve(
    model: Model = Path("models/svfr"),
    host: Annotated[str, typer.Option(help="Address to listen on; loopback by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    token: Annotated[str, typer.Option(envvar="SVFR_TOKEN", help="Password; made up and printed if not given.")] = "",
    max_mb: Annotated[int, typer.Option(help="Largest upload in MB.")] = 512,
    max_seconds: Annotated[float, typer.Option(help="Longest video in seconds.")] = 600.0,
    detector: Annotated[str, typer.Option(help="mtcnn, dlib_hog, yunet, retinaface or sfd.")] = "mtcnn",
    device: Device = "auto",
) -> None:
    """Serve a web page: upload, choose tasks, paint holes, compare, download. User name svfr, password the token."""
    from svfr.restore.serve import ServeLimits, serve_page

    limits = ServeLimits(max_mb, max_seconds)
    serve_page(model, host=host, port=port, token=token, limits=limits, device=device, detector=detector)


@weights_app.command("list", epilog="Example: svfr weights list")
def weights_list() -> None:
    """Show every file of the list: what it is, its licence, source, destination and digest, whether it is here."""
    from svfr.weight_list import WEIGHTS
    from svfr.weights import known_digest, weights_folder

    root = weights_folder()
    for name, weight in sorted(WEIGHTS.items()):
        here = "here" if (root / weight.file).is_file() else "-"
        size = f"{weight.megabytes:.1f} MB" if weight.megabytes else "size unknown"
        typer.echo(f"{name:<20} {here:<5} {size:<13} {weight.what} [{weight.licence}]")
        typer.echo(f"{'':<26} from {weight.url}")
        prefix = f"{weight.sha256_prefix}..." if weight.sha256_prefix else "recorded at the first fetch"
        typer.echo(f"{'':<26} to   {root / weight.file}, SHA-256 {known_digest(weight, root) or prefix}")
    typer.echo(f"folder: {root}")


@weights_app.command("get", epilog="Example: svfr weights get yunet")
def weights_get(
    names: Annotated[list[str], typer.Argument(help="Names from `svfr weights list`.")],
    offline: Annotated[Path | None, typer.Option(help="Take the files from this folder, not the network.")] = None,
) -> None:
    """Fetch files, with resume, and check their digests."""
    from svfr.progress import Progress
    from svfr.weights import get

    for name in names:
        with Progress(name, 0, "bytes") as progress:

            def show(done: int, total: int | None, progress: Progress = progress) -> None:
                progress(done, total or 0)

            typer.echo(get(name, offline_folder=offline, progress=show))


@weights_app.command("verify", epilog="Example: svfr weights verify yunet arcface models/svfr")
def weights_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names, model folders; default: all files here.")] = None,
) -> None:
    """Compare files with their digests. Exit status 1 if one is damaged, or named and missing."""
    from svfr.weights import verify

    folders = [Path(name) for name in names or [] if Path(name).is_dir()]
    sound = [_verify_folder(folder) for folder in folders]
    files = [name for name in names or [] if not Path(name).is_dir()]
    states = verify(files or None) if files or not folders else []
    shown = [state for state in states if files or state.state != "missing"]
    for state in shown:
        typer.echo(f"{state.weight.name:<20} {state.state:<8} {state.sha256 or ''}")
    if not shown and not folders:
        typer.echo("no weights are here yet: svfr weights get NAME")
    raise typer.Exit(0 if all(sound) and all(state.state == "ok" for state in shown) else 1)


def _verify_folder(folder: Path) -> bool:
    from svfr.models.folder import verify_model_folder

    try:
        digests = verify_model_folder(folder)["digests"]
    except UserError as error:
        typer.echo(f"{folder} damaged: {error}")
        return False
    for name, digest in sorted(digests.items()):
        typer.echo(f"{folder / name} ok {digest}")
    return True


@weights_app.command(
    "import",
    epilog="Example: svfr weights import unet.pth id_linear.pth arcface.pth svd models/svfr "
    "(SVFR), or svfr weights import ckpt-bfvr.pth models/stc (BFVR-STC).",
)
def weights_import(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES... OUTPUT",
            help="The released unet.pth, id_linear.pth, insightface_glint360k.pth and the folder of "
            "stable-video-diffusion-img2vid-xt; or one of ckpt-bfvr.pth, ckpt-defilcker.pth and ckpt-deflickersd.pth. "
            "Last the model folder to write.",
        ),
    ],
) -> None:
    """Turn the released files of SVFR, or one of BFVR-STC, into a model folder."""
    from svfr.weights import import_official, import_stc

    match files:
        case [unet, id_linear, arcface, svd, output]:
            import_official(unet, id_linear, arcface, svd, output)
        case [checkpoint, output]:
            import_stc(checkpoint, output)
        case _:
            raise UserError(
                f"weights import got {len(files)} names: give four files of SVFR or one of BFVR-STC, then the folder "
                "to write (svfr weights import --help)"
            )
    typer.echo(output)


def main() -> None:
    """Entry point. A `UserError` is one line on standard error and exit status 2."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # face_recognition_models
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
