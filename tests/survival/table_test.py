"""docs/survival.md lists every survival test, and no other."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / 'docs' / 'survival.md'


def test_the_page_lists_exactly_these_tests():
  listed = re.findall(
    r'^\| `(\w+_test)\.(test_\w+)` \|', PAGE.read_text(), re.MULTILINE
  )
  there = [
    (path.stem, name)
    for path in sorted(HERE.glob('*_test.py'))
    for name in re.findall(r'^def (test_\w+)', path.read_text(), re.MULTILINE)
  ]
  assert listed == there
