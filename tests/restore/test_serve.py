"""The web page in a real browser: login, upload, paint, restore, compare, download, cancel."""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from svfr.video.decode import read_frames

BROWSER = runpy.run_path(str(Path(__file__).with_name("browser.py")))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(BROWSER["CHROMIUM"] is None, reason="no Chromium here"),
    pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="Gradio is not installed"),
]
LOGIN = "fetch('/login', {method: 'POST', body: new URLSearchParams({username: 'svfr', password: '%s'})})"
SHOWN = "[...document.querySelectorAll('#slider img')].map(img => img.src).join()"
NOTE = "(document.querySelector('#note')?.innerText || '')"


@pytest.fixture
def url(tiny_model: Path) -> Iterator[str]:
    """A running server, stopped as Ctrl-C stops it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "svfr.cli", "serve", "--model", str(tiny_model), "--port", str(port)]
    environment = os.environ | {"SVFR_TOKEN": "secret", "GRADIO_ANALYTICS_ENABLED": "False"}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except (urllib.error.URLError, TimeoutError):
            assert server.poll() is None, "the server ended"
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(60)


def test_a_visit(url: str, tmp_path: Path, kit: SimpleNamespace) -> None:
    video = kit.write_video(tmp_path / "old.mp4", kit.face_frames(6), audio=True)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/config", timeout=30)
    with BROWSER["Browser"](tmp_path / "profile") as browser:
        browser.open(url)
        assert browser.js(LOGIN % "wrong" + ".then(answer => answer.status)") == 400
        assert browser.js(LOGIN % "secret" + ".then(answer => answer.status)") == 200
        browser.open(url)
        browser.wait("document.querySelector('#upload input[type=file]')")
        browser.upload("#upload input[type=file]", video)
        browser.wait("document.querySelector('#about')?.innerText.includes('160 x 144, 6 frames')")
        paint(browser)
        browser.click("#start")
        browser.wait(f"{NOTE}.includes('Face tracks')", 400)
        assert "Tasks: inpaint" in browser.js(NOTE)
        browser.wait("document.querySelectorAll('#slider img').length === 2")
        result = tmp_path / "result.mp4"
        result.write_bytes(downloaded(browser, 0))
        another_place(browser)
        browser.screenshot(tmp_path / "page.png")
        Image.fromarray(kit.face_frames(1)[0]).save(tmp_path / "anna.png")
        with_a_photo(browser, tmp_path / "anna.png")
        cancelled(browser, kit.write_video(tmp_path / "long.mp4", 40 * kit.face_frames(15)))
        browser.screenshot(tmp_path / "cancelled.png")
    before, after = (np.stack([frame.rgb for frame in read_frames(path)]) for path in (video, result))
    change = np.abs(before.astype(int) - after).mean((0, 3))
    assert change.max() > 30  # where it was painted
    assert np.median(change) < 3  # elsewhere, but for the encoder


def downloaded(browser: Any, number: int) -> bytes:
    """What one of the download links gives to this visitor."""
    link = browser.js(f"[...document.querySelectorAll('#download a')].map(a => a.href)[{number}]")
    cookies = "; ".join(f"{c['name']}={c['value']}" for c in browser.call("Network.getCookies")["cookies"])
    with urllib.request.urlopen(urllib.request.Request(link, headers={"Cookie": cookies})) as answer:
        return bytes(answer.read())


def another_place(browser: Any) -> None:
    """Moves to the first frame: other pictures before and after."""
    shown = browser.js(SHOWN)
    browser.js(
        "(() => {const range = document.querySelector('#place input[type=range]'); range.value = 0;"
        "for (const name of ['input', 'change', 'pointerup'])"
        " range.dispatchEvent(new Event(name, {bubbles: true}))})()"
    )
    browser.wait(f"{SHOWN} !== {json.dumps(shown)}")


def with_a_photo(browser: Any, photo: Path) -> None:
    """Restores again, sharpening this time, with a photo of the person."""
    browser.js("document.querySelectorAll('#tasks input').forEach((box, i) => {if (i !== 1) box.click()})")
    browser.js("[...document.querySelectorAll('button')].find(b => b.innerText.includes('A clear photo')).click()")
    browser.wait("document.querySelector('#photo input[type=file]')")
    browser.upload("#photo input[type=file]", photo)
    browser.wait("document.querySelector('#photo img')")
    browser.click("#start")
    browser.wait(f"{NOTE}.includes('Tasks: bfr')", 400)
    assert b"photo" in downloaded(browser, 1)


def cancelled(browser: Any, video: Path) -> None:
    """Starts on a long video and stops it."""
    browser.js("document.querySelector('#upload button[aria-label=Clear], #upload button[title=Clear]')?.click()")
    browser.wait("document.querySelector('#upload input[type=file]')")
    browser.upload("#upload input[type=file]", video)
    browser.wait("document.querySelector('#about')?.innerText.includes('600 frames')")
    browser.click("#start")
    browser.wait("document.body.innerText.includes('Restoring')")
    browser.click("#stop")
    browser.wait("document.body.innerText.includes('Cancelled.')")


def paint(browser: Any) -> None:
    """Chooses the task and draws over the middle of the first frame."""
    browser.js("[...document.querySelectorAll('#tasks input')].forEach(box => box.click())")
    browser.js("document.querySelectorAll('#tasks input')[1].click()")
    browser.js("[...document.querySelectorAll('button')].find(b => b.innerText.includes('Holes')).click()")
    browser.wait("document.querySelector('#painter canvas')")
    time.sleep(3)  # the editor's canvas settles
    box = browser.js(
        "(() => {const c = document.querySelector('#painter canvas'); c.scrollIntoView({block: 'center'});"
        "const b = c.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]})()"
    )
    x, y, width, height = box
    browser.drag((x + 0.4 * width, y + 0.5 * height), (x + 0.6 * width, y + 0.5 * height))
    time.sleep(3)
