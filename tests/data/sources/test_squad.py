"""SQuAD: from small files in the official layout, and from the real one."""

import json
import os
import pathlib

import pytest

from mem_alpha.data.sources import squad

SMALL = {'chunk_tokens': 60, 'chunks': 3, 'max_questions': 100, 'seed': 0}
DATA = os.environ.get('MEM_ALPHA_DATA')


def words(text):
  return len(text.split())


def paragraph(title, number):
  """Four sentences; the two annotators agree or not."""
  context = ' '.join(
    f'In part {number} of {title} fact {i} is value{number}x{i}.'
    for i in range(4)
  )
  qas = [
    {
      'id': f'{title}{number}{i}',
      'question': f'What is fact {i} in part {number} of {title}? ',
      'answers': [
        {'text': f'value{number}x{i}', 'answer_start': 0},
        {'text': f'value{number}x{i}', 'answer_start': 0},
        {'text': f'fact {i}', 'answer_start': 0},
      ],
    }
    for i in range(2)
  ]
  unanswerable = {'id': '', 'question': 'Why?', 'answers': []}
  return {'context': context, 'qas': [*qas, unanswerable]}


@pytest.fixture
def root(tmp_path):
  titles = [f'Title_{i}' for i in range(40)]
  data = [
    {'title': t, 'paragraphs': [paragraph(t, n) for n in range(5)]}
    for t in titles
  ]
  path = tmp_path / squad.FILE
  path.parent.mkdir()
  path.write_text(json.dumps({'version': '1.1', 'data': data}))
  return tmp_path


def build(root, split='train', **options):
  arguments = {**SMALL, 'count_tokens': words, **options}
  return squad.build(root, split, **arguments)


def titles_in(instances):
  texts = ' '.join(chunk for i in instances for chunk in i.chunks)
  return {word for word in texts.split() if word.startswith('Title_')}


def test_instances_have_their_shape_and_hold_their_answers(root):
  instances = build(root)
  assert len(instances) > 10
  assert len({i.instance_id for i in instances}) == len(instances)
  for instance in instances:
    assert instance.source == 'squad'
    assert len(instance.chunks) == 3
    assert all(words(chunk) <= 60 for chunk in instance.chunks)
    assert instance.chunks[2].startswith(
      '[Dialogue between User and Assistant on 2024-01-03 00:00]\n<User>'
    )
    for question in instance.questions:
      assert question.kind == 'squad' and question.metric == 'token_f1'
      assert len(question.answers) == 2  # each once
      title = question.text.split()[-1].rstrip('?')
      number = question.text.split('part ')[1].split()[0]
      whole = ' '.join(
        line
        for chunk in instance.chunks
        for line in chunk.split('\n')[2:-1]  # without the dialogue
        if line
      )
      assert paragraph(title, number)['context'] in whole


def test_every_question_is_asked_at_most_once(root):
  texts = [q.text for i in build(root) for q in i.questions]
  assert len(texts) == len(set(texts)) > 200
  assert 'Why?' not in texts


def test_splits_share_no_title_and_seeds_do_not_move_titles(root):
  splits = ('train', 'validation', 'test')
  titles = [titles_in(build(root, split)) for split in splits]
  assert all(titles)
  assert len(set.union(*titles)) == sum(map(len, titles))
  assert titles_in(build(root, 'test', seed=1)) <= {
    f'Title_{i}' for i in range(40) if squad.split_of(f'Title_{i}') == 'test'
  }


def test_the_seed_decides_everything_else(root):
  assert build(root) == build(root)
  assert build(root) != build(root, seed=1)


def test_questions_are_sampled_in_order(root):
  few, all_of_them = build(root, max_questions=2), build(root)
  for instance, whole in zip(few, all_of_them):
    assert len(instance.questions) == 2
    assert instance.chunks == whole.chunks
    places = [whole.questions.index(q) for q in instance.questions]
    assert places == sorted(places)


def test_titles_can_be_kept_out(root):
  out = sorted(titles_in(build(root)))[:3]
  assert not titles_in(build(root, exclude_titles=out)) & set(out)


def test_bad_arguments_and_files_are_named(root, tmp_path):
  with pytest.raises(ValueError, match="No split 'dev'"):
    build(root, 'dev')
  with pytest.raises(ValueError, match='chunks is 0'):
    build(root, chunks=0)
  with pytest.raises(ValueError, match='fill no instance of 1000 chunks'):
    build(root, chunks=1000)
  with pytest.raises(FileNotFoundError, match=r'dev-v1\.1\.json'):
    build(root / 'nowhere')
  path = root / squad.FILE
  whole = path.read_text()
  path.write_text(whole[: len(whole) // 2])
  with pytest.raises(ValueError, match='not complete JSON'):
    build(root)
  path.write_text('{"version": "1.1", "data": [{"title": "a"}]}')
  with pytest.raises(ValueError, match='not in the official layout'):
    build(root)
  path.write_text('version https://git-lfs.github.com/spec/v1\n')
  with pytest.raises(ValueError, match='Git LFS pointer'):
    build(root)


@pytest.mark.skipif(not DATA, reason='MEM_ALPHA_DATA is not set')
def test_the_real_file_gives_all_splits():
  root = pathlib.Path(DATA) / 'raw'
  for split in ('train', 'validation', 'test'):
    instances = build(root, split, chunk_tokens=120, chunks=4)
    assert len(instances) >= 50
    text_of = {i.instance_id: ' '.join(i.chunks) for i in instances}
    answered = [
      any(a in text_of[i.instance_id] for a in q.answers)
      for i in instances
      for q in i.questions
    ]
    # An answer may straddle two chunks.
    assert sum(answered) >= 0.98 * len(answered) > 0
