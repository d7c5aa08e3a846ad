"""Numbers in messages: `1 shard`, `2,000 shards`."""


def plural(number: float, noun: str, plural_noun: str = "") -> str:
    """Format a number with its noun in the right form.

    Args:
        number: How many; a whole number has its thousands separated by commas.
        noun: The singular.
        plural_noun: Needed where it is not the singular and an `s`.
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun if number == 1 else plural_noun or noun + 's'}"
