"""The page in a browser: choose, render, watch, survive a kill; messages for what goes wrong; uploads and the end.

Not collected, as some of these fail on a busy machine: python -m pytest -n 0 tests/studio/page_checks.py
"""

import socket

import httpx
import pytest

from streamfx.jobs.checkpoint import work_folder_of

TOKEN = "0123456789abcdef0123"


def view(page, name):
    page.get_by_role("tab", name=name).click()


def here(page):
    """The open view; the others are hidden and may have elements with the same labels."""
    return page.locator("section.view:visible")


def choose(page, name):
    view(page, "Media")
    page.locator(f'[data-file="{name}"]').click()
    page.locator(f'.file.chosen[data-file="{name}"]').wait_for()


def use_line(page, line):
    """Set the page to a command line."""
    view(page, "Render")
    here(page).get_by_label("As a command").fill(line)
    here(page).get_by_role("button", name="Use", exact=True).click()


def test_a_clip_is_chosen_and_stepped_through(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    here(page).get_by_text("0:00.20 / 0:01.00 · frame 5").wait_for()
    page.keyboard.press("ArrowRight")
    here(page).get_by_text("frame 6").wait_for()
    page.keyboard.press("i")
    page.keyboard.press("Shift+ArrowRight")
    here(page).get_by_text("frame 16").wait_for()
    page.keyboard.press("o")
    here(page).get_by_text("renders 0:00.24 to 0:00.68").wait_for()
    picture = page.locator("img.picture:visible")
    page.wait_for_function("image => image.complete && image.naturalWidth == 64", arg=picture.element_handle())


def test_a_render_is_queued_watched_and_played(studio, open_page, run_command, rgb, tmp_path):
    page = open_page(studio)
    choose(page, "video.mp4")
    use_line(page, "streamfx run video.mp4 x.mp4 --chain 'mirror,hue=s=0' --to 0.8")
    page.get_by_text("the page is set to this command").wait_for()
    here(page).get_by_label("Frames/s").fill("12")
    here(page).get_by_label("Frames/s").press("Enter")
    page.keyboard.press("Control+Enter")
    here(page).locator(".entry.finished", has_text="video-mirror-hue.mp4").wait_for()
    video = page.locator(".result video")
    page.wait_for_function("video => video.readyState >= 1", arg=video.element_handle())
    shown = page.locator(".result .line").inner_text()
    assert shown == "streamfx run video.mp4 renders/video-mirror-hue.mp4 --chain mirror,hue=s=0 --to 0.8 --fps 12"
    whole = tmp_path / "whole.mp4"
    source = studio.folder / "video.mp4"
    run_command("run", source, whole, "--chain", "mirror,hue=s=0", "--to", "0.8", "--fps", "12")
    assert (rgb(studio.folder / "renders" / "video-mirror-hue.mp4") == rgb(whole)).all()


def test_two_pages_share_the_queue(studio, open_page):
    pages = [open_page(studio) for _ in range(2)]
    for page in pages:
        choose(page, "video.mp4")
        use_line(page, "streamfx run video.mp4 x.mp4 --chain mirror")
        page.get_by_text("the page is set to this command").wait_for()
    for page in pages:
        page.keyboard.press("Control+Enter")
    for page in pages:
        for name in ("renders/video-mirror.mp4", "renders/video-mirror-2.mp4"):
            page.locator(".entry.finished", has_text=name).wait_for()


def test_a_killed_studio_resumes_its_render(
    start_studio, open_page, long_video, tmp_path, wait_until, run_command, rgb
):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "long.mp4").write_bytes(long_video.read_bytes())
    server = start_studio(folder)
    page = open_page(server)
    choose(page, "long.mp4")
    line = "streamfx run long.mp4 x.mp4 --chain trails --segment 50"
    use_line(page, line)
    page.get_by_text("the page is set to this command").wait_for()
    page.keyboard.press("Control+Enter")
    page.locator(".entry.running").wait_for()
    target = folder / "renders" / "long-trails.mp4"
    wait_until(lambda: len(list(work_folder_of(target).glob("*.packets"))) >= 2)
    server.kill()
    assert not target.exists()
    page.close()
    page = open_page(start_studio(folder))
    page.locator(".clip", has_text="long.mp4").wait_for()  # the project comes back
    view(page, "Render")
    page.locator(".entry.finished", has_text="long-trails.mp4").wait_for(timeout=60000)
    whole = tmp_path / "whole.mp4"
    run_command("run", folder / "long.mp4", whole, "--chain", "trails", "--segment", "50")
    assert (rgb(target) == rgb(whole)).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("streamfx run video.mp4 x.mp4 --chain mirro", "did you mean mirror"),
        ("streamfx run video.mp4 x.mp4 --chain movie=/etc/passwd", "may access files"),
        ("streamfx run ../video.mp4 x.mp4 --chain mirror", "outside of the studio's folder"),
        ("ls", "starts with streamfx"),
    ],
)
def test_bad_lines_are_explained(studio, open_page, line, message):
    page = open_page(studio)
    use_line(page, line)
    page.get_by_role("alert").filter(has_text=message).wait_for()


def test_a_bad_file_and_a_full_disk_are_explained(small_disk, start_studio, open_page, tmp_path, long_video):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "bad.mp4").write_text("not a video")
    (folder / "long.mp4").write_bytes(long_video.read_bytes())
    page = open_page(start_studio(folder, "--output", small_disk))
    page.locator('[data-file="bad.mp4"]').click()
    page.get_by_role("alert").filter(has_text="bad.mp4").wait_for()
    choose(page, "long.mp4")
    use_line(page, f"streamfx run long.mp4 {small_disk}/x.mp4 --chain mirror")
    page.keyboard.press("Control+Enter")
    page.locator(".entry.failed").filter(has_text="No space left").wait_for()


def image_loaded(page, selector):
    """Wait until an image has been decoded; returns its address."""
    page.wait_for_function(
        "selector => { const i = document.querySelector(selector); return i && i.complete && i.naturalWidth > 0; }",
        arg=selector,
    )
    return page.locator(selector).get_attribute("src")


def set_chain(page, chain):
    view(page, "Look")
    field = here(page).get_by_label("Chain as text")
    field.fill(chain)
    page.wait_for_function("() => document.querySelector('img[data-stage=full]')")


def test_a_preset_is_chosen_and_a_slider_changes_the_preview(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    set_chain(page, "trails")  # cheap: the networks are tested elsewhere
    first = image_loaded(page, "img[data-stage=full]")
    slider = page.locator('[data-setting="decay"]')
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    changed = "old => document.querySelector('img[data-stage=full]')?.getAttribute('src') != old"
    page.wait_for_function(changed, arg=first)
    assert "trails=decay=0.85" in here(page).get_by_label("Chain as text").input_value()
    page.locator(".look-choose", has_text="munch").click()
    page.locator(".look-card.chosen", has_text="munch").wait_for()
    assert here(page).get_by_label("Chain as text").input_value().startswith("style=munch,trails")
    here(page).get_by_label("Blend with vangogh").click()
    page.locator(".look-card.second", has_text="vangogh").wait_for()
    page.get_by_role("slider", name="Blend").wait_for()


def test_errors_of_the_chain_are_marked(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    set_chain(page, "mirror")
    here(page).get_by_label("Chain as text").fill("mirror,hue=s=0,sty=munch")
    page.locator(".chain-problem mark", has_text="sty=munch").wait_for()
    here(page).get_by_label("Chain as text").fill("mirror,hue=s=0")
    page.locator(".chain-problem").wait_for(state="hidden")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Search").fill("vignette")
    page.locator(".found-row", has_text="Make or reverse a vignette effect").click()
    page.locator(".part", has_text="hue=s=0,vignette").wait_for()


def test_before_and_after_are_compared_with_a_wipe(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    set_chain(page, "mirror")
    view(page, "Compare")
    image_loaded(page, ".before")
    image_loaded(page, ".after")
    clip = "getComputedStyle(document.querySelector('.after')).clipPath"
    assert "50%" in page.evaluate(clip)
    page.locator(".wipe-handle").focus()
    page.keyboard.press("Home")
    page.wait_for_function(f"() => !{clip}.includes('50%')")
    page.get_by_role("button", name="Side by side").click()
    page.locator(".halves").wait_for()


def test_schedules_are_drawn_and_their_errors_marked(studio, open_page, clip):
    song = clip("tone.wav", "-f", "lavfi", "-i", "sine=frequency=440:duration=1:sample_rate=22050")
    (studio.folder / "tone.wav").write_bytes(song.read_bytes())
    page = open_page(studio)
    view(page, "Dream")
    here(page).get_by_label("Audio").click()
    page.get_by_role("option", name="tone.wav").click()
    page.locator(".wave-lane .wave").first.wait_for(state="attached")
    field = here(page).get_by_label("Schedule of zoom")
    field.fill("0:(1), 15:(1.1)")
    page.locator(".schedule-row", has=field).locator(".range", has_text="1.1").wait_for()
    field.fill("0:(1), 15:(1.1")
    page.locator(".schedule-row", has=field).locator(".chain-problem").wait_for()


def test_a_timeline_is_shown_edited_and_its_errors_marked(studio, open_page, noise_image):
    (studio.folder / "begin.png").write_bytes(noise_image)
    (studio.folder / "film.toml").write_text(
        'kind = "timeline"\nsize = [64, 48]\nfps = 10\n[pictures]\nbegin = "begin.png"\n'
        '[[section]]\nname = "title"\nkind = "still"\npicture = "begin"\nlength = 10\n'
    )
    page = open_page(studio)
    view(page, "Timeline")
    here(page).get_by_label("Timeline", exact=True).first.click()
    page.get_by_role("option", name="film.toml").click()
    page.locator(".section-block.still", has_text="title").click()
    page.locator(".section-text", has_text='picture = "begin"').wait_for()
    page.locator(".toml .cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("lenght = 3")
    page.locator(".timeline .chain-problem mark", has_text="lenght").wait_for()
    (studio.folder / "film.toml").unlink()


@pytest.fixture
def client(studio):
    """A client with the cookie that the link sets."""
    with httpx.Client(base_url=studio.origin, follow_redirects=False) as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


def test_uploads_are_saved_completely_or_not_at_all(studio, client, video):
    content = video.read_bytes()
    assert client.post("/studio/upload/new.mp4", content=content).json() == {"name": "new.mp4"}
    assert (studio.folder / "new.mp4").read_bytes() == content
    assert client.post("/studio/upload/..%2F..%2Fnew.mp4", content=content).json() == {"name": "new-2.mp4"}
    assert "not a video" in client.post("/studio/upload/run.sh", content=b"x").json()["error"]
    with socket.create_connection(("127.0.0.1", studio.port), 10) as connection:  # goes away in the middle
        head = f"POST /studio/upload/half.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Cookie: streamfx-studio-{studio.port}={TOKEN}\r\n\r\nhalf".encode())
    assert (
        client.post("/studio/upload/huge.mp4", headers={"Content-Length": str(10**13)}, content=b"").status_code == 413
    )
    assert not [path for path in studio.folder.iterdir() if "half" in path.name or "huge" in path.name]
    for name in ("new.mp4", "new-2.mp4"):
        (studio.folder / name).unlink()


def test_it_stops_calmly(start_studio, tmp_path, capfd):
    server = start_studio(tmp_path, "--host", "0.0.0.0")
    assert server.stop() == 0
    errors = capfd.readouterr().err
    assert "anyone who knows this address" in errors
    assert "Traceback" not in errors
