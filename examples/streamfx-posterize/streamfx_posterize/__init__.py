"""An effect and a look of dreams for streamfx."""
