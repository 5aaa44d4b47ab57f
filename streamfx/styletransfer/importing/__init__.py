"""Networks of other projects as presets."""
