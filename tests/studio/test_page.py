"""The page in a browser: choose, preview, compare, render, survive a kill; messages for errors; who gets in."""


def view(page, name):
    page.get_by_role("tab", name=name).click()


def here(page):
    """The open view; the others are hidden and may have elements with the same labels."""
    return page.locator("section.view:visible")


def choose(page, name):
    """Choose a clip in a new project; otherwise the last one comes back."""
    page.get_by_title("Projects").click()
    page.get_by_text("New project").click()
    page.locator(".clip", has_text="no clip chosen").wait_for()
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


def test_a_render_is_queued_watched_and_played(studio, open_page, streamfx, rgb):
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
    choose(page, "video.mp4")
    view(page, "Render")
    here(page).get_by_role("button", name="Use again").click()
    page.get_by_text("the page is set to this render").wait_for()
    assert "--chain mirror,hue=s=0 --to 0.8 --fps 12" in here(page).get_by_label("As a command").input_value()
    words = ["--chain", "mirror,hue=s=0", "--to", "0.8", "--fps", "12"]
    assert streamfx("run", studio.folder / "video.mp4", "whole.mp4", *words).returncode == 0
    assert (rgb(studio.folder / "renders" / "video-mirror-hue.mp4") == rgb(streamfx.home / "whole.mp4")).all()


def test_the_space_bar_plays_and_a_click_on_the_chosen_clip_changes_nothing(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    page.keyboard.press("i")
    here(page).get_by_text("renders 0:00.20 to 0:01.00").wait_for()
    page.locator('[data-file="video.mp4"]').click()  # has the focus now
    page.keyboard.press(" ")
    page.locator("video.player").wait_for()
    page.keyboard.press(" ")
    page.locator("video.player").wait_for(state="hidden")
    here(page).get_by_text("renders 0:00.20 to 0:01.00").wait_for()


def test_a_file_is_added(studio, open_page, video, clip, tmp_path):
    song = clip("added.wav", "-f", "lavfi", "-i", "sine=frequency=440:duration=1")
    (tmp_path / "added.mp4").write_bytes(video.read_bytes())
    page = open_page(studio)
    view(page, "Media")
    for file in (tmp_path / "added.mp4", song, tmp_path / "added.mp4"):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Add a file").click()
        chooser.value.set_files(file)
    page.locator('.file.chosen[data-file="added-2.mp4"]').wait_for()
    page.locator('.file[data-file="added.mp4"]').wait_for()
    assert (studio.folder / "added-2.mp4").read_bytes() == video.read_bytes()
    assert (studio.folder / "added.wav").read_bytes() == song.read_bytes()
    for name in ("added.mp4", "added-2.mp4", "added.wav"):
        (studio.folder / name).unlink()


def test_two_pages_share_the_queue(studio, open_page):
    pages = [open_page(studio) for _ in range(2)]
    view(pages[0], "Render")
    pages[0].get_by_role("button", name="Hold the queue").click()
    for page in pages:
        choose(page, "video.mp4")
        use_line(page, "streamfx run video.mp4 x.mp4 --chain trails")
        page.get_by_text("the page is set to this command").wait_for()
    for page in pages:
        page.keyboard.press("Control+Enter")
    names = "renders/video-trails.mp4", "renders/video-trails-2.mp4"
    for page in pages:
        for name in names:
            page.locator(".entry.waiting", has_text=name).wait_for()
    for name in names:
        for label in ("Cancel", "Remove"):
            entry = pages[1].locator(".entry", has_text=name)
            entry.get_by_role("button", name=label, exact=True).click()
        for page in pages:
            page.locator(".entry", has_text=name).wait_for(state="detached")
    pages[1].get_by_role("button", name="Start the queue").click()
    pages[0].get_by_role("button", name="Hold the queue").wait_for()


def test_a_killed_studio_resumes_its_render(start_studio, open_page, long_video, tmp_path, wait_until, streamfx, rgb):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "long.mp4").write_bytes(long_video.read_bytes())
    server = start_studio(folder)
    page = open_page(server)
    choose(page, "long.mp4")
    slow = "scale=960:720,gblur=sigma=9,gblur=sigma=9,scale=160:120,trails"
    use_line(page, f"streamfx run long.mp4 x.mp4 --chain {slow} --segment 50")
    page.get_by_text("the page is set to this command").wait_for()
    page.keyboard.press("Control+Enter")
    page.locator(".entry.running", has_text="of 750").wait_for()
    page.locator('.entry.running [role=progressbar]:not([aria-valuenow="0"])').wait_for(state="attached")
    work = wait_until(lambda: next((folder / "renders").glob("*.streamfx"), None))
    wait_until(lambda: len(list(work.glob("*.packets"))) >= 2)
    server.kill()
    target = work.with_suffix("")
    assert not target.exists()
    page.close()
    page = open_page(start_studio(folder))
    page.locator(".clip", has_text="long.mp4").wait_for()  # the project comes back
    view(page, "Render")
    page.locator(".entry.finished", has_text=target.name).wait_for()
    assert streamfx("run", folder / "long.mp4", "whole.mp4", "--chain", slow, "--segment", "50").returncode == 0
    assert (rgb(target) == rgb(streamfx.home / "whole.mp4")).all()


def test_bad_lines_are_explained(studio, open_page):
    page = open_page(studio)
    for line, message in (
        ("streamfx run video.mp4 x.mp4 --chain mirro", "did you mean mirror"),
        ("streamfx run video.mp4 x.mp4 --chain movie=/etc/passwd", "may access files"),
        ("streamfx run ../video.mp4 x.mp4 --chain mirror", "outside of the studio's folder"),
        ("ls", "starts with streamfx"),
    ):
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
    """Type a chain in the view Look, and wait for its preview."""
    view(page, "Look")
    here(page).get_by_label("Chain as text").fill(chain)
    image_loaded(page, "img[data-stage=full]")


def drag(page, selector, share):
    """Drag from the middle of an element to a share of its width."""
    box = page.locator(selector).bounding_box()
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, height)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (0.5 + share) / 2, height)
    page.mouse.move(box["x"] + box["width"] * share, height)
    page.mouse.up()


def test_a_preset_is_chosen_and_a_dragged_slider_changes_the_preview(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    set_chain(page, "trails")
    address = image_loaded(page, "img[data-stage=full]")
    changed = "old => document.querySelector('img[data-stage=full]')?.getAttribute('src') != old"
    page.locator(".look-choose", has_text="munch").click()
    page.locator(".look-card.chosen", has_text="munch").wait_for()
    assert here(page).get_by_label("Chain as text").input_value() == "style=munch,trails"
    page.wait_for_function(changed, arg=address)
    address = image_loaded(page, "img[data-stage=full]")
    drag(page, '[data-setting="strength"]', 0.25)
    page.wait_for_function("() => /munch:strength=0[.]2/.test(document.querySelector('.chain-text textarea').value)")
    page.wait_for_function(changed, arg=address)
    image_loaded(page, "img[data-stage=full]")
    page.locator("[data-preset=vangogh]").drag_to(page.locator("[data-preset=munch]"))
    page.locator(".look-card.second", has_text="vangogh").wait_for()
    drag(page, ".blend-bar .q-slider", 0.75)
    page.wait_for_function("() => /blend_share=0[.]7/.test(document.querySelector('.chain-text textarea').value)")


def test_projects_are_saved_and_opened(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    page.get_by_title("Projects").click()
    page.get_by_label("Save as").fill("mirrored")
    page.get_by_label("Save as").press("Enter")
    page.get_by_title("Projects").get_by_text("mirrored").wait_for()
    set_chain(page, "mirror")
    page.get_by_title("Projects").click()
    page.get_by_text("New project").click()
    page.locator(".clip", has_text="no clip chosen").wait_for()
    page.get_by_title("Projects").click()
    page.locator(".projects .q-item", has_text="mirrored").click()
    page.locator(".clip", has_text="video.mp4").wait_for()
    page.locator(".part", has_text="mirror").wait_for()


def test_the_gallery_shows_the_chosen_clip(studio, open_page, noise_image):
    page = open_page(studio)
    choose(page, "video.mp4")
    view(page, "Look")
    first = image_loaded(page, '[data-preset=cezanne] img[src^="/studio/gallery/"]')
    (studio.folder / "noise.png").write_bytes(noise_image)
    choose(page, "noise.png")
    view(page, "Look")
    page.locator(f'[data-preset=cezanne] img[src="{first}"]').wait_for(state="detached")
    (studio.folder / "noise.png").unlink()


def test_errors_of_the_chain_are_marked(studio, open_page):
    page = open_page(studio)
    choose(page, "video.mp4")
    set_chain(page, "mirror")
    here(page).get_by_label("Chain as text").fill("mirror,hue=s=0,sty=munch")
    here(page).locator(".chain-problem mark", has_text="sty=munch").wait_for()
    here(page).get_by_label("Chain as text").fill("mirror,hue=s=0")
    here(page).locator(".chain-problem").wait_for(state="hidden")
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
    drag(page, ".wipe-handle", 0.25)
    page.wait_for_function(f"() => /2[45][.0-9]*%/.test({clip})")
    page.keyboard.press("Home")  # the handle has the focus
    page.wait_for_function(f"() => {clip}.includes(' 0%')")
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
    field = page.get_by_label("Schedule of zoom")
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


def test_only_the_link_opens_the_page_and_only_files_of_the_folder(studio, open_page, browser):
    page = open_page(studio)
    assert "token" not in page.url
    assert page.request.get(f"{studio.origin}/studio/file/video.mp4").status == 200  # with the cookie
    (studio.folder.parent / "secret.mp4").write_text("secret")
    for name in ("..%2Fsecret.mp4", "%2Fetc%2Fpasswd", ".streamfx-studio%2Fqueue.json"):
        assert page.request.get(f"{studio.origin}/studio/file/{name}").status in (400, 404)
    with browser.new_context() as context:  # without the cookie
        stranger = context.new_page()
        assert stranger.goto(f"{studio.origin}/?token={'0' * 20}").status == 403
        assert "open the link that the command printed" in stranger.content()
        assert stranger.goto(studio.url.replace("127.0.0.1", "rebound.test")).status == 403
        assert "not the studio's" in stranger.content()
