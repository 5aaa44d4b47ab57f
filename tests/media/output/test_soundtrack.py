"""Songs beside pictures that come from elsewhere: packets as they are, in time, cut."""

from fractions import Fraction

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.output.encoder_selection import Output
from streamfx.media.output.soundtrack import Song
from streamfx.media.output.writer import Writer


@pytest.fixture(scope="session")
def song(clip, tone):
    return clip("song.mp3", *tone("2"), "-c:a", "libmp3lame")


def write(target, song, seconds, length=None, **output):
    with Song(song, length) as sound, Writer(target, None, Output(**output), sound) as writer:
        for number in range(round(seconds * 25)):
            writer.write(Frame(torch.full((3, 48, 64), 0.5), Fraction(number, 25), Fraction(1, 25)))
    return target


def lengths(path, probe):
    return {each["codec_type"]: float(each["duration"]) for each in probe(path)["streams"]}


def test_the_sound_is_the_songs_own(song, tmp_path, hashes, probe):
    made = write(tmp_path / "out.mp4", song, 2)
    assert hashes(made, "a") == hashes(song, "a")
    assert lengths(made, probe) == pytest.approx({"video": 2.0, "audio": 2.0}, abs=0.06)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_it_is_cut_at_the_films_length(name, song, tmp_path, probe):
    made = write(tmp_path / name, song, 1, Fraction(1))
    assert float(probe(made)["format"]["duration"]) == pytest.approx(1.0, abs=0.06)
    ends = [float(packet["pts_time"]) for packet in probe(made, "-select_streams", "a", "-show_packets")["packets"]]
    assert 0.9 < max(ends) < 1.01


def test_a_film_longer_than_its_song_ends_in_silence(song, tmp_path, probe):
    made = write(tmp_path / "out.mp4", song, 3)
    assert lengths(made, probe) == pytest.approx({"video": 3.0, "audio": 2.0}, abs=0.06)


def test_sound_and_pictures_take_turns_in_the_file(song, tmp_path, probe):
    made = write(tmp_path / "out.nut", song, 2)
    kinds = [packet["codec_type"] for packet in probe(made, "-show_packets")["packets"]]
    assert "video" in kinds[len(kinds) // 2 :]
    assert "audio" in kinds[: len(kinds) // 4]


def test_of_a_film_only_the_sound_is_taken(film, tmp_path, probe, hashes):
    made = write(tmp_path / "out.mp4", film, 1)
    assert [each["codec_type"] for each in probe(made)["streams"]] == ["video", "audio"]
    assert hashes(made, "a") == hashes(film, "a")


def test_what_a_container_cannot_hold_is_coded_anew(song, tmp_path, probe):
    made = write(tmp_path / "out.webm", song, 0.4, Fraction(2, 5))
    assert [each["codec_name"] for each in probe(made)["streams"]][1] == "opus"
    assert float(probe(made)["format"]["duration"]) == pytest.approx(0.4, abs=0.06)


def test_no_sound_where_none_is_wanted(song, tmp_path, probe):
    made = write(tmp_path / "out.mp4", song, 1, audio=False)
    assert [each["codec_type"] for each in probe(made)["streams"]] == ["video"]


def test_files_without_a_song(clip, moving, tmp_path):
    silent = clip("silent.mp4", *moving(), "-c:v", "libx264")
    for name, said in ((silent, "has no sound"), (tmp_path / "none.mp3", "no such file")):
        with pytest.raises(StreamfxError, match=said):
            Song(name)
