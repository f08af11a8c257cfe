"""What a visitor says of an image: a good one, a bad one, or one to judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """What an image was given as."""

    name: str  # as endpoints and the CSV have it
    label: str  # above the images of this role; in lower case also within sentences
    drop_zone: str  # label of the drop zone
    heading: str  # of the images of this role in the report; in lower case also in the panel's strip
    defective: bool | None  # None: nobody has said
    judging: str  # what the method that judges such an image has learned from it


GOOD = Role("good", "Good", "1 · Good images", "Given as good", False, "without what was learned from it")
BAD = Role("bad", "Bad", "2 · Bad images, if you have any", "Given as bad", True, "never learned from")
NEW = Role("new", "To judge", "and images to judge", "To judge", None, "never learned from")
ROLES = {role.name: role for role in (GOOD, BAD, NEW)}
