"""Numbers with nouns in messages: `1 shard`, `2,000 shards`."""


def plural(number: float, noun: str, plural_noun: str = "") -> str:
    """Format a number with its noun in the right form.

    Args:
        number: Shown with commas between thousands where it is an integer.
        noun: The singular.
        plural_noun: The plural; the singular and `s` by default.
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun if number == 1 else plural_noun or noun + 's'}"
