"""Probing: what a file says of itself, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svfr.errors import ItemError
from svfr.video.decode import read_frames
from svfr.video.probe import Limits, probe

Maker = Callable[..., Path]


def _code(path: Path, limits: Limits | None = None) -> str:
    with pytest.raises(ItemError) as caught:
        probe(path, limits or Limits())
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return caught.value.code


def test_a_plain_file(make_video: Maker) -> None:
    info = probe(make_video(count=20, audio=True))
    assert (info.width, info.height, info.rotation, info.n_frames) == (64, 48, 0, 20)
    assert info.fps == 25
    assert info.duration == pytest.approx(0.8)
    assert (info.codec, info.pix_fmt, info.has_audio, info.vfr, info.complete) == ("h264", "yuv420p", True, False, True)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.ts", "a.mov", "a.flv", "a:b %d.mp4"])
def test_frames_are_counted_in_every_container(make_video: Maker, name: str) -> None:
    info = probe(make_video(name, count=11, options={"bf": "0"}))
    assert info.n_frames == 11
    assert info.fps == pytest.approx(25, rel=0.01)
    assert not info.vfr


def test_variable_rate_is_seen_and_its_mean_given(make_video: Maker) -> None:
    info = probe(make_video(pts=[0, 3000, 9000, 12_000, 30_000]))
    assert info.vfr
    assert info.fps == Fraction(4 * 90_000, 30_000)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied_to_size(make_video: Maker, rotation: int) -> None:
    info = probe(make_video(rotation=rotation))
    assert info.rotation == rotation
    assert (info.width, info.height) == ((64, 48) if rotation == 180 else (48, 64))


def test_what_is_no_video_is_refused_by_name(make_video: Maker, tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    Image.new("RGB", (10_000, 10_000)).save(tmp_path / "still.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "still.jpg")
    good = make_video("good.mp4").read_bytes()
    assert _code(tmp_path / "absent.mp4") == "missing"
    assert _code(tmp_path) == "missing"
    assert _code(file("empty.mp4", b"")) == "empty_file"
    assert _code(file("text.mp4", b"not a video, only words\n" * 100)) in ("not_a_video", "unreadable")
    assert _code(file("noise.mp4", np.random.default_rng(0).bytes(5000))) in ("not_a_video", "unreadable")
    assert _code(file("cut.mp4", good[: len(good) // 2])) == "unreadable"
    assert _code(tmp_path / "still.png") == "not_a_video"
    assert _code(tmp_path / "still.jpg") == "not_a_video"


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44_100, layout="mono")
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        wave.sample_rate, wave.pts = 44_100, 0
        output.mux(stream.encode(wave))
        output.mux(stream.encode(None))
    assert _code(path) == "not_a_video"


def test_files_that_point_at_others_are_refused(make_video: Maker, tmp_path: Path) -> None:
    target = make_video("target.ts")
    texts = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        "remote.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
        "scene.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "show.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert _code(tmp_path / name) in ("not_a_video", "unreadable"), name


def test_limits(make_video: Maker) -> None:
    path = make_video(count=20)
    for limits in (
        Limits(max_pixels=64 * 48 - 1),
        Limits(max_duration=0.7),
        Limits(max_bytes=100),
        Limits(max_frames=19),
    ):
        assert _code(path, limits) == "too_large"
    assert probe(path, Limits(64 * 48, 0.8, path.stat().st_size, 20)).n_frames == 20


def test_a_file_cut_behind_its_index_is_incomplete(make_video: Maker, tmp_path: Path) -> None:
    whole = make_video("whole.mp4", count=40, container_options={"movflags": "faststart"}).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    info = probe(cut)
    assert not info.complete
    assert 0 < info.n_frames < 40


@pytest.mark.data
def test_real_clips_are_counted_exactly(shared: Path) -> None:
    clips = sorted((shared / "data" / "clips").glob("*.mp4"))
    assert len(clips) == 39
    for clip in clips:
        info = probe(clip)
        assert info.complete
        if info.n_frames <= 130:
            assert sum(1 for _ in read_frames(clip)) == info.n_frames, clip.name


def test_a_symbolic_link_is_read_as_what_it_points_to(make_video: Maker, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(make_video("original.mp4"))
    assert probe(link).n_frames == 20


def test_an_index_that_claims_more_than_the_file_holds_is_not_believed(make_video: Maker, tmp_path: Path) -> None:
    cases = {"stsz": {}, "trun": {"movflags": "frag_keyframe+empty_moov"}}
    for box, options in cases.items():
        data = bytearray(make_video(f"{box}.mp4", container_options=options).read_bytes())
        place = data.index(box.encode()) + 4
        skip = 8 if box == "stsz" else 4
        data[place : place + skip + 4] = b"\0\0\0\1" * (skip // 4) + b"\x03\xff\xff\xff"  # no sample has its own size
        (tmp_path / f"{box}.mp4").write_bytes(data)
        with pytest.raises(ItemError, match=r"claims 671088\d\d samples"):
            probe(tmp_path / f"{box}.mp4")


def test_boxes_without_end_are_not_walked_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "boxes.mp4"
    path.write_bytes(b"\0\0\0\x08free" * 1_000_001)
    assert _code(path) == "unreadable"


@pytest.mark.parametrize("name", ["a.avi", "a.gif", "a.ts", "a.mkv"])
def test_files_cut_by_a_few_bytes_are_incomplete(make_video: Maker, tmp_path: Path, name: str) -> None:
    if name == "a.gif":
        pictures = [Image.effect_noise((64, 48), number) for number in range(1, 12)]
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
    path = tmp_path / name if name == "a.gif" else make_video(name, count=11, options={"bf": "0"})
    assert probe(path).complete
    path.write_bytes(path.read_bytes()[:-30])
    assert not probe(path).complete


def test_packets_lost_from_a_stream_are_damage(make_video: Maker) -> None:
    path = make_video("a.ts", count=40)
    data = path.read_bytes()
    place = len(data) // 376 * 188
    path.write_bytes(data[:place] + data[place + 188 :])
    assert _code(path) == "corrupt"
