"""How much one visit to *Your images* may hold and compute, and all visits together."""

from ...image_files import FORMATS

MEGABYTE = 10**6  # bytes
MAX_IMAGES = 200  # of one visit
MAX_MEGAPIXELS = 24  # of one image
MAX_UPLOAD_MEGABYTES = 400  # of one visit's files
MAX_MINUTES = 20  # of one visit's computing
MAX_DETECTOR_MEGABYTES = 400  # of one visit's detectors and what they say
MAX_VISITS = 40  # at a time
MAX_TOTAL_MEGABYTES = 4000  # of all visits' detectors: a machine of 16 GB has more to hold

LIMITS = (
    f"A visit may have {MAX_IMAGES} images of up to {MAX_MEGAPIXELS} megapixels, {MAX_UPLOAD_MEGABYTES} MB of files, "
    f"{MAX_DETECTOR_MEGABYTES} MB of detectors and {MAX_MINUTES} minutes of computing. {FORMATS}, or zips of them. "
    f"With more than {MAX_VISITS} visits, or {MAX_TOTAL_MEGABYTES} MB of detectors among them, the one unused for "
    "longest ends."
)


def max_pixels() -> int:
    """MAX_MEGAPIXELS in pixels."""
    return int(MAX_MEGAPIXELS * 10**6)
