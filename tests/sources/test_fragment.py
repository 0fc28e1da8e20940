"""Ranges and regions at the end of an address, and YouTube's addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svfr.errors import ItemError, UserError
from svfr.sources.fragment import Fragment, join_uri, parse_fragment, percent_box, split_uri
from svfr.sources.youtube import canonical, page_of

MILLIS = st.integers(0, 10**8)


@given(MILLIS, MILLIS, st.tuples(*[st.integers(1, 5000)] * 4))
def test_what_is_written_is_what_is_read(start: int, length: int, box: tuple[int, ...]) -> None:
    x, y, w, h = (side / 100 for side in box)
    part = Fragment(start / 1000, (start + length + 1) / 1000, (x, y, w, h))
    assert parse_fragment(str(part)) == part
    assert split_uri(join_uri("https://h/v.mp4?x=1", part)) == ("https://h/v.mp4?x=1", part)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("t=12.5,17.25&xywh=percent:25,10,50,80", Fragment(12.5, 17.25, (25, 10, 50, 80))),
        ("xywh=percent:0,0,100,100", Fragment(box=(0, 0, 100, 100))),
        ("xywh=160,120,320,240", Fragment(box=(160, 120, 320, 240), pixels=True)),
        ("t=npt:1:02:03.5", Fragment(3723.5)),
        ("t=02:03,0:02:04", Fragment(123, 124)),
        ("t=,20", Fragment(0, 20)),
    ],
)
def test_the_forms_of_the_standard(text: str, part: Fragment) -> None:
    assert parse_fragment(text) == part
    assert parse_fragment(str(part)) == part


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t=5,5", "ends before it begins"),
        ("t=5,", "is no range"),
        ("t=", "is no range"),
        ("t=-1,2", "'-1' is neither seconds"),
        ("t=nan", "'nan' is neither seconds"),
        ("t=1&t=2", "twice"),
        ("t=1&track=a", "unknown part 'track=a'"),
        ("xywh=percent:0,0,0,10", "is empty"),
        ("xywh=percent:60,0,60,10", "leaves the frame"),
        ("xywh=1,2,3", "is no box"),
        ("xywh=1.5,2,3,4", "whole numbers for pixels"),
        ("xywh=cm:1,2,3,4", "unknown unit 'cm'"),
    ],
)
def test_a_malformed_fragment_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        split_uri(f"https://h/v.mp4#{text}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_there_wins_over_a_fragment(tmp_path: Path) -> None:
    (tmp_path / "a#t=1,2").touch()
    assert split_uri("a#t=1,2", tmp_path) == ("a#t=1,2", None)
    assert split_uri("b#t=1,2", tmp_path) == ("b", Fragment(1, 2))
    assert split_uri("a#1.mp4#t=1,2", tmp_path) == ("a#1.mp4", Fragment(1, 2))
    assert split_uri("https://h/v#chapter", tmp_path) == ("https://h/v#chapter", None)
    assert split_uri("x" * 5000, tmp_path) == ("x" * 5000, None)


def test_regions_are_shares_of_the_frame() -> None:
    assert parse_fragment("xywh=percent:25,10,50,80").region(7, 7) == [0.25, 0.1, 0.75, 0.9]
    assert parse_fragment("xywh=160,120,320,240").region(640, 480) == [0.25, 0.25, 0.75, 0.75]
    assert parse_fragment("t=1").region(640, 480) is None
    with pytest.raises(ItemError, match="leaves the frame of 320 x 240"):
        parse_fragment("xywh=160,120,320,240").region(320, 240)
    assert percent_box(-0.1, 0.5, 0.25, 1.2) == (0, 50, 25, 50)
    for sides in ((0.5, 0, 0.5, 1), (1.1, 0, 1.2, 1), (float("nan"), 0, 1, 1)):
        with pytest.raises(UserError):
            percent_box(*sides)


@pytest.mark.parametrize(
    "address",
    [
        "https://www.youtube.com/watch?v=_raOc3-IRsw&t=30s",
        "http://m.youtube.com/watch?feature=x&v=_raOc3-IRsw",
        "https://youtu.be/_raOc3-IRsw?si=x",
        "https://www.youtube.com/shorts/_raOc3-IRsw",
        "https://www.youtube-nocookie.com/embed/_raOc3-IRsw",
        "youtube:_raOc3-IRsw",
    ],
)
def test_youtube_has_one_name(address: str) -> None:
    assert canonical(address) == "youtube:_raOc3-IRsw"
    assert page_of(canonical(address), "http://h/{id}.html") == "http://h/_raOc3-IRsw.html"


def test_other_addresses_stay_and_ids_are_checked() -> None:
    for address in ("https://example.org/watch?v=1", "https://www.youtube.com/c/x", "s3://b/k"):
        assert canonical(address) == address
    for address in ("youtube:../etc", "https://youtu.be/a", "https://www.youtube.com/watch?v=--exec"):
        with pytest.raises(UserError, match="is no YouTube id"):
            canonical(address)
