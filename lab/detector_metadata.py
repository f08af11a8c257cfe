"""What a detector's file says of itself, checked: types, depth, finite numbers. Files come from strangers, too."""

from __future__ import annotations

from typing import Annotated, Any, Self

import pydantic

from .errors import LabError
from .image_files import BITS

MAX_TEXT = 10_000  # characters of one text
MAX_ENTRIES = 10_000  # of one list or mapping; a curve of a training has one value for each epoch
MAX_SCORES = 1_000_000  # held-out images of a calibration

Text = Annotated[str, pydantic.Field(max_length=MAX_TEXT)]
Texts = Annotated[dict[Text, Text], pydantic.Field(max_length=MAX_ENTRIES)]
Plain = bool | int | float | Text | None
Settings = Annotated[dict[Text, Plain | list[Plain]], pydantic.Field(max_length=MAX_ENTRIES)]
Curve = Annotated[list[float], pydantic.Field(max_length=MAX_ENTRIES)]
Scores = Annotated[list[float], pydantic.Field(max_length=MAX_SCORES)]
Scale = Annotated[list[float], pydantic.Field(min_length=2, max_length=2)]


class _Checked(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class CalibrationMetadata(_Checked):
    """The fields of `Calibration.as_dict`; what they mean together is checked by `Calibration`."""

    hold_out: Text
    pixel_scale: Scale
    score_scale: Scale
    scores: Scores
    peaks: Scores
    look: float
    bad: float
    pixel_bad: float
    pixel_95: float


class DetectorMetadata(_Checked):
    """The metadata of a file of `Detector.FILE_FORMAT`, as `Detector.save` writes it."""

    format: int
    version: Text
    method: Text
    settings: Settings
    backbone: Texts  # tag and sha256; empty where there is none
    calibration: CalibrationMetadata
    history: Annotated[dict[Text, Curve], pydantic.Field(max_length=MAX_ENTRIES)]
    notes: Texts
    seed: int
    n_images: int
    fingerprint: Text
    origin: Texts
    request_key: Text
    grey_bits: int | None = None
    repository: Text = ""
    quantization_bits: Annotated[dict[Text, int], pydantic.Field(max_length=MAX_ENTRIES)]
    quantized_shapes: Annotated[dict[Text, list[int]], pydantic.Field(max_length=MAX_ENTRIES)]

    @pydantic.field_validator("grey_bits")
    @classmethod
    def _is_a_range(cls, bits: int | None) -> int | None:
        if bits not in (None, *BITS):
            raise ValueError(f"must be one of {', '.join(map(str, BITS))}")
        return bits

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The same, checked. LabError that names the first field that is wrong."""
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part)[:40] for part in first["loc"][:4])
            raise LabError(f"its metadata are damaged ({field}: {first['msg']}); make or download it again") from None
