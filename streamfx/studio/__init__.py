"""The studio: a page in the browser that previews settings and renders videos with streamfx.jobs."""
