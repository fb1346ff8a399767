"""The one exception of an image that is refused."""


class ImageError(Exception):
    """An image that is refused.

    Attributes:
        error: the class of the failure, for counting: "NotAnImage", "TruncatedImage", …
        message: one sentence for a person.
    """

    def __init__(self, error: str, message: str):
        super().__init__(error, message)
        self.error = error
        self.message = message


def unsupported(message: str) -> ImageError:
    """Of a kind of pixels that is known and not read."""
    return ImageError("UnsupportedMode", message)


def too_costly(message: str) -> ImageError:
    """Of an image that would take more time or memory than its pixels should."""
    return ImageError("TooCostly", message)


def check_pixels(width: int, height: int, most: int) -> None:
    """Raises ImageError when a header claims more pixels than `--max_image_pixels`."""
    if width * height > most:
        message = f"its header claims {width:,} x {height:,} pixels; --max_image_pixels allows {most:,}"
        raise ImageError("ImageTooLarge", message)
