"""What a visitor says of an image: a good one, a bad one, or one to judge."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What an image was given as, in the order of the page; its value is the word that endpoints and the CSV use.

    label      above the images of this role; in lower case also within sentences
    drop_zone  label of the drop zone
    heading    of the images of this role in the report; in lower case also in the panel's strip
    defective  what is known of the image; None: nobody has said
    judging    what the method that judges such an image has learned from it
    """

    label: str
    drop_zone: str
    heading: str
    defective: bool | None
    judging: str

    def __new__(
        cls, value: str, label: str, drop_zone: str, heading: str, defective: bool | None, judging: str
    ) -> Role:
        role = str.__new__(cls, value)
        role._value_ = value
        role.label, role.drop_zone, role.heading = label, drop_zone, heading
        role.defective, role.judging = defective, judging
        return role

    GOOD = "good", "Good", "1 · Good images", "Given as good", False, "without what was learned from it"
    BAD = "bad", "Bad", "2 · Bad images, if you have any", "Given as bad", True, "never learned from"
    NEW = "new", "To judge", "and images to judge", "To judge", None, "never learned from"


JUDGED_ORDER = (Role.BAD, Role.NEW, Role.GOOD)
"""The order in which judged images are shown."""
