"""Programs that return values of many classes."""

from __future__ import annotations

PROGRAMS = {
    "dataclasses, enums and named tuples": """
import collections, enum, typing
class Colour(enum.IntEnum):
    RED = 1
class Word(str, enum.Enum):
    YES = 'yes'
class Point(typing.NamedTuple):
    x: int
    y: float = 0.5
def run(data, params):
    return {'colour': Colour.RED, 'word': Word.YES, 'point': Point(1), 'more': collections.OrderedDict(b=1),
        'counted': collections.Counter('hello'), 'default': collections.defaultdict(list, x=[1]), True: None,
        1.5: 'a key', 7: 'another', None: 'none', 'nested': [[], {}, (), '', 0, -0.0, 1e300, 10 ** 40]}
""",
    "a dataclass as a dict": """
import dataclasses
@dataclasses.dataclass
class Point:
    x: int
    more: list = dataclasses.field(default_factory=list)
def run(data, params):
    return dataclasses.asdict(Point(1, [Point(2)]))
""",
    "subclasses of plain classes": """
class Text(str):
    def __str__(self):
        return 'another text'
class Number(int):
    def __repr__(self):
        return 'another number'
class Real(float):
    def __repr__(self):
        return 'another number'
class Items(list):
    pass
def run(data, params):
    return [Text('text'), Number(3), Real(2.5), Items([1]), {Text('key'): 1, Number(4): 2}]
""",
    "dates, sets and others": """
import datetime, decimal, fractions, pathlib, uuid
def run(data, params):
    return [datetime.datetime(2024, 1, 2, 3, 4, 5, 6), datetime.date(2024, 1, 2), datetime.time(3, 4), {5},
        datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), decimal.Decimal('1.10'), frozenset(),
        pathlib.Path('/a/b'), uuid.UUID(int=1), 1j, b'bytes']
""",
    "a large value": """
def run(data, params):
    return {'numbers': [number / 7 for number in range(200000)], 'text': 'x' * 1000000}
""",
    "nothing but output": """
def run(data, params):
    print('PlanQK:Job:InterimResult: 1')
    print('PlanQK:Job:Result: {"printed": [1, 2]}')
""",
    "plain values": """
def run(data, params):
    twin, deep = [1], []
    for _ in range(500):
        deep = [deep]
    return {
        'numbers': [0.1 + 0.2, 5e-324, 2 ** 64, -(2 ** 63), 1e22, 10 ** 29, True, 1 / 3],
        'strings': ['\u00fc', '\U0001f600', '\\0', '\\x7f', '\u2028', '"', '\\\\', '/', '</script>'],
        'twins': [twin, twin],
        'deep': deep,
        'nothing': [False, None, '', {}],
    }
""",
}
