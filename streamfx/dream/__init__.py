"""What drives generated animation: schedules, and the music they listen to."""
