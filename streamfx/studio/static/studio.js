// Keyboard, dropped files and playback of the studio's page.
"use strict";

const studio = {
  keys: {
    ArrowLeft: "back", ArrowRight: "forward", " ": "play", i: "in", o: "out",
    1: "1", 2: "2", 3: "3", 4: "4", 5: "5", 6: "6",
  },

  element(id) {
    return document.getElementById("c" + id);
  },

  play(id, time) {
    const video = studio.element(id);
    const begin = () => { video.currentTime = time; video.play().catch(() => {}); };
    video.readyState >= 1 ? begin() : video.addEventListener("loadedmetadata", begin, { once: true });
    video.load();
  },

  stop(id) {
    const video = studio.element(id);
    video.pause();
    return video.currentTime;
  },

  pick() {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.accept = "video/*,image/*,audio/*,.mkv,.toml";
    input.onchange = () => studio.upload([...input.files]);
    input.click();
  },

  async upload(files) {
    for (const file of files) {
      try {
        const answer = await fetch("/studio/upload/" + encodeURIComponent(file.name), { method: "POST", body: file });
        const type = answer.headers.get("content-type") || "";
        emitEvent("studio-uploaded", type.includes("json") ? await answer.json() : { error: await answer.text() });
      } catch (error) {
        emitEvent("studio-uploaded", { error: `the upload of '${file.name}' failed` });
      }
    }
  },

  // starts clips that are compared at the same moment, and keeps them together
  together(selector) {
    const videos = [...document.querySelectorAll(selector)];
    const start = () => videos.forEach((video) => { video.currentTime = 0; video.play().catch(() => {}); });
    videos.forEach((video) => { video.loop = false; });
    videos[0].addEventListener("ended", start);
    Promise.all(videos.map((video) => new Promise((done) => {
      video.readyState >= 3 ? done() : video.addEventListener("canplay", done, { once: true });
    }))).then(start);
  },

  wipe(handle) {
    handle.parentElement.style.setProperty("--wipe", handle.value + "%");
  },

  pauseAll(selector) {
    document.querySelectorAll(selector).forEach((media) => media.pause());
  },

  // moves the cursors below `root` with its audio, and the audio to where a lane is clicked
  follow(root, seconds) {
    const audio = document.querySelector(root + " audio");
    const lanes = [...document.querySelectorAll(root + " .wave-lane, " + root + " .curve-lane")];
    const move = () => {
      lanes.forEach((lane) => lane.style.setProperty("--at", Math.min(100, 100 * audio.currentTime / seconds) + "%"));
      if (!audio.paused) requestAnimationFrame(move);
    };
    audio.onplay = audio.onseeked = move;
    lanes.forEach((lane) => {
      lane.onclick = (event) => {
        const box = lane.getBoundingClientRect();
        audio.currentTime = seconds * (event.clientX - box.left) / box.width;
        lanes.forEach((other) => other.style.setProperty("--at", 100 * audio.currentTime / seconds + "%"));
      };
    });
  },

  toggleAll(selector) {
    const videos = [...document.querySelectorAll(selector)];
    const playing = videos.some((video) => !video.paused);
    videos.forEach((video) => { playing ? video.pause() : video.play().catch(() => {}); });
  },
};

// the token is in a cookie now; it need not stay in the address bar and the history
if (location.search.includes("token=")) history.replaceState(null, "", location.pathname);

// a control that has the focus keeps the keys that it uses, but not the space bar after a click
const CONTROLS = "button, video, a, [role=slider], [role=tab], [role=option]";
let clicked = null;
document.addEventListener("pointerdown", (event) => { clicked = event.target.closest?.(CONTROLS); }, true);

// in the capture phase, because Quasar's buttons stop the Enter key
document.addEventListener("keydown", (event) => {
  if (event.key === "Tab") clicked = null;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.stopPropagation();
    emitEvent("studio-key", "enqueue");
    return;
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable=true], .cm-editor");
  const control = event.target.closest(CONTROLS);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (control && (event.key === " " ? control !== clicked : control.matches("[role=slider], [role=tab]"))) return;
  const name = studio.keys[event.key];
  if (!name) return;
  event.preventDefault();
  event.stopPropagation();
  emitEvent("studio-key", event.shiftKey && event.key.startsWith("Arrow") ? name + "10" : name);
}, true);

// Quasar puts the focus inside of its slider, where screen readers do not find the slider's role and value
document.addEventListener("focusin", (event) => {
  const slider = event.target.parentElement?.closest(".q-slider");
  if (!slider || event.target.hasAttribute("role")) return;
  const names = ["role", "aria-label", "aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-orientation"];
  const copy = () => names.forEach((name) => event.target.setAttribute(name, slider.getAttribute(name) || ""));
  copy();
  new MutationObserver(copy).observe(slider, { attributeFilter: names });
});

// a preset that is dragged onto another one is blended with it
document.addEventListener("dragstart", (event) => {
  const card = event.target.closest?.(".look-card");
  if (card) event.dataTransfer.setData("application/x-preset", card.dataset.preset);
});
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    const card = event.target.closest?.(".look-card");
    if (!card || !event.dataTransfer.types.includes("application/x-preset")) return;
    event.preventDefault();
    const dragged = event.dataTransfer.getData("application/x-preset");
    if (name === "drop" && dragged !== card.dataset.preset) emitEvent("studio-blend", [card.dataset.preset, dragged]);
  });
}

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") studio.upload([...event.dataTransfer.files]);
  });
}
