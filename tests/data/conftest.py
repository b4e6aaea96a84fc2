"""Recipes whose tokens are words, over small files that a test writes."""

import json
import pathlib

import pytest

from mem_alpha.data import recipe


def words(text):
  return len(text.split())


@pytest.fixture
def recipe_of(tmp_path):
  """A function from options to a recipe over `tmp_path`."""

  def make(split='train', *, root=tmp_path, **options):
    options = {
      'chunk_tokens': 60,
      'chunks': 3,
      'count_tokens': words,
      **options,
    }
    return recipe.Recipe(pathlib.Path(root), split, **options)

  return make


@pytest.fixture
def put(tmp_path):
  """A function that writes a raw file: text, JSON, or a list as JSON lines."""

  def write(name, value, *, lines=False):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if lines:
      value = ''.join(json.dumps(row) + '\n' for row in value)
    elif not isinstance(value, str):
      value = json.dumps(value)
    path.write_text(value, encoding='utf-8')
    return path

  return write
