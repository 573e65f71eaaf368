"""Binary BCH codes over GF(2⁷), shortened: how TrustMark protects its bits.

Source: S. Lin and D. J. Costello, Error Control Coding, 2nd ed., chapter 6 (Berlekamp's iterative algorithm).
"""

_ORDER = 127
_PRIMITIVE = 0b10001001  # x⁷ + x³ + 1


def _powers() -> tuple[int, ...]:
    powers, value = [], 1
    for _ in range(_ORDER):
        powers.append(value)
        value <<= 1
        if value > _ORDER:
            value ^= _PRIMITIVE
    return tuple(powers)


_EXP = _powers()
_LOG = {value: power for power, value in enumerate(_EXP)}


def _times(a: int, b: int) -> int:
    return _EXP[(_LOG[a] + _LOG[b]) % _ORDER] if a and b else 0


def find_errors(word: int, length: int, correctable: int) -> tuple[int, ...] | None:
    """Return the places of the bits that are wrong, from 0 for the last, or `None` where there are too many.

    Args:
        word: The bits, the first as the highest.
        length: How many there are, at most 127.
        correctable: How many wrong bits the code corrects: its generator has α, α³, …, α^(2·correctable - 1) as roots.
    """
    ones = [place for place in range(length) if word >> place & 1]
    syndromes = [0] * (2 * correctable)
    for power in range(1, 2 * correctable + 1):
        for place in ones:
            syndromes[power - 1] ^= _EXP[place * power % _ORDER]
    if not any(syndromes):
        return ()
    locator = _locator(syndromes)
    degree = len(locator) - 1
    if degree > correctable:
        return None
    # A place is wrong where the locator is 0 at its α^-place.
    wrong = tuple(place for place in range(length) if _value(locator, -place % _ORDER) == 0)
    return wrong if len(wrong) == degree else None


def _locator(syndromes: list[int]) -> list[int]:
    """Return the shortest polynomial that explains the syndromes, lowest coefficient first (Berlekamp and Massey)."""
    locator, previous = [1], [1]
    degree, shift, last = 0, 1, 1
    for step, syndrome in enumerate(syndromes):
        gap = syndrome
        for i in range(1, min(degree, len(locator) - 1) + 1):
            gap ^= _times(locator[i], syndromes[step - i])
        if not gap:
            shift += 1
            continue
        factor = _EXP[(_LOG[gap] - _LOG[last]) % _ORDER]
        longer = locator + [0] * (len(previous) + shift - len(locator))
        for i, coefficient in enumerate(previous):
            longer[i + shift] ^= _times(factor, coefficient)
        if 2 * degree <= step:
            previous, degree, last, shift = locator, step + 1 - degree, gap, 1
        else:
            shift += 1
        locator = longer
    while len(locator) > 1 and not locator[-1]:
        locator.pop()
    return locator


def _value(polynomial: list[int], power: int) -> int:
    """Return a polynomial's value at α^power."""
    value = 0
    for i, coefficient in enumerate(polynomial):
        if coefficient:
            value ^= _EXP[(_LOG[coefficient] + i * power) % _ORDER]
    return value
