"""Optical flow, occlusion, and the previous stylized frame warped to the current one."""
