"""The engines, each behind the token seam in `base.py`."""
