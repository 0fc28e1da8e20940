"""The `svfr` command as a user runs it."""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from svfr.cli import app, main, restore
from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.weight_list import WEIGHTS

KIT: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "restore" / "conftest.py"))
COMMANDS = [
    ["restore"],
    ["evaluate"],
    ["sample"],
    ["doctor"],
    ["serve"],
    ["weights", "list"],
    ["weights", "get"],
    ["weights", "verify"],
    ["weights", "import"],
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KIT["save_tiny_model"](tmp_path_factory.mktemp("cli") / "tiny")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """`svfr` with `arguments` in this process; returns the exit status."""
    monkeypatch.setattr(sys, "argv", ["svfr", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert f"Example: svfr {' '.join(command)}" in re.sub(r"\s+", " ", result.output)


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, svfr.cli; print([m for m in ('torch', 'cv2', 'av', 'numpy', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_option_of_restore_is_a_setting_or_says_where_and_how_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"context", "source", "destination", "model", "device", "dtype", "frames_folder", "report", "dry_run"}
    renamed = {"whole", "guide_within"}
    assert set(inspect.signature(restore).parameters) - elsewhere - renamed <= set(RestoreOptions.model_fields)
    given: list[dict[str, Any]] = []

    def command(source: Path, destination: Path, model: Path, choices: dict[str, Any], *rest: Any) -> NoReturn:
        given.append(choices)
        raise UserError("enough")

    monkeypatch.setattr("svfr.restore.command.RestoreCommand", command)
    changes = ["--tasks", "bfr, color", "--whole-frame", "--guide-within", "1,9", "--no-link", "--png", "--seed", "5"]
    assert call(monkeypatch, "restore", "a.mp4", "b.mp4", *changes, "--reference", "x.png", "--steps", "3") == 2
    assert call(monkeypatch, "restore", "a.mp4", "b.mp4") == 2
    expected = {"tasks": ["bfr", "color"], "region": "frame", "guidance_interval": ["1", "9"], "link_faces": False}
    expected |= {"png_frames": True, "seed": 5, "reference": ["x.png"], "steps": 3}
    assert given[0] == given[1] | expected
    assert {"steps", "guidance"}.isdisjoint(given[1])  # the model's own


def test_restore_a_file_and_find_it_done(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = KIT["write_video"](tmp_path / "in.mp4", KIT["face_frames"](6))
    target = tmp_path / "new.mp4"
    assert call(monkeypatch, "restore", source, target, "--model", model) == 0
    assert "1 file: 1 restored" in capsys.readouterr().out
    record = json.loads((tmp_path / ".svfr" / "done" / "new.mp4.json").read_text())
    assert record["report"]["settings"]["steps"] == 2  # the model's own
    assert call(monkeypatch, "restore", source, target, "--model", model) == 0
    assert "is there already" in capsys.readouterr().out


def test_restore_a_folder_after_a_dry_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    KIT["write_video"](tmp_path / "in" / "cup.mp4", KIT["scenery"](4))
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    arguments = ["restore", "in", "out", "--model", "small"]  # a name below models/
    assert call(monkeypatch, *arguments, "--dry-run") == 0
    assert "2 to do, 0 done" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert call(monkeypatch, *arguments) == 0
    assert "2 files: 1 passed through, 1 refused" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.mp4", "x.mp4"], "nothing.mp4: no such file"),
        (["text.mp4", "x.mp4"], "text.mp4: cannot be opened as video"),
        (["face.mp4", "x.mp4", "--tasks", "sharpen"], "'sharpen': Input should be 'bfr', 'color', 'inpaint'"),
        (["face.mp4", "x.mp4", "--model", "."], "no model folder: model.json is missing"),
        (["face.mp4", "x.mp4", "--model", "models:/svfr@champion"], "is an address of the registry"),
        (["face.mp4", "x.mp4", "--model", "official"], "svfr weights import"),
        (["face.mp4", "x.mp4", "--guide-within", "1"], "--guide-within"),
        (["list.txt", "out"], "list.txt: names no input"),
        (["face.mp4", "x.mp4", "--tasks", "inpaint"], "task inpaint needs a mask"),
        (["face.mp4", "x.mp4", "--tasks", "inpaint", "--mask", "box:9,9,9,9"], "does not lie within the frame"),
        (["face.mp4", "x.mp4", "--detector", "yunet"], "svfr weights get yunet"),
        (["face.mp4", "x.txt"], "destination must be a name that ends in"),
        (["none", "out"], "none: no such file"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVFR_MODEL", str(model))
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path / "weights"))
    KIT["write_video"](tmp_path / "face.mp4", KIT["face_frames"](2))
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "list.txt").write_text("# nothing\n")
    (tmp_path / "official" / "face_restoration").mkdir(parents=True)
    (tmp_path / "official" / "face_restoration" / "unet.pth").touch()
    assert call(monkeypatch, "restore", *arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]


def run_main(arguments: list[str]) -> None:
    """In a forked child, where everything is imported already: the command as its entry point runs it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with SIGINT ignored
    sys.argv = arguments
    main()


def test_interrupted_and_killed_and_run_again_gives_the_same_bytes(tmp_path: Path, model: Path) -> None:
    source = KIT["write_video"](tmp_path / "in.mp4", KIT["face_frames"](24))
    options = ["--model", str(model), "--steps", "3"]
    work = tmp_path / "a" / ".svfr" / "work"

    def start(folder: str) -> Any:
        arguments = ["svfr", "restore", str(source), str(tmp_path / folder / "o.mp4"), *options]
        child = multiprocessing.get_context("fork").Process(target=run_main, args=(arguments,))
        child.start()
        return child

    for number, begun in ((signal.SIGINT, "scan.json"), (signal.SIGKILL, "reference-*.npz")):
        child = start("a")
        while not list(work.rglob(begun)):
            assert child.is_alive()
            time.sleep(0.01)
        os.kill(child.pid, number)
        child.join(120)
        assert child.exitcode == (130 if number == signal.SIGINT else -number)
        assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [".svfr"]
    for folder in ("a", "b"):
        child = start(folder)
        child.join(240)
        assert child.exitcode == 0
    assert (tmp_path / "a" / "o.mp4").read_bytes() == (tmp_path / "b" / "o.mp4").read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [".svfr", "o.mp4"]
    assert not work.exists()


def test_doctor(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    call(monkeypatch, "doctor", "--model", model)
    shown = capsys.readouterr().out
    for part in ("python", "packages", "video", "disk", "gpu", "weights", "32 px"):
        assert part in shown


def test_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    assert call(monkeypatch, "weights", "list") == 0
    shown = capsys.readouterr().out
    for weight in WEIGHTS.values():
        for part in (weight.name, weight.url, weight.licence, str(tmp_path / weight.file), weight.sha256 or ""):
            assert part in shown
    assert call(monkeypatch, "weights", "verify") == 0
    assert call(monkeypatch, "weights", "verify", "yunet") == 1
    assert call(monkeypatch, "weights", "get", "nonsense") == 2
    assert "unknown weights 'nonsense'" in capsys.readouterr().err


def test_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    video = KIT["write_video"](tmp_path / "a.mp4", KIT["face_frames"](3))
    assert call(monkeypatch, "evaluate", video, video, "--metrics", "ssim", "--output", tmp_path / "rows.json") == 0
    assert "1.0000" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())[0]["metric"] == "ssim"
    assert call(monkeypatch, "evaluate", video, tmp_path / "none") == 2


def test_serve_without_gradio_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call(monkeypatch, "serve", "--model", model) == 2
    assert "pip install 'svfr[serve]'" in capsys.readouterr().err


def test_weights_verify_takes_a_model_folder(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "weights", "verify", model) == 0
    assert re.search(r"unet.safetensors ok [0-9a-f]{64}", capsys.readouterr().out)
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    with (damaged / "unet.safetensors").open("ab") as file:
        file.write(b"x")
    assert call(monkeypatch, "weights", "verify", damaged) == 1
    assert "does not match the SHA-256" in capsys.readouterr().out
