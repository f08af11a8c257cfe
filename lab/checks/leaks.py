"""Whether test images are among those learned from: figures on them would say nothing."""

from ..data.dataset import Dataset
from . import near_duplicates


def describe_leaks(dataset: Dataset) -> str:
    """Which test images show the same as training images, copies saved anew or shifted by a pixel too, in words; "" for
    none. Reads every image of the set. Images too small to compare are passed over."""
    train, test = ([near_duplicates.preview(item.image()) for item in items] for items in (dataset.train, dataset.test))
    copies = near_duplicates.copies_between(train, test)
    if not copies:
        return ""
    tested, learned = dataset.test[copies[0][0]].name, dataset.train[copies[0][1]].name
    count = "1 test image is" if len(copies) == 1 else f"{len(copies)} test images are"
    return (
        f"{dataset.name}/{dataset.category}: {count} learned from: {tested} shows the same as {learned}. Figures on "
        "such images say nothing; take them out of the training or of the test"
    )
